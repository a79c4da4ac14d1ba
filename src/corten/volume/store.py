"""The records of volumes, and the drivers that hold their storage."""

from __future__ import annotations

import re
import secrets
import sqlite3
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from corten.errors import Conflict, InvalidArgument, NotFound
from corten.volume.driver import VolumeDriver, VolumeMount
from corten.volume.local import LocalDriver

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_encode = msgspec.json.encode

_TABLES = """
CREATE TABLE IF NOT EXISTS volumes (
    name TEXT PRIMARY KEY,
    driver TEXT NOT NULL,
    created INTEGER NOT NULL,
    options BLOB NOT NULL,
    labels BLOB NOT NULL,
    anonymous INTEGER NOT NULL
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Volume:
    """The record of one volume; `created` in ns since the epoch."""

    name: str
    driver: str = "local"
    created: int = 0
    options: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    anonymous: bool = False


def check_name(name: str) -> None:
    """InvalidArgument, in Docker's words, for a name that is not one."""
    if not _NAME.fullmatch(name):
        raise InvalidArgument(
            f'create {name}: "{name}" includes invalid characters for a local volume name, only '
            '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. '
            "If you intended to pass a host directory, use absolute path"
        )
    if len(name) > 255:
        raise InvalidArgument(
            f"the name of a volume is at most 255 characters long, this one has {len(name)}"
        )


class VolumeStore:
    """Volumes of one data directory. Which containers use a volume, the engine knows: see `remove`."""

    def __init__(
        self, connection: sqlite3.Connection, root: Path, trash: Path, drivers: Iterable[VolumeDriver] = ()
    ) -> None:
        self._connection = connection
        self._local = LocalDriver(root, trash)
        self._drivers: dict[str, VolumeDriver] = {
            "local": self._local,
            **{driver.name: driver for driver in drivers},
        }
        connection.executescript(_TABLES)

    @property
    def drivers(self) -> list[str]:
        return sorted(self._drivers)

    def create(
        self,
        name: str = "",
        *,
        driver: str = "local",
        options: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        anonymous: bool = False,
    ) -> tuple[Volume, bool]:
        """The volume of that name and whether it is new; an empty name gets a random one.

        An existing one is returned as it is, unless other options or another driver are asked for: Conflict.
        """
        options, labels = dict(options or {}), dict(labels or {})
        driver = driver or "local"
        implementation = self._driver(driver)
        if not name:
            name = secrets.token_hex(32)
        check_name(name)
        if (existing := self.find(name)) is not None:
            if existing.driver != driver or (options and options != existing.options):
                raise Conflict(
                    f"a volume named {name} exists with driver {existing.driver} and options "
                    f"{dict(existing.options)}: remove it first, or choose another name"
                )
            return existing, False
        implementation.check_options(options)
        implementation.create(name, options)
        volume = Volume(name, driver, time.time_ns(), options, labels, anonymous)
        try:
            self._connection.execute(
                "INSERT INTO volumes VALUES (?, ?, ?, ?, ?, ?)",
                (name, driver, volume.created, _encode(options), _encode(labels), int(anonymous)),
            )
        except BaseException:
            self._sweep()
            raise
        return volume, True

    def find(self, name: str) -> Volume | None:
        row = self._connection.execute("SELECT * FROM volumes WHERE name = ?", (name,)).fetchone()
        return None if row is None else _volume(row)

    def get(self, name: str) -> Volume:
        volume = self.find(name)
        if volume is None:
            raise NotFound(f"get {name}: no such volume")
        return volume

    def list(self) -> list[Volume]:
        return [_volume(row) for row in self._connection.execute("SELECT * FROM volumes ORDER BY name")]

    def remove(self, name: str) -> None:
        """Storage first, record last: a crash in between leaves a record that the next start finishes."""
        volume = self.get(name)
        self._driver(volume.driver).remove(name, volume.options)
        self._connection.execute("DELETE FROM volumes WHERE name = ?", (name,))

    def abandon(self, name: str) -> None:
        """Takes back a create that somebody could not go on with, whether its record was written or not."""
        if self.find(name) is not None:
            self.remove(name)
        else:
            self._local.remove(name, {})

    def mountpoint(self, volume: Volume) -> Path:
        return self._driver(volume.driver).mountpoint(volume.name)

    def mount(self, name: str) -> VolumeMount:
        volume = self.get(name)
        return self._driver(volume.driver).mount(name, volume.options)

    def usage(self, volume: Volume) -> int:
        return self._driver(volume.driver).usage(volume.name)

    def recover(self) -> None:
        """Finishes what a crash cut short: removes records without storage, empty storage without record."""
        known = self.list()
        for volume in known:
            if volume.driver in self._drivers and not self._drivers[volume.driver].exists(volume.name):
                self._connection.execute("DELETE FROM volumes WHERE name = ?", (volume.name,))
        self._sweep()

    def _sweep(self) -> None:
        self._local.sweep(frozenset(volume.name for volume in self.list()))

    def _driver(self, name: str) -> VolumeDriver:
        try:
            return self._drivers[name]
        except KeyError:
            raise NotFound(f'error looking up volume plugin {name}: plugin "{name}" not found') from None


def _volume(row: tuple[str, str, int, bytes, bytes, int]) -> Volume:
    name, driver, created, options, labels, anonymous = row
    return Volume(
        name, driver, created, msgspec.json.decode(options), msgspec.json.decode(labels), bool(anonymous)
    )
