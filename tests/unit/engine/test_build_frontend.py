"""`# syntax=` of what is no Dockerfile frontend."""

from __future__ import annotations

import pytest

from corten.engine.build_definition import Definition
from corten.engine.build_frontend import foreign_frontend


def said(text: bytes, **build_args: str) -> list[tuple[str, int]]:
    warnings = foreign_frontend(Definition("Dockerfile", text, ()), build_args)
    return [(warning.message.partition(" is not run")[0], warning.lines[0]) for warning in warnings]


@pytest.mark.parametrize(
    "name",
    [
        "docker/dockerfile:1",
        "docker.io/docker/dockerfile-upstream:master-labs",
        "mirror.example.com:5000/library/dockerfile@sha256:" + "a" * 64,
        "docker/dockerfile:1 # the newest",
    ],
)
def test_dockerfile_frontends(name: str) -> None:
    assert said(f"# syntax={name}\nFROM scratch\n".encode()) == []
    assert said(b"FROM scratch\n", BUILDKIT_SYNTAX=name) == []


def test_others_are_not_run() -> None:
    assert said(b"#!/x\n# syntax=example.com/nix:1\n") == [("example.com/nix:1", 2)]
    assert said(b"// syntax=hlb:1\n") == [("hlb:1", 1)]
    assert said(b"# syntax=docker/dockerfile:1\n", BUILDKIT_SYNTAX="a/hlb") == [("a/hlb", 0)]
    assert said(b"# syntax=a/hlb\n", BUILDKIT_SYNTAX="") == [("a/hlb", 1)]


def test_a_name_that_is_no_text() -> None:
    assert said(b"# syntax=hlb\xff\n") == [("hlb\ufffd", 1)]


def test_nothing_asked() -> None:
    assert said(b"FROM scratch\n# syntax=late\n") == []
