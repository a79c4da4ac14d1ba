"""Which files are excluded."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corten.build.dockerignore import ROOT, IgnoreMatcher, clean_path, read_dockerignore
from corten.build.dockerignore_pattern import compile_pattern
from corten.build.dockerignore_regex import Automaton
from corten.errors import InvalidArgument
from tests.unit.build.parser.corpus import cases
from tests.unit.build.reference_ignore import ReferencePattern, excluded, walked

Case = dict[str, Any]


@pytest.mark.parametrize("case", cases("dockerignore", "matches", "matches_or_parent"))
def test_corpus(case: Case) -> None:
    if case.get("error"):
        with pytest.raises(InvalidArgument):
            IgnoreMatcher(case["patterns"])
    else:
        assert IgnoreMatcher(case["patterns"]).matches(case["path"]) == case["expected"]


@pytest.mark.parametrize("case", cases("dockerignore", "has_exclusions"))
def test_corpus_has_exceptions(case: Case) -> None:
    assert IgnoreMatcher(case["patterns"]).has_exceptions == case["expected"]


def test_read() -> None:
    text = "\ufeff# remark\n\n a/./b/../c \r\n/d/\n! /e\n#f\n /\n \t\n ! \n**/g/\n"
    assert read_dockerignore(text.encode()) == ("a/c", "d", "!e", "/", "!", "**/g")
    assert read_dockerignore(b"\xff*") == ("\udcff*",)
    assert read_dockerignore(b"") == ()


@pytest.mark.parametrize("path", ["", ".", "//a", "a//b", "a/../..", "/..", "./a/", "../a"])
def test_clean_path(path: str) -> None:
    assert clean_path(path) == ("/" if path == "/.." else os.path.normpath(path).replace("//", "/"))


@pytest.mark.parametrize(
    "pattern",
    ["[", "[]a]", "[^]", "[a-]", "[-a]", "a[b", "\\", "a\\", "[a\\", "!", "[z-a]", "\\p", "[[:x:]]*"],
)
def test_patterns_that_are_wrong(pattern: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        IgnoreMatcher(["a", pattern])
    assert "\n" not in raised.value.message


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("a[^b]c", "a/c", True),
        ("a?c", "a/c", False),
        ("[[:digit:]]", "5", True),
        ("[[:digit:]]", "5]", False),
        ("\\d*", "7up", True),
        ("[\\D]*", "7up", False),
        ("[\\W]x", "-x", True),
        ("[a*]", "b]", False),
        ("[a*]", "/]", True),
        ("^a*", "ab", True),
        ("**/^a*", "b/ab", False),
        ("a**b", "a/x/b", True),
        ("a**b", "axb", False),
        ("a**b", "ab", True),
        ("**ab", "xab", True),
        ("a*c**b", "acxc/b", True),
        ("a\\*", "a*", True),
        ("a\\*", "ab", False),
        ("*", "a\nb", True),
        ("**/b", "a\nb/b", True),
        ("**/b*", "a\nb/b", False),
        ("**/a*/**/b*", "a/a\n/b", True),
        ("ä[à-ö]?", "äöü", True),
        (".*", ".git/config", True),
    ],
)
def test_corners(pattern: str, path: str, expected: bool) -> None:
    assert IgnoreMatcher([pattern]).matches(path) == expected


def test_a_walk() -> None:
    matcher = IgnoreMatcher(["*", "!src", "**/*.o", "!src/keep/**", "src/keep/tmp"])
    source = matcher.enter("src")
    assert not source.excluded
    keep = matcher.enter("src/keep", source)
    assert not matcher.enter("src/keep/a.c", keep).excluded
    assert matcher.enter("src/keep/tmp", keep).excluded
    assert matcher.enter("src/a.o", source).excluded
    docs = matcher.enter("docs")
    assert docs.excluded
    assert matcher.enter("docs/src", docs).excluded


@pytest.mark.parametrize(
    ("patterns", "directory", "expected"),
    [
        (["a"], "a", True),
        (["a"], "b", False),
        (["*", "!a/b/c"], "a", False),
        (["*", "!a/b/c"], "b", True),
        (["**", "!a/b/c"], "a/bc", True),
        (["*", "!*.md"], "a", True),
        (["*", "!a*/x"], "b", True),
        (["*", "!a*/x"], "ab", False),
        (["*", "!**/x"], "a", False),
        (["*", "!a/**"], "b", True),
        (["*", "!a[^b]c"], "a", False),
    ],
)
def test_skip(patterns: list[str], directory: str, expected: bool) -> None:
    matcher = IgnoreMatcher(patterns)
    assert matcher.can_skip(directory, matcher.enter(directory)) == expected


def test_no_patterns() -> None:
    matcher = IgnoreMatcher(["", " "])
    assert not matcher
    assert not matcher.matches("a")
    assert matcher.enter("a") is ROOT


def test_patterns_that_could_take_forever() -> None:
    path = "a" * 2000
    deep = "/".join("a" * 1000)
    for pattern in ("*a" * 30 + "b*", "**/a/" * 30 + "b*", "[^b]*" + "a*" * 30 + "[^b]b", "a**" * 30 + "b*"):
        assert not IgnoreMatcher([pattern]).matches(path)
        assert not IgnoreMatcher([pattern]).enter(deep).excluded


_PATTERN = (
    st.lists(
        st.sampled_from(["a", "b", ".", "/", "*", "**", "**/", "?", "[ab]", "[^a]"]), min_size=1, max_size=7
    )
    .map("".join)
    .filter(lambda text: clean_path(text) != "!")
)
_PATH = (
    st.lists(st.text("ab.\n", min_size=1, max_size=3), min_size=1, max_size=4).map("/".join).map(clean_path)
)
_LINE = st.tuples(st.sampled_from(["", "!"]), _PATTERN).map("".join)
_LINES = st.lists(_LINE.filter(lambda line: clean_path(line) != "!"), max_size=5)


@settings(deadline=None)
@given(_PATTERN, _PATH)
def test_one_pattern(pattern: str, path: str) -> None:
    """The automaton, the expression and the reference agree."""
    compiled = compile_pattern(clean_path(pattern))
    expected = ReferencePattern(pattern).match(path)
    assert IgnoreMatcher([pattern]).enter(path).excluded == expected
    if compiled.tokens:
        assert Automaton(compiled.tokens).matches(path) == expected


@settings(deadline=None)
@given(_LINES, _PATH.filter(lambda path: not path.startswith(".")))
def test_several_patterns(lines: list[str], path: str) -> None:
    matcher = IgnoreMatcher(lines)
    reference = [ReferencePattern(line) for line in lines]
    assert matcher.matches(path) == excluded(reference, path)
    verdict = ROOT
    skipped = False
    parts = path.split("/")
    for count in range(len(parts)):
        step = "/".join(parts[: count + 1])
        verdict = matcher.enter(step, verdict)
        assert verdict.excluded or not skipped
        skipped = skipped or matcher.can_skip(step, verdict)
    assert verdict.excluded == walked(reference, path)
