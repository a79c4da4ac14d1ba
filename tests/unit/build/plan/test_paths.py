"""Paths by Go's rules."""

from __future__ import annotations

import pytest

from corten.build.context.wildcard import compile_component, split_wildcards
from corten.build.plan import paths


@pytest.mark.parametrize(
    ("path", "cleaned"),
    [
        ("", "."),
        ("/", "/"),
        ("//", "/"),
        ("a/..", "."),
        ("../a", "../a"),
        ("a/../../b", "../b"),
        ("/../a", "/a"),
        ("a//b/./c/", "a/b/c"),
        ("/a/../..", "/"),
    ],
)
def test_clean(path: str, cleaned: str) -> None:
    assert paths.clean(path) == cleaned


@pytest.mark.parametrize(
    ("current", "path", "result"),
    [
        ("/a", "b", "/a/b"),
        ("/a", "/b//c/", "/b//c/"),
        ("/a", "../..", "/"),
        ("", "b/", "/b"),
        ("", "", "/"),
        ("/a", "", "/a"),
        ("rel", "b", "/rel/b"),
    ],
)
def test_working_directory(current: str, path: str, result: str) -> None:
    assert paths.working_directory(current, path) == result


@pytest.mark.parametrize("name", ["a", "a[1].tgz", "a*b?", "[\\]", "a\\*", "a\\b"])
def test_without_wildcards(name: str) -> None:
    base, wildcards = split_wildcards(f"/d/{paths.without_wildcards(name)}")
    if wildcards:
        assert base == "d"
        (pattern,) = wildcards
        assert compile_component(pattern).fullmatch(name)
        assert not compile_component(pattern).fullmatch(name + name)
    else:
        assert base == f"d/{name}"


@pytest.mark.parametrize(("path", "last"), [("", "."), ("/", "/"), ("a", "a"), ("/a/b/", "b"), ("..", "..")])
def test_base(path: str, last: str) -> None:
    assert paths.base(path) == last


@pytest.mark.parametrize(
    ("path", "has"),
    [("a*", True), ("a?", True), ("[a]", True), (r"a\*b", False), (r"a\\*", True), ("a\\", False)],
)
def test_has_wildcard(path: str, has: bool) -> None:
    assert paths.has_wildcard(path) is has
