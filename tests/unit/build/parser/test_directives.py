"""Directives without parsing the file."""

from __future__ import annotations

import pytest

from corten.build.parser.directives import check_in_comments, find_directive


@pytest.mark.parametrize(
    ("data", "name", "value", "line"),
    [
        (b"#syntax=a/b:1\nFROM x", "syntax", "a/b:1", 1),
        (b"#!/usr/bin/env x\n# SYNTAX = a b\r\n", "syntax", "a b", 2),
        (b"# check=skip=all\n# syntax=x\n", "check", "skip=all", 1),
        (b"// syntax = x\n", "syntax", "x", 1),
        (b'{ "a": [1, {}],\n "syntax": "x" }\n', "syntax", "x", 1),
        ("\ufeff# escape=`".encode(), "escape", "`", 1),
        (b"# syntax=x\n# syntax=y\n", "syntax", "x", 1),
    ],
)
def test_found(data: bytes, name: str, value: str, line: int) -> None:
    directive = find_directive(data, name)
    assert directive is not None
    assert (directive.value, directive.line) == (value, line)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\n# syntax=x", "syntax"),
        (b"# about\n# syntax=x", "syntax"),
        (b" # syntax=x", "syntax"),
        (b"# syntax=", "syntax"),
        (b"# syn-tax=x\n# syntax=x", "syntax"),
        (b"// check=x", "check"),
        (b'{"check": "x"}', "check"),
        (b'{"syntax": 1}', "syntax"),
        (b'{"syntax": "x"', "syntax"),
        (b"[" * 100_000, "syntax"),
        (b'{"a":' * 100_000, "syntax"),
        (b"\xff\xfe\0", "syntax"),
    ],
)
def test_not_found(data: bytes, name: str) -> None:
    assert find_directive(data, name) is None


def test_check_above_an_instruction() -> None:
    assert check_in_comments(("about", "check = skip=A,B // because")) == "skip=A,B"
    assert check_in_comments(("check=skip=A", "check=skip=B")) == "skip=A"
    assert check_in_comments(("no check=skip=A", "syntax=x")) == ""
