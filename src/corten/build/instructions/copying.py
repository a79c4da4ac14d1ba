"""COPY and ADD."""

from __future__ import annotations

from corten.build.instructions.flags import read_flags
from corten.build.instructions.types import Add, Copy, InlineFile
from corten.build.parser.heredocs import chomped, parse_heredoc
from corten.build.parser.source_error import error_at
from corten.build.parser.syntax_tree import Heredoc, Node
from corten.build.parser.words import WordError


def parse_copy(node: Node) -> Copy:
    _need_destination(node)
    flags = read_flags(
        node,
        text=("chown", "from", "chmod"),
        texts=("exclude",),
        boolean=("link", "parents"),
    )
    sources, files = _sources(node)
    return Copy(
        node=node,
        sources=sources,
        destination=node.arguments[-1],
        files=files,
        from_stage=flags.text("from"),
        chown=flags.text("chown"),
        chmod=flags.text("chmod"),
        link=bool(flags.boolean("link")),
        parents=bool(flags.boolean("parents")),
        exclude=flags.texts("exclude"),
    )


def parse_add(node: Node) -> Add:
    _need_destination(node)
    flags = read_flags(
        node,
        text=("chown", "chmod", "checksum"),
        texts=("exclude",),
        boolean=("link", "keep-git-dir", "unpack"),
    )
    sources, files = _sources(node)
    return Add(
        node=node,
        sources=sources,
        destination=node.arguments[-1],
        files=files,
        chown=flags.text("chown"),
        chmod=flags.text("chmod"),
        link=bool(flags.boolean("link")),
        exclude=flags.texts("exclude"),
        checksum=flags.text("checksum"),
        keep_git_dir=flags.boolean("keep-git-dir"),
        unpack=flags.boolean("unpack"),
    )


def _need_destination(node: Node) -> None:
    if len(node.arguments) < 2:
        raise error_at(
            node,
            f"{node.name.upper()} requires at least two arguments, but only one was provided. "
            "Destination could not be determined",
        )


def _sources(node: Node) -> tuple[tuple[str, ...], tuple[InlineFile, ...]]:
    """The paths among the sources, and the here-documents."""
    *words, destination = node.arguments
    if _heredoc(destination) is not None:
        reason = f"{node.name.upper()} cannot accept a heredoc as a destination"
        raise error_at(node, reason, destination)
    contents = {heredoc.name: heredoc.content for heredoc in node.heredocs}
    paths: list[str] = []
    files: list[InlineFile] = []
    for word in words:
        heredoc = _heredoc(word)
        if heredoc is None:
            paths.append(word)
            continue
        content = contents.get(heredoc.name, "")
        files.append(InlineFile(heredoc.name, chomped(content) if heredoc.chomp else content, heredoc.expand))
    return tuple(paths), tuple(files)


def _heredoc(word: str) -> Heredoc | None:
    """Quotes that do not match make no here-document."""
    try:
        return parse_heredoc(word)
    except WordError:
        return None
