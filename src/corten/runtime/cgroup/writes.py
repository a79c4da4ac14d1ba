"""Collect the writes that resources ask for, and find the hierarchy each controller lives in."""

from __future__ import annotations

from corten.errors import LimitError
from corten.runtime.cgroup import apply
from corten.runtime.cgroup.layout import Hierarchy, Layout


class Writes:
    """What is to be written for one cgroup: this class knows the paths, its callers the values."""

    def __init__(self, layout: Layout, name: str, *, best_effort: bool = False) -> None:
        self.layout = layout
        self.name = name
        self.best_effort = best_effort
        self.items: list[apply.Alternatives] = []
        self.warnings: list[str] = []
        self.used: dict[str, Hierarchy] = {}  # by mountpoint: where a limit is asked for
        self.v2_controllers: list[str] = []

    def hierarchy(self, controller: str, limit: str) -> Hierarchy | None:
        """The hierarchy of `controller`, noted as needed; LimitError (or a warning, and None) without one.

        `limit` is what was asked for, in a user's words.
        """
        found = self.layout.of(controller)
        if found is None:
            self.missing(f"{limit} cannot be kept: this host has no {controller!r} cgroup controller")
            return None
        self.used[found.mountpoint] = found
        if found.v2 and controller not in self.v2_controllers:
            self.v2_controllers.append(controller)
        return found

    def missing(self, sentence: str) -> None:
        """A limit that this host cannot keep: an error, or with best effort a warning."""
        if not self.best_effort:
            raise LimitError(sentence)
        self.warnings.append(sentence)

    def warn(self, sentence: str) -> None:
        """Something that is rightly ignored, but should be told."""
        self.warnings.append(sentence)

    def path(self, hierarchy: Hierarchy, file: str) -> str:
        return hierarchy.directory(self.name) + "/" + file

    def write(
        self,
        hierarchy: Hierarchy,
        file: str,
        value: object,
        check: str = apply.EQUAL,
        expected: object = None,
    ) -> None:
        """One value into one file; `expected` is what the file must say then, if it is not `value`."""
        self.items.append((self.item(hierarchy, file, value, check, expected),))

    def item(
        self,
        hierarchy: Hierarchy,
        file: str,
        value: object,
        check: str = apply.EQUAL,
        expected: object = None,
    ) -> apply.Write:
        """The same, for a list of alternatives."""
        there = str(value if expected is None else expected)
        return (self.path(hierarchy, file), (str(value),), check, there)
