"""The check for COPY and ADD of files that the .dockerignore excludes."""

from __future__ import annotations

from corten.build.dockerignore import IgnoreMatcher, clean_path
from corten.build.instructions.types import Copy, Instruction
from corten.build.lint.linter import Linter
from corten.build.lint.rules import COPY_IGNORED_FILE
from corten.build.parser.quotation import quoted

_EVERYTHING = ("*", "**", "**/*")


class IgnoredSources:
    """Knows the lines of a .dockerignore. With `!` lines among them nothing is said: a directory can be
    excluded, and something in it not."""

    def __init__(self, lines: tuple[str, ...]) -> None:
        self._lines = lines
        self._matcher: IgnoreMatcher | None = None

    def report(self, linter: Linter, instruction: Instruction, source: str) -> None:
        """`source` is a path in the context. Raises InvalidArgument for lines that are no patterns."""
        if not self._lines:
            return
        if self._matcher is None:
            self._matcher = IgnoreMatcher(self._lines)
        if self._matcher.has_exceptions:
            return
        source = clean_path(source)
        if source in (".", "/"):
            # The context itself is never excluded, but all that is in it can be.
            is_ignored = any(line.strip() in _EVERYTHING for line in self._lines)
        else:
            is_ignored = self._matcher.matches(source)
        if is_ignored:
            verb = "Copy" if isinstance(instruction, Copy) else "Add"
            linter.report(COPY_IGNORED_FILE, instruction.node, verb, quoted(source))
