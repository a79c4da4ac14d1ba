"""Where an error in a Dockerfile is."""

from __future__ import annotations

from corten.build.parser.parse import parse
from corten.build.parser.source_error import error_at

_NODE = parse(b"FROM a\n\n  copy --from=b \\\n  c \\\n  d\n").nodes[1]


def test_the_word_at_fault() -> None:
    error = error_at(_NODE, "this is wrong", "d")
    assert error.message == "Dockerfile, line 3: this is wrong"
    assert (error.line, error.end_line) == (3, 5)
    assert (error.caret_line, error.column, error.length) == (5, 3, 1)


def test_the_whole_instruction() -> None:
    for word in ("", "not there"):
        error = error_at(_NODE, "this is wrong", word)
        assert (error.caret_line, error.column, error.length) == (3, 3, len("copy"))
