"""The syntax tree: lines, continuations, comments, here-documents, and what is refused."""

from __future__ import annotations

import pytest

from corten.build.parser.parse import LONGEST_LINE, parse
from corten.build.parser.source_error import DockerfileError
from corten.build.parser.syntax_tree import Node, Position


def only(text: str | bytes) -> Node:
    tree = parse(text.encode() if isinstance(text, str) else text)
    (node,) = tree.nodes
    return node


def test_continuation_with_comments_and_empty_lines_between() -> None:
    node = only("run one \\\n  # said in between\n\n  && two \\ \t\n&& three\n")
    assert node.keyword == "run"
    assert node.arguments == ("one   && two && three",)
    assert (node.start_line, node.end_line) == (1, 5)
    assert node.empty_continuation


@pytest.mark.parametrize(
    ("text", "lines"),
    [("A \\\\\nB c", 2), ("A \\\\\\\nB c", 2), ("A x\\\nB c", 1), ("A \\\r\nB c", 1), ("\\\nA b", 1)],
)
def test_what_continues_a_line(text: str, lines: int) -> None:
    """One escape character does, two or three do not."""
    assert len(parse(text.encode()).nodes) == lines


def test_backtick_as_escape_character() -> None:
    tree = parse(b"# escape=`\nRUN dir c:\\ `\n  /s\nENV a=b` c\n")
    assert tree.escape == "`"
    assert tree.nodes[0].arguments == ("dir c:\\   /s",)
    assert tree.nodes[1].arguments == ("a", "b` c", "=")


def test_directives_end_with_the_first_line_that_is_none() -> None:
    tree = parse(b"# syntax = some/image:1  # really\n#check=skip=all\n# remark\n# escape=`\nRUN a\n")
    assert [(d.name, d.value, d.line) for d in tree.directives] == [
        ("syntax", "some/image:1  # really", 1),
        ("check", "skip=all", 2),
    ]
    assert tree.directives[0].word == "some/image:1"
    assert tree.escape == "\\"
    assert tree.nodes[0].comments == ("remark", "escape=`")


def test_byte_order_mark_and_carriage_returns() -> None:
    tree = parse("\ufeff# escape=`\r\nRUN a `\r\n b\r\n".encode())
    assert tree.nodes[0].arguments == ("a  b",)


def test_comments_belong_to_the_instruction_below() -> None:
    tree = parse(b"# lost\n#\n# kept\n\n#too\nARG x\n# y is it\nARG y\nARG z")
    assert [node.comments for node in tree.nodes] == [("kept", "too"), ("y is it",), ()]


def test_here_documents() -> None:
    tree = parse(
        b"COPY --chmod=600 <<one <<-'two three' plain 3<<\"four\" /to/\n"
        b"# no comment\n$one \\\none\n\tindented\n\ttwo three\nfour\nRUN after\n"
    )
    copy, run = tree.nodes
    assert [(h.name, h.descriptor, h.expand, h.chomp, h.content) for h in copy.heredocs] == [
        ("one", 0, True, False, "# no comment\n$one \\\n"),
        ("two three", 0, False, True, "\tindented\n"),
        ("four", 3, False, False, ""),
    ]
    assert (copy.start_line, copy.end_line) == (1, 7)
    assert run.start_line == 8
    assert run.heredocs == ()


@pytest.mark.parametrize(
    "line", ['RUN ["cat", "<<x"]', "RUN cat '<<x'", "CMD <<x", "RUN cat <<<x", "RUN cat '<<x", "ENV a=<<x"]
)
def test_no_here_document(line: str) -> None:
    assert only(line).heredocs == ()


def test_here_document_of_a_trigger() -> None:
    node = only("ONBUILD RUN <<x\ntext\nx")
    assert node.trigger is not None
    assert node.trigger.arguments == ("<<x",)
    assert node.heredocs[0].content == "text\n"


def test_an_unknown_instruction_is_none_of_the_syntax_tree_s_business() -> None:
    assert only("FETCH a b").arguments == ("",)


@pytest.mark.parametrize(
    ("line", "flags", "arguments"),
    [
        ("COPY --from=x  --link a b", ("--from=x", "--link"), ("a", "b")),
        ("COPY --from='x y'z a b", ("--from=x yz",), ("a", "b")),
        ('COPY --from="a\\"b" -- --x y', ('--from=a"b',), ("--x", "y")),
        ("RUN make --jobs=4", (), ("make --jobs=4",)),
        ("CMD --x", ("--x",), ()),
        ("COPY --from=x\\ y a b", ("--from=x y",), ("a", "b")),
        ("COPY --from=ü a b", ("--from=ü",), ("a", "b")),
        ("COPY --from='x", ("--from=x",), ()),
    ],
)
def test_flags(line: str, flags: tuple[str, ...], arguments: tuple[str, ...]) -> None:
    node = only(line)
    assert node.flags == flags
    assert node.arguments == arguments


@pytest.mark.parametrize(
    ("line", "json", "arguments"),
    [
        ('CMD ["a", "\\u00e9\\ud800"]', True, ("a", "é\ufffd")),
        ('CMD  [ "a" ] ', True, ("a",)),
        ('CMD ["a"] b', False, ('["a"] b',)),
        ('CMD ["a",]', False, ('["a",]',)),
        ("CMD ['a']", False, ("['a']",)),
        ("CMD [NaN]", False, ("[NaN]",)),
        ("CMD [1e999]", False, ("[1e999]",)),
        ("CMD []", True, ()),
        ('VOLUME ["a b", "c"]', True, ("a b", "c")),
        ("VOLUME a b", False, ("a", "b")),
        ('HEALTHCHECK CMD ["a"]', True, ("CMD", "a")),
        ("HEALTHCHECK cmd a  b", False, ("cmd", "a  b")),
        ('HEALTHCHECK --retries=2   CMD   ["a"', False, ("CMD", '["a"')),
    ],
)
def test_json_form_and_shell_form(line: str, json: bool, arguments: tuple[str, ...]) -> None:
    node = only(line)
    assert node.json == json
    assert node.arguments == arguments


@pytest.mark.parametrize("line", ['CMD ["a", 1]', "CMD [1]", "CMD [null]", 'RUN [["a"]]', 'CMD [{"a":"b"}]'])
def test_json_of_other_things_than_strings(line: str) -> None:
    with pytest.raises(DockerfileError, match="strings only"):
        parse(line.encode())


def test_bytes_that_are_not_utf8() -> None:
    """They stay where a line is taken whole."""
    assert only(b"RUN echo \xff").arguments == ("echo \udcff",)
    assert only(b"ENV a=\xff").arguments == ("a", "\ufffd", "=")


@pytest.mark.parametrize(
    ("data", "line", "column", "reason"),
    [
        (b"", 1, 0, "no instructions"),
        (b"# only this\n\n", 2, 0, "no instructions"),
        (b"FROM a\nRUN b\0c\n", 2, 6, "NUL"),
        ("FROM a\n".encode("utf-16"), 1, 0, "UTF-16"),
        ("\ufeffFROM a\n".encode("utf-16-be"), 1, 0, "UTF-16"),
        ("FROM a\n".encode("utf-32"), 1, 0, "UTF-32"),
        ("\ufeffFROM a\n".encode("utf-32-be"), 1, 0, "UTF-32"),
        ("FROM a\n".encode("utf-16-le"), 1, 2, "NUL"),
        (b"FROM a\nENV x\n", 2, 1, "two arguments"),
        (b"FROM a\n  ENV a=b \\\n  c\n", 2, 3, 'find = in "c"'),
        (b"# escape=x\nFROM a", 1, 1, "escape"),
        (b"# escape=`\n# escape=`\nFROM a", 2, 1, "only one escape"),
        (b"FROM a\nRUN x <<one\ntwo\n", 2, 7, "unterminated heredoc"),
        (b"FROM a\nRUN <<x'y\n", 0, 0, ""),
        (b"FROM a\nRUN " + b"x" * LONGEST_LINE, 2, 0, "longer than"),
        (b"ONBUILD " * 1000 + b"RUN x", 1, 1, "ONBUILD"),
    ],
)
def test_refused(data: bytes, line: int, column: int, reason: str) -> None:
    if not line:
        assert parse(data).nodes
        return
    with pytest.raises(DockerfileError) as raised:
        parse(data)
    assert reason in raised.value.reason
    assert (raised.value.line, raised.value.column) == (line, column)
    assert "\n" not in raised.value.message


def test_the_longest_line() -> None:
    line = b"RUN " + b"x" * (LONGEST_LINE - 4)
    assert len(parse(line + b"\n" + line).nodes) == 2
    with pytest.raises(DockerfileError, match="longer"):
        parse(b"RUN " + "ä".encode() * (LONGEST_LINE // 2))


def test_positions() -> None:
    node = only("\n  copy \\\n a \\\n# remark\n\tb\n")
    assert node.original == "copy  a \tb"
    assert node.find("copy") == Position(2, 3)
    assert node.find(" a") == Position(3, 1)
    assert node.find("b") == Position(5, 2)
    assert node.find("not there") == Position(2, 3)


def test_nesting_that_would_exhaust_the_stack() -> None:
    with pytest.raises(DockerfileError, match="strings only"):
        parse(b"CMD " + b"[" * 20_000 + b"]" * 20_000)
