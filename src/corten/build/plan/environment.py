"""The variables of a stage while it is planned."""

from __future__ import annotations

from collections.abc import Iterable


class Environment(dict[str, str]):
    """What `$name` and processes see: ENV and ARG. In the order of the last assignment, as in BuildKit's
    states."""

    def assign(self, name: str, value: str) -> None:
        """`name` is the latest from now on."""
        self.pop(name, None)
        self[name] = value

    def entries(self) -> tuple[str, ...]:
        """`name=value` of each."""
        return tuple([f"{name}={value}" for name, value in self.items()])


class ConfigEnvironment:
    """`Env` of an image's config: a variable keeps its place when it changes; entries of a base that are
    there twice stay so."""

    def __init__(self, entries: Iterable[str] = ()) -> None:
        self._entries = list(entries)
        self._places: dict[str, int] = {}
        for place, entry in enumerate(self._entries):
            self._places.setdefault(entry.partition("=")[0], place)

    def copy(self) -> ConfigEnvironment:
        return ConfigEnvironment(self._entries)

    def assign(self, name: str, value: str) -> None:
        place = self._places.setdefault(name, len(self._entries))
        entry = f"{name}={value}"
        if place == len(self._entries):
            self._entries.append(entry)
        else:
            self._entries[place] = entry

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def entries(self) -> list[str]:
        return list(self._entries)

    def items(self) -> list[tuple[str, str]]:
        """Names and values, in order."""
        return [(name, value) for name, _, value in (entry.partition("=") for entry in self._entries)]
