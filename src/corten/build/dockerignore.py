"""Which files a .dockerignore excludes: the rules of moby/patternmatcher, exactly.

The last line that matches a path, or a directory above it, decides; `!` lines take it in again.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable

import msgspec

from corten.build.dockerignore_pattern import BadPattern, Pattern, compile_pattern
from corten.build.dockerignore_regex import Automaton, expression
from corten.build.parser.white_space import SPACE
from corten.errors import InvalidArgument


def read_dockerignore(data: bytes) -> tuple[str, ...]:
    """The patterns in a .dockerignore file: cleaned, relative to the context, with their `!`. What is not
    UTF-8 becomes lone surrogates, as in file names (PEP 383)."""
    patterns: list[str] = []
    for line in data.decode("utf-8", "surrogateescape").removeprefix("\ufeff").split("\n"):
        if line.startswith("#"):
            continue
        pattern = line.strip(SPACE)
        if not pattern:
            continue
        exception = pattern.startswith("!")
        if exception:
            pattern = pattern[1:].strip(SPACE)
        if pattern:
            pattern = clean_path(pattern)
            if len(pattern) > 1:
                pattern = pattern.removeprefix("/")
        patterns.append("!" + pattern if exception else pattern)
    return tuple(patterns)


def clean_path(path: str) -> str:
    """The shortest path that means the same (Go's filepath.Clean)."""
    cleaned = posixpath.normpath(path)
    return cleaned[1:] if cleaned.startswith("//") else cleaned


class Verdict(msgspec.Struct, frozen=True):
    """What was found for a path: whether it is excluded, and, for `enter` on what is below it, which
    groups of patterns matched it (a set of bits)."""

    excluded: bool
    groups: int


ROOT = Verdict(excluded=False, groups=0)
"""That of the context's own directory."""


class IgnoreMatcher:
    """Tells of paths (relative, with slashes, clean) whether the patterns exclude them.

    For a walk, `enter` takes the verdict of the directory above and looks at the path itself only;
    `can_skip` tells that nothing below a directory can be taken in.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        """Raises InvalidArgument for a pattern whose syntax is wrong."""
        self._groups: list[_Group] = []
        members: list[Pattern] = []
        for text in patterns:
            exception, pattern = _parse(text)
            if pattern is None:
                continue
            if not self._groups or self._groups[-1].exception != exception:
                members = []
                self._groups.append(_Group(exception, members))
            members.append(pattern)
        for group in self._groups:
            group.compile()
        exceptions = [pattern for group in self._groups if group.exception for pattern in group.patterns]
        self._above_exceptions = {
            directory for pattern in exceptions for directory in _above(pattern.exact or "")
        }
        self._wide_exceptions = [pattern for pattern in exceptions if pattern.exact is None]

    @property
    def has_exceptions(self) -> bool:
        return any(group.exception for group in self._groups)

    def __bool__(self) -> bool:
        """Whether there is any pattern."""
        return bool(self._groups)

    def matches(self, path: str) -> bool:
        """Whether `path` is excluded, by itself or by a directory above it. The context's own directory
        never is."""
        path = clean_path(path)
        if path == ".":
            return False
        paths = [path, *_above(path)]
        excluded = False
        for group in self._groups:
            if group.exception == excluded and any(map(group.matches, paths)):
                excluded = not group.exception
        return excluded

    def enter(self, path: str, above: Verdict = ROOT) -> Verdict:
        """The verdict on `path`, whose directory has the verdict `above`."""
        excluded = False
        groups = 0
        bit = 1
        for group in self._groups:
            if above.groups & bit or (group.exception == excluded and group.matches(path)):
                groups |= bit
                excluded = not group.exception
            bit <<= 1
        if groups == above.groups and excluded == above.excluded:
            return above
        return Verdict(excluded, groups)

    def can_skip(self, directory: str, verdict: Verdict) -> bool:
        """Whether all below `directory`, which has this verdict, is excluded as well, whatever it is."""
        return (
            verdict.excluded
            and directory not in self._above_exceptions
            and not any(pattern.can_match_below(directory) for pattern in self._wide_exceptions)
        )


def _parse(text: str) -> tuple[bool, Pattern | None]:
    """Whether it is an exception, and the pattern; None for an empty line."""
    text = text.strip(SPACE)
    if not text:
        return False, None
    text = clean_path(text)
    exception = text.startswith("!")
    if text == "!":
        raise InvalidArgument('.dockerignore: illegal exclusion pattern: "!"')
    try:
        return exception, compile_pattern(text.removeprefix("!"))
    except BadPattern as error:
        raise InvalidArgument(f".dockerignore: {error}") from None


def _above(path: str) -> list[str]:
    """The directories above `path`, the topmost first."""
    directory = posixpath.dirname(path)
    if not directory:
        return []
    parts = directory.split("/")
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]


class _Group:
    """Patterns that follow each other and say the same: any of them that matches is as good as another."""

    def __init__(self, exception: bool, patterns: list[Pattern]) -> None:
        self.exception = exception
        self.patterns = patterns

    def compile(self) -> None:
        self._exact: set[str] = set()
        prefixes: list[str] = []
        suffixes: list[str] = []
        expressions: list[str] = []
        self._automata: list[Automaton] = []
        self._all_automata: list[Automaton] = []
        for pattern in self.patterns:
            if pattern.exact is not None:
                self._exact.add(pattern.exact)
            elif pattern.prefix is not None:
                prefixes.append(pattern.prefix)
            elif pattern.suffix is not None:
                suffixes.append(pattern.suffix)
                if pattern.suffix.startswith("/"):
                    self._exact.add(pattern.suffix[1:])
            else:
                automaton = Automaton(pattern.tokens)
                self._all_automata.append(automaton)
                text = expression(pattern.tokens)
                if text is None:
                    self._automata.append(automaton)
                else:
                    expressions.append(text)
        self._prefixes = tuple(prefixes)
        self._suffixes = tuple(suffixes)
        self._expression = re.compile("|".join(expressions)) if expressions else None

    def matches(self, path: str) -> bool:
        if path in self._exact or path.startswith(self._prefixes) or path.endswith(self._suffixes):
            return True
        if "\n" in path:
            return any(automaton.matches(path) for automaton in self._all_automata)
        if self._expression is not None and self._expression.fullmatch(path):
            return True
        return any(automaton.matches(path) for automaton in self._automata)
