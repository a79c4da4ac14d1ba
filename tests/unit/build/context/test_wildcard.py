"""Go's filepath.Match, component by component."""

from __future__ import annotations

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corten.build.context.wildcard import compile_component, has_wildcard, split_wildcards
from corten.errors import InvalidArgument


def matches(pattern: str, name: str) -> bool:
    return compile_component(pattern).fullmatch(name) is not None


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("abc", "abc", True),
        ("*", "", True),
        ("*c", "abc", True),
        ("a*", "ab\nc", True),
        ("a*b*c", "a-b-c", True),
        ("ab[c]", "abc", True),
        ("ab[b-d]", "abc", True),
        ("ab[e-g]", "abc", False),
        ("ab[^c]", "abc", False),
        ("ab[^e-g]", "abc", True),
        (r"a\*b", "a*b", True),
        (r"a\*b", "axb", False),
        ("a?b", "aöb", True),
        ("a[^a]b", "aöb", True),
        ("a?b", "a\udcffb", True),
        ("[a-ζ]*", "α", True),
        ("*[a-ζ]", "A", False),
        (r"[\]a]", "]", True),
        (r"[\-x]", "-", True),
        (r"[x\-]", "z", False),
        (r"[\-x]", "a", False),
        ("[z-a]", "m", False),
        ("a(b).txt", "a(b).txt", True),
        ("a.c", "abc", False),
    ],
)
def test_matches(pattern: str, name: str, expected: bool) -> None:
    assert matches(pattern, name) is expected


@pytest.mark.parametrize(
    "pattern", ["[", "[]", "[]a]", "[-]", "[x-]", "[-x]", "[a-b-c]", "[^", "a[", "a\\", "[\\"]
)
def test_malformed_patterns_are_refused(pattern: str) -> None:
    with pytest.raises(InvalidArgument, match="malformed"):
        compile_component(pattern)


@given(st.text("ab*?", max_size=8), st.text("ab", max_size=8))
def test_stars_and_question_marks_are_those_of_shells(pattern: str, name: str) -> None:
    assert matches(pattern, name) == fnmatch.fnmatchcase(name, pattern)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", ("", ())),
        ("a/./b//c", ("a/b/c", ())),
        ("/a/b*/c", ("a", ("b*", "c"))),
        (r"a/\*/b?", (r"a/\*", ("b?",))),
        ("*", ("", ("*",))),
    ],
)
def test_a_path_is_split_before_its_first_wildcard(path: str, expected: tuple[str, tuple[str, ...]]) -> None:
    assert split_wildcards(path) == expected


def test_a_backslash_takes_the_meaning_from_what_follows() -> None:
    assert not has_wildcard(r"a\*\?\[")
    assert has_wildcard(r"a\\*")
