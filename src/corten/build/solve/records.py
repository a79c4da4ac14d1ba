"""What the cache knows: which key has which result.

A record's identity is what keys of those that build upon it are made of. It is the record's key, unless the
operation was run again although there was a record (--no-cache): then the old results of what builds upon it
must not be found any more, so it gets an identity of its own. A record is written when its layers are in
place, never before.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from corten.build.solve.database import CacheDatabase
from corten.build.solve.keys import digest_of
from corten.build.solve.layer_store import LayerStore
from corten.build.solve.result import Result
from corten.errors import NotFound

_COLUMNS = "key, portable, identity, chain, name, kind"


@dataclass(frozen=True, slots=True)
class Record:
    """`key` is what it is found by here, `portable` what it is found by on every machine. `result` is None
    for one of which only the key was imported."""

    key: str
    portable: str
    identity: str
    result: Result | None
    name: str
    kind: str


class RecordLookup(Protocol):
    """What one build looks in: the records, perhaps with what it has imported beside them."""

    def find(self, key: str) -> Record | None: ...

    def intact(self, record: Record) -> bool: ...

    def may_match(self, partial: str) -> bool: ...

    def content(self, key: str) -> str | None: ...

    def note_content(self, key: str, digest: str) -> None: ...

    def used(self, keys: Iterable[str]) -> None: ...


class Records:
    """Thread-safe."""

    def __init__(self, database: CacheDatabase, layers: LayerStore) -> None:
        self._database = database
        self._layers = layers

    def find(self, key: str) -> Record | None:
        """The record of a key. Its layers may have been lost: see `intact`."""
        row = self._database.one(f"SELECT {_COLUMNS} FROM records WHERE key = ?", (key,))
        return None if row is None else self._record(row)

    def _record(self, row: tuple[str, str, str, str | None, str, str]) -> Record | None:
        key, portable, identity, chain, name, kind = row
        try:
            result = None if chain is None else Result(self._layers.known(chain.split()))
        except NotFound:
            return None
        return Record(key, portable, identity, result, name, kind)

    def intact(self, record: Record) -> bool:
        """Whether all layers that were made here are there. If not, the record is forgotten."""
        if record.result is not None and all(
            self._layers.contains(layer) for layer in record.result.layers if layer.is_made_here
        ):
            return True
        if record.result is not None:
            self.forget([record.key])
        return False

    def may_match(self, partial: str) -> bool:
        """Whether there is any record with this partial key: if not, no content makes it a hit."""
        return self._database.one("SELECT 1 FROM records WHERE partial = ? LIMIT 1", (partial,)) is not None

    def add(
        self,
        key: str,
        *,
        portable: str,
        partial: str,
        result: Result,
        name: str,
        kind: str = "regular",
        again: bool = False,
    ) -> Record:
        """Writes down a result, whose layers are in place and pinned. When somebody else was first, theirs
        stays and is returned; unless with `again`, which replaces it."""
        now = time.time_ns()
        with self._database.transaction():
            known = self.find(key)
            if known is not None and known.result is not None and not again:
                return known
            replaces = known is not None and known.result is not None
            identity = digest_of("again", key, secrets.token_hex(16)) if replaces else key
            self._layers.note(result.layers)
            self._database.all(
                "INSERT OR REPLACE INTO records"
                " (key, portable, partial, identity, chain, name, kind, created, used, uses)"
                " VALUES (?,?,?,?,?,?,?,?,?,0)",
                (
                    key,
                    portable,
                    partial,
                    identity,
                    " ".join(layer.id for layer in result.layers),
                    name,
                    kind,
                    now,
                    now,
                ),
            )
        return Record(key, portable, identity, result, name, kind)

    def add_imported(self, portable: str, partial: str, result: Result | None, name: str) -> bool:
        """Writes down what another machine has found: a result whose layers can be fetched, or (None) only
        that the key exists. False when the key was known."""
        now = time.time_ns()
        with self._database.transaction():
            known = self._database.one("SELECT chain FROM records WHERE key = ?", (portable,))
            if known is not None and (known[0] is not None or result is None):
                return False
            chain = None
            if result is not None:
                self._layers.note(result.layers)
                chain = " ".join(layer.id for layer in result.layers)
            self._database.all(
                "INSERT OR REPLACE INTO records"
                " (key, portable, partial, identity, chain, name, kind, created, used, uses)"
                " VALUES (?,?,?,?,?,?,'regular',?,?,0)",
                (portable, portable, partial, portable, chain, name, now, now),
            )
        return True

    def partial_of(self, portable: str) -> str | None:
        """The partial key of a record, for who exports it."""
        row = self._database.one("SELECT partial FROM records WHERE portable = ?", (portable,))
        return None if row is None else str(row[0])

    def used(self, keys: Iterable[str]) -> None:
        """Counts a use of each."""
        now = time.time_ns()
        with self._database.transaction():
            for key in keys:
                self._database.all("UPDATE records SET used = ?, uses = uses + 1 WHERE key = ?", (now, key))

    def forget(self, keys: Iterable[str]) -> None:
        """Removes records; their layers go with the next `LayerStore.sweep`."""
        with self._database.transaction():
            for key in keys:
                self._database.all("DELETE FROM records WHERE key = ?", (key,))

    def forget_with(self, lost: Iterable[str]) -> None:
        """Removes every record that has one of these layers."""
        gone = set(lost)
        if not gone:
            return
        rows = self._database.all("SELECT key, chain FROM records WHERE chain IS NOT NULL")
        self.forget(key for key, chain in rows if not gone.isdisjoint(chain.split()))

    # -- digests of contents

    def content(self, key: str) -> str | None:
        """The digest of a selection that is known (`keys.content_key`)."""
        row = self._database.one("SELECT digest FROM contents WHERE key = ?", (key,))
        return None if row is None else str(row[0])

    def note_content(self, key: str, digest: str) -> None:
        """Remembers one."""
        self._database.all("INSERT OR REPLACE INTO contents VALUES (?,?,?)", (key, digest, int(time.time())))
