"""What the fuzzers call: any bytes as a Dockerfile, as a .dockerignore and as words. Only the errors that
are meant for people may come out, and every node stands where it says.

Run it for longer with `python tests/fuzz/run_dockerfile.py tests/fuzz/corpus/dockerfile -max_total_time=600`.
"""

from __future__ import annotations

from corten.build.dockerignore import ROOT, IgnoreMatcher, read_dockerignore
from corten.build.instructions.expansion import expand
from corten.build.instructions.parse import parse_dockerfile
from corten.build.parser.directives import find_directive
from corten.build.parser.parse import parse
from corten.build.parser.source_error import DockerfileError
from corten.build.parser.words import WordError, WordLexer
from corten.errors import InvalidArgument

_VARIABLES = {"a": "one  two", "b": "", "PATH": "/usr/bin:/bin"}
_RAW = WordLexer(quoting=False)


def one(data: bytes) -> None:
    """One input. The first byte says what it is."""
    if not data:
        return
    match data[0] % 4:
        case 0:
            _words(data[1:].decode("utf-8", "surrogateescape"))
        case 1:
            _dockerignore(data[1:])
        case _:
            _dockerfile(data[1:])


def _words(text: str) -> None:
    for lexer in (WordLexer(), _RAW, WordLexer(escape="`", keep_quotes=True, keep_missing=True)):
        try:
            lexer.expand(text, _VARIABLES)
            lexer.split(text, _VARIABLES)
        except WordError:
            pass


def _dockerignore(data: bytes) -> None:
    patterns, _, path = data.partition(b"\0")
    try:
        matcher = IgnoreMatcher(read_dockerignore(patterns))
    except InvalidArgument:
        return
    verdict = ROOT
    parts = path.decode("utf-8", "surrogateescape").split("/")
    for count in range(1, len(parts) + 1):
        step = "/".join(parts[:count])
        verdict = matcher.enter(step, verdict)
        matcher.can_skip(step, verdict)
        matcher.matches(step)


def _dockerfile(data: bytes) -> None:
    find_directive(data, "syntax")
    try:
        tree = parse(data)
    except DockerfileError:
        return
    lines = data.decode("utf-8", "surrogateescape").removeprefix("\ufeff").split("\n")
    for node in tree.nodes:
        for offset, character in enumerate(node.original):
            at = node.position(offset)
            assert lines[at.line - 1][at.column - 1] == character, (node, offset)
    word = WordLexer(escape=tree.escape)
    try:
        dockerfile = parse_dockerfile(tree)
        for stage in dockerfile.stages:
            for instruction in stage.instructions:
                expand(
                    instruction,
                    lambda text: word.expand(text, _VARIABLES).text,
                    lambda text: _RAW.expand(text, _VARIABLES).text,
                )
    except DockerfileError:
        pass
