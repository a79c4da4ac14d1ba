"""Patterns of substitutions against the regular expressions that they stand for."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from corten.build.parser.shell_pattern import ShellPattern

_PATTERN = st.lists(st.sampled_from(["a", "b", "*", "?", "\\*", "\n"]), max_size=6).map("".join)
_VALUE = st.text("ab*\n", max_size=10)


def _expression(pattern: str, star: str) -> str:
    return re.sub(r"\\\*|\*|\?", lambda match: {"*": star, "?": ".", "\\*": r"\*"}[match[0]], pattern)


def _reversed(pattern: str) -> str:
    return "".join(re.findall(r"\\?.", pattern, re.DOTALL)[::-1])


@settings(deadline=None)
@given(_PATTERN, _VALUE)
def test_trim(pattern: str, value: str) -> None:
    shell_pattern = ShellPattern(pattern)
    for longest, star in ((True, ".*"), (False, ".*?")):
        match = re.match(_expression(pattern, star), value)
        assert shell_pattern.trim_prefix(value, longest) == (value[match.end() :] if match else value)
        match = re.match(_expression(_reversed(pattern), star), value[::-1])
        assert shell_pattern.trim_suffix(value, longest) == (
            value[: len(value) - match.end()] if match else value
        )


@settings(deadline=None)
@given(_PATTERN, _VALUE)
def test_replace(pattern: str, value: str) -> None:
    expected = re.sub(_expression(pattern, ".*"), "x$", value, count=1)
    assert ShellPattern(pattern).replace(value, "x$", False, 1000) == expected


def test_replace_everywhere() -> None:
    def replaced(pattern: str, value: str, replacement: str) -> str:
        return ShellPattern(pattern).replace(value, replacement, True, 1000)

    assert replaced("a", "abca", "x") == "xbcx"
    assert replaced("", "ab", "-") == "-a-b-"
    assert replaced("b*", "abab", "-") == "a-"
    assert replaced("*", "ab", "-") == "-"
    assert replaced("a", "aba", "[$0|$1|${name}|$$]") == "[a|||$]b[a|||$]"
