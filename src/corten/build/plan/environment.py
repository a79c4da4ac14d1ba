"""The variables of a stage while it is planned."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any


class Environment(Mapping[str, str]):
    """What `$name` and processes see: ENV and ARG. In the order of the last assignment, as in BuildKit's
    states."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}
        self._entries: dict[str, str] = {}
        self._tuple: tuple[str, ...] | None = ()

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def get(self, name: str, default: Any = None) -> Any:
        return self._values.get(name, default)

    def assign(self, name: str, value: str) -> None:
        """`name` is the latest from now on."""
        self._values.pop(name, None)
        self._values[name] = value
        self._entries.pop(name, None)
        self._entries[name] = f"{name}={value}"
        self._tuple = None

    def inherit(self, other: Environment) -> None:
        """Takes all of `other`, in its order. The strings are shared."""
        self._values.update(other._values)
        self._entries.update(other._entries)
        self._tuple = None

    @property
    def is_written(self) -> bool:
        """Whether `entries` is there already: until the next change all share it."""
        return self._tuple is not None

    def entries(self) -> tuple[str, ...]:
        """`name=value` of each."""
        if self._tuple is None:
            self._tuple = tuple(self._entries.values())
        return self._tuple


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
