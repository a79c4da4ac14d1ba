"""The parser against BuildKit's, on the corpus."""

from __future__ import annotations

from typing import Any

import pytest

from corten.build.parser.arguments import split_words
from corten.build.parser.directives import find_directive
from corten.build.parser.heredocs import heredocs_in_line, parse_heredoc
from corten.build.parser.json_form import NotStrings, parse_json_form
from corten.build.parser.parse import parse
from corten.build.parser.source_error import DockerfileError
from corten.build.parser.words import WordError, WordLexer
from tests.unit.build.parser.corpus import as_bytes, cases, dump

Case = dict[str, Any]


@pytest.mark.parametrize("case", cases("parser", "ast"))
def test_syntax_tree(case: Case) -> None:
    assert dump(parse(as_bytes(case["dockerfile"]))) == case["expected"].rstrip("\n")


@pytest.mark.parametrize("case", cases("parser", "parse_error"))
def test_error(case: Case) -> None:
    with pytest.raises(DockerfileError):
        parse(as_bytes(case["dockerfile"]))


@pytest.mark.parametrize("case", cases("parser", "line_ranges"))
def test_lines(case: Case) -> None:
    tree = parse(as_bytes(case["dockerfile"]))
    assert [tree.start_line, tree.end_line] == case["expected"]["ast"]
    assert [[node.start_line, node.end_line] for node in tree.nodes] == case["expected"]["children"]


@pytest.mark.parametrize("case", cases("parser", "split_words"))
def test_split_words(case: Case) -> None:
    assert split_words(case["input"], "\\") == case["expected"]


@pytest.mark.parametrize("case", cases("parser", "warnings"))
def test_empty_continuations(case: Case) -> None:
    tree = parse(as_bytes(case["dockerfile"]))
    assert [node.original for node in tree.nodes if node.empty_continuation] == case["expected"]


@pytest.mark.parametrize("case", cases("parser", "json_form"))
def test_json_form(case: Case) -> None:
    if case["expected"] == "error":
        with pytest.raises(NotStrings):
            assert parse_json_form(case["input"]) is not None, "not JSON at all"
            pytest.fail("taken for strings")
    else:
        assert list(parse_json_form(case["input"]) or ()) == case["expected"]


@pytest.mark.parametrize("case", cases("heredoc", "parse_heredoc_word"))
def test_heredoc_word(case: Case) -> None:
    if case["expected"] == "error":
        with pytest.raises(WordError):
            parse_heredoc(case["input"])
    else:
        heredoc = parse_heredoc(case["input"])
        assert (heredoc and heredoc.name) == case["expected"]


@pytest.mark.parametrize("case", cases("heredoc", "heredoc_names_in_line"))
def test_heredoc_names(case: Case) -> None:
    assert [heredoc.name for heredoc in heredocs_in_line(case["input"])] == case["expected"]


@pytest.mark.parametrize("case", cases("shell_words", "process_word"))
def test_word(case: Case) -> None:
    lexer = WordLexer(
        escape=case.get("escape", "\\"),
        keep_quotes=case.get("raw_quotes", False),
        keep_escapes=case.get("raw_escapes", False),
        quoting=not case.get("skip_process_quotes", False),
        keep_missing=case.get("skip_unset_env", False),
    )
    if case["error"]:
        with pytest.raises(WordError) as raised:
            lexer.expand(case["input"], case["env"])
        assert case.get("error_contains", "") in raised.value.message
        used, missing = raised.value.used, raised.value.missing
    else:
        expansion = lexer.expand(case["input"], case["env"])
        assert expansion.text == case["expected"]
        used, missing = expansion.used, expansion.missing
    if "matched" in case:
        assert sorted(used) == sorted(case["matched"])
    if "unmatched" in case:
        assert sorted(missing) == sorted(case["unmatched"])


@pytest.mark.parametrize("case", cases("shell_words", "process_words"))
def test_words(case: Case) -> None:
    if case["error"]:
        with pytest.raises(WordError):
            WordLexer().split(case["input"], case["env"])
    else:
        assert list(WordLexer().split(case["input"], case["env"])) == case["expected"]


@pytest.mark.parametrize("case", cases("directives"))
def test_directive(case: Case) -> None:
    expected = case["expected"]
    name = expected.get("name") or ("check" if case["kind"] == "TestParseDirective" else "syntax")
    found = find_directive(as_bytes(case["input"]), name)
    assert (found is not None) == expected["ok"]
    if found is not None:
        assert found.word == expected.get("ref", found.word)
        assert found.value == expected.get("cmdline", expected.get("value", found.value))
        assert found.line == expected.get("line", found.line)


@pytest.mark.parametrize("case", cases("frontend_oracle"))
def test_front_end(case: Case) -> None:
    data = as_bytes(case["dockerfile"])
    if "parse_error" in case:
        with pytest.raises(DockerfileError):
            parse(data)
        return
    tree = parse(data)
    assert dump(tree) == case["ast"]
    assert [[node.start_line, node.end_line] for node in tree.nodes] == case["lines"]
    assert tree.escape == case["escape"]
