"""What holds for every file, found by generating files."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from corten.build.instructions.parse import parse_dockerfile
from corten.build.parser.parse import parse
from corten.build.parser.source_error import DockerfileError

_FRAGMENTS = st.sampled_from(
    [
        b"FROM a",
        b"RUN ",
        b"ENV ",
        b"COPY ",
        b"ONBUILD ",
        b"ARG ",
        b"HEALTHCHECK ",
        b"# ",
        b"# escape=`",
        b"\n",
    ]
    + [
        b"\\\n",
        b"`\n",
        b"\n\n",
        b"<<x",
        b"<<-'y'",
        b"\nx\n",
        b"--from=",
        b"--mount=type=",
        b'["',
        b'"]',
        b'"',
    ]
    + [b"'", b" ", b"\t", b"=", b"$a", b"${a", b"}", b"\xff", b"\xc3\xa4", b"\r\n", b",", b"cache", b"word"]
)


@settings(deadline=None)
@given(st.lists(_FRAGMENTS).map(b"".join) | st.binary())
def test_only_its_own_error(data: bytes) -> None:
    try:
        tree = parse(data)
        parse_dockerfile(tree)
    except DockerfileError as error:
        assert "\n" not in error.message
        lines = data.split(b"\n")
        assert 1 <= error.line <= max(1, len(lines))
        assert error.line <= error.caret_line <= max(error.end_line, error.line)
        return
    for node in tree.nodes:
        assert 1 <= node.start_line <= node.end_line


@settings(deadline=None)
@given(st.lists(_FRAGMENTS).map(b"".join))
def test_every_character_stands_where_the_tree_says(data: bytes) -> None:
    try:
        tree = parse(data)
    except DockerfileError:
        return
    lines = data.decode("utf-8", "surrogateescape").removeprefix("\ufeff").split("\n")
    for node in tree.nodes:
        for offset, character in enumerate(node.original):
            at = node.position(offset)
            assert lines[at.line - 1][at.column - 1] == character


_WORD = st.text("abc.$='\"", min_size=1, max_size=5).filter(lambda word: word.strip("'\"=.$"))


@settings(deadline=None)
@given(
    st.sampled_from(["RUN", "env", "COPY", "Arg", "LABEL", "EXPOSE"]),
    st.lists(_WORD, min_size=2, max_size=6),
    st.data(),
)
def test_continuations_and_comments_change_nothing(
    keyword: str, words: list[str], data: st.DataObject
) -> None:
    """An instruction on one line is the same as on several, with anything between them."""
    break_ = st.sampled_from([" ", " \\\n", " \\  \n# remark\n", " \\\n\n\t# remark \\\n"])
    whole = " ".join([keyword, *words])
    broken = keyword + "".join(data.draw(break_) + word for word in words)
    try:
        expected = parse(whole.encode()).nodes[0]
    except DockerfileError:
        return
    node = parse(broken.encode()).nodes[0]
    assert node.original == whole
    assert (node.keyword, node.arguments, node.json) == (expected.keyword, expected.arguments, expected.json)


@settings(deadline=None)
@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=10)), st.booleans()
)
def test_a_here_document_keeps_its_text(lines: list[str], chomp: bool) -> None:
    content = "".join(f"{line}\n" for line in lines if line.lstrip("\t") != "END")
    node = parse(f"RUN <<{'-' * chomp}END\n{content}END\n".encode()).nodes[0]
    assert node.heredocs[0].content == content
    assert node.heredocs[0].chomp == chomp
