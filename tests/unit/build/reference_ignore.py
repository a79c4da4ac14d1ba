"""moby/patternmatcher's rules, said as simply as they can be: one regular expression for each pattern, every
pattern for every path. What the tests hold the fast matcher against."""

from __future__ import annotations

import posixpath
import re

from corten.build.dockerignore import clean_path


class ReferencePattern:
    """For patterns of letters, `*`, `?`, `/` and classes."""

    def __init__(self, text: str) -> None:
        text = clean_path(text)
        self.exception = text.startswith("!")
        self.text = text.removeprefix("!")
        self.kind, self.expression = self._compiled()

    def _compiled(self) -> tuple[str, str]:
        kind, parts, rest = "exact", [], self.text
        while rest:
            first = rest == self.text
            if rest.startswith("**"):
                rest = rest[2:].removeprefix("/")
                if rest:
                    kind, part = "regex", "(.*/)?"
                elif kind == "exact":
                    kind, part = "prefix", ""
                else:
                    kind, part = "regex", ".*"
                if first:
                    kind = "suffix"
            elif rest[0] in "*?":
                kind, part, rest = "regex", "[^/]*" if rest[0] == "*" else "[^/]", rest[1:]
            elif rest[0] in "[]":
                kind, part, rest = "regex", rest[0], rest[1:]
            else:
                part, rest = re.escape(rest[0]) if rest[0] not in "^-" else rest[0], rest[1:]
            parts.append(part)
        return kind, "".join(parts)

    def match(self, path: str) -> bool:
        match self.kind:
            case "exact":
                return path == self.text
            case "prefix":
                return path.startswith(self.text[:-2])
            case "suffix":
                suffix = self.text[2:]
                return path.endswith(suffix) or (suffix.startswith("/") and path == suffix[1:])
            case _:
                return re.fullmatch(self.expression, path) is not None


def excluded(patterns: list[ReferencePattern], path: str) -> bool:
    """Whether `path` is excluded, by itself or by a directory above it."""
    parts = path.split("/")
    above = ["/".join(parts[: count + 1]) for count in range(len(parts) - 1)]
    matched = False
    for pattern in patterns:
        if pattern.exception == matched and any(map(pattern.match, [path, *above])):
            matched = not pattern.exception
    return matched


def walked(patterns: list[ReferencePattern], path: str) -> bool:
    """The same, as a walk down to `path` finds it: a pattern that was not asked about a directory, because
    it could not have changed anything there, is not asked about it again below."""
    parents: list[bool] = [False] * len(patterns)
    matched = False
    parts = path.split("/")
    for count in range(len(parts)):
        step = posixpath.join(*parts[: count + 1])
        matched = False
        found: list[bool] = []
        for pattern, parent in zip(patterns, parents, strict=True):
            match = parent or (pattern.exception == matched and pattern.match(step))
            found.append(match)
            if match:
                matched = not pattern.exception
        parents = found
    return matched
