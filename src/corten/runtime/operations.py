"""A plan: what it takes to make one container process, worked out beforehand, as primitive values only.

The engine compiles a plan (`runtime.plan`), the launcher executes it (`runtime.execute`); between them
it travels by `marshal`. This module is loaded by the launcher: it imports nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Operation = tuple[Any, ...]


class Plan:
    """One container process: how to clone it, what the parent does, and what the child does until exec.

    `parent` and `child` are operations: tuples of a name and primitive arguments, executed in order (see
    `execute_parent.HANDLERS` and `execute_child.HANDLERS`). `settings` holds what is not a step:
    namespaces to make and to join, id mappings, the cgroup plan, hooks.
    """

    __slots__ = ("child", "parent", "settings", "warnings")

    def __init__(
        self,
        settings: dict[str, Any],
        parent: tuple[Operation, ...],
        child: tuple[Operation, ...],
        warnings: tuple[str, ...] = (),
    ) -> None:
        self.settings = settings
        self.parent = parent
        self.child = child
        self.warnings = warnings

    def to_primitive(self) -> tuple[Any, ...]:
        """The plan as a value that `marshal.dumps` takes."""
        return (self.settings, self.parent, self.child, self.warnings)

    @classmethod
    def from_primitive(cls, value: tuple[Any, ...]) -> Plan:
        """The inverse of `to_primitive`."""
        return cls(*value)

    def describe(self) -> list[str]:
        """One line for each step, in the order of execution, for people (`--dry-run`)."""
        lines = [f"clone {' '.join(self.settings.get('namespaces', ())) or 'without new namespaces'}"]
        lines += [f"parent: {_line(operation)}" for operation in self.parent]
        lines += [_line(operation) for operation in self.child]
        return lines


def _line(operation: Operation) -> str:
    name, *arguments = operation
    return " ".join([str(name).replace("_", " "), *(_text(argument) for argument in arguments)])


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode(errors="replace") if len(value) < 200 else f"<{len(value)} bytes>"
    if isinstance(value, tuple):
        return "[" + ", ".join(_text(item) for item in value) + "]"
    return str(value)
