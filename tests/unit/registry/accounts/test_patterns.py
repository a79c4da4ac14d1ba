from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corten.errors import InvalidArgument
from corten.registry.accounts.patterns import check_pattern, matches


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("team/app", ["team/app"], ["team/app2", "team", "team/app/x", "xteam/app"]),
        ("team/*", ["team/app"], ["team", "team/a/b", "teams/app", "x/team/app"]),
        ("team/**", ["team/app", "team/a/b/c"], ["team", "teams/app"]),
        ("**", ["a", "a/b/c"], []),
        ("*", ["a"], ["a/b"]),
        ("*/app", ["a/app"], ["app", "a/b/app"]),
        ("**/app", ["a/app", "a/b/app"], ["app", "a/xapp"]),
        ("a?c", ["abc"], ["ac", "a/c", "abbc"]),
        ("a*c", ["ac", "abbc"], ["a/c"]),
        ("a**c", ["ac", "a/b/c"], ["b/ac"]),
        ("team-*/dev-*", ["team-a/dev-b"], ["team-a/b", "team-a/x/dev-b"]),
        ("a.b", ["a.b"], ["axb"]),
    ],
)
def test_what_they_are_for(pattern: str, yes: list[str], no: list[str]) -> None:
    assert check_pattern(pattern) == pattern
    assert [name for name in yes if not matches(pattern, name)] == []
    assert [name for name in no if matches(pattern, name)] == []


@given(
    st.lists(st.sampled_from(["*", "**", "?", "/", "a", "b", "."]), max_size=8).map("".join),
    st.text("ab./", max_size=10),
)
def test_as_a_regular_expression_says(pattern: str, name: str) -> None:
    words = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
    tokens = re.findall(r"\*\*|.", pattern)
    expression = "".join(words.get(token, re.escape(token)) for token in tokens)
    assert matches(pattern, name) == (re.fullmatch(expression, name) is not None)


def test_no_pattern_is_slow() -> None:
    """A regular expression would take years for this one."""
    assert not matches(check_pattern("**a" * 60 + "b"), "a" * 255)


@pytest.mark.parametrize(
    "text", ["", "/a", "a/", "a//b", "***", "a***", "A", "a b", "[ab]", "{a,b}", "a\n", "!a", "a" * 256]
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid repository pattern"):
        check_pattern(text)
