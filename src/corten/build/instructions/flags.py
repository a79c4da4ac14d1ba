"""The flags of an instruction: `--name`, `--name=value`."""

from __future__ import annotations

import msgspec

from corten.build.instructions.suggestion import suggestion
from corten.build.parser.source_error import DockerfileError, error_at, error_at_offset
from corten.build.parser.syntax_tree import Node


class Flags(msgspec.Struct, frozen=True):
    """The values of the flags that were given, in their order."""

    given: dict[str, list[str]]

    def text(self, name: str, default: str = "") -> str:
        return self.given[name][0] if name in self.given else default

    def texts(self, name: str) -> tuple[str, ...]:
        return tuple(self.given.get(name, ()))

    def boolean(self, name: str) -> bool | None:
        """None: not given."""
        return self.given[name][0] == "true" if name in self.given else None


def read_flags(
    node: Node,
    *,
    text: tuple[str, ...] = (),
    texts: tuple[str, ...] = (),
    boolean: tuple[str, ...] = (),
) -> Flags:
    """The flags of `node`, of which `text` take a value, `texts` take one and may come again, and `boolean`
    may do without one. Raises DockerfileError for others."""
    given: dict[str, list[str]] = {}
    for argument in node.flags:
        flag, equals, value = argument.partition("=")
        name = flag[2:]
        if name not in (*text, *texts, *boolean):
            hint = suggestion(flag, [f"--{known}" for known in (*text, *texts, *boolean)])
            raise error_at(node, f"unknown flag: {flag}{hint}", flag)
        if name in given and name not in texts:
            raise _repeated(node, flag)
        if name in boolean:
            value = _truth(node, flag, equals, value)
        elif not equals:
            raise error_at(node, f"missing a value on flag: {flag}", flag)
        given.setdefault(name, []).append(value)
    return Flags(given)


def _truth(node: Node, flag: str, equals: str, value: str) -> str:
    if equals and not value:
        raise error_at(node, f"missing a value on flag: {flag}", flag)
    if value.lower() not in ("", "true", "false"):
        reason = f"expecting boolean value for flag {flag}, not: {value}"
        raise error_at(node, reason, f"{flag}={value}")
    return value.lower() or "true"


def _repeated(node: Node, flag: str) -> DockerfileError:
    second = node.original.find(flag, node.original.find(flag) + 1)
    return error_at_offset(node, f"duplicate flag specified: {flag}", max(second, 0), len(flag))
