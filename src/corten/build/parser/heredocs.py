"""Here-documents: `<<NAME` among the words of an instruction."""

from __future__ import annotations

import re

from corten.build.parser.syntax_tree import Heredoc
from corten.build.parser.words import WordError, WordLexer

_HEREDOC = re.compile(r"([0-9]*)<<(-?)[\t\n\f\r ]*([^<]*)\Z")
_LINE_START_TABS = re.compile(r"^\t+", re.MULTILINE)

_LINE = WordLexer(keep_quotes=True, keep_escapes=True, keep_missing=True)
_NAME = WordLexer(keep_missing=True)
_QUOTED_NAME = WordLexer(keep_quotes=True, keep_missing=True)


def heredocs_in_line(line: str) -> list[Heredoc]:
    """The here-documents that an instruction begins, without their contents. Raises WordError for a name
    whose quotes do not match; in a line whose quotes do not match there is none."""
    try:
        words = _LINE.split(line)
    except WordError:
        return []
    return [heredoc for heredoc in map(parse_heredoc, words) if heredoc is not None]


def parse_heredoc(word: str) -> Heredoc | None:
    """What a single word begins; None: no here-document. Raises WordError."""
    match = _HEREDOC.match(word)
    if match is None or not match[3]:
        return None
    names = _NAME.split(match[3])
    if len(names) != 1:
        return None
    # Quotes that are still there when quotes are kept, and not otherwise, did quote something.
    kept = _QUOTED_NAME.split(match[3])
    if len(kept) != 1:
        return None
    return Heredoc(
        name=names[0],
        descriptor=_descriptor(match[1]),
        expand=_quotes(names[0]) == _quotes(kept[0]),
        chomp=match[2] == "-",
        content="",
    )


def _descriptor(digits: str) -> int:
    return min(int(digits[:20] or "0"), (1 << 64) - 1)


def _quotes(text: str) -> int:
    return text.count("'") + text.count('"')


def chomped(content: str) -> str:
    """Without the tabs at the start of lines."""
    return _LINE_START_TABS.sub("", content)
