"""What the build cache holds, and taking from it: records with their layers, cache mounts, fetched sources.

A record goes only when nothing is built upon its layer any more: so what goes always frees something, and
what is left is always whole. What images share with the cache counts as theirs, and stays when a record goes;
what a running build uses stays in any case.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from corten.build.solve.cache_mounts import CacheMounts, MountUsage
from corten.build.solve.database import CacheDatabase
from corten.build.solve.explanation import forget_old
from corten.build.solve.layer_store import LayerStore
from corten.build.solve.records import Records
from corten.content.allocation import allocated
from corten.errors import NotFound
from corten.image.registrar import Registrar
from corten.oci.descriptor import Descriptor
from corten.oci.digest import hex_of

REGULAR, CACHE_MOUNT = "regular", "exec.cachemount"
RECENT_SECONDS = 48 * 3600
_MUTABLE = frozenset({CACHE_MOUNT, "source.local", "source.git.checkout"})
_ID_LENGTH = 25


@dataclass(frozen=True, slots=True)
class CacheItem:
    """One entry. `size` is what it takes by itself, in bytes; times are nanoseconds since 1970. `shared`: an
    image has it as well, whose it counts as. `parents` are the ids of what it was built upon."""

    id: str
    type: str
    description: str
    size: int
    created: int
    used: int
    uses: int
    in_use: bool = False
    shared: bool = False
    parents: tuple[str, ...] = ()

    @property
    def is_mutable(self) -> bool:
        """Whether another build may go on writing it."""
        return self.type in _MUTABLE


class OtherCache(Protocol):
    """What else is kept between builds: repositories, downloads."""

    def usage(self) -> list[CacheItem]:
        """Its entries. Called in a thread."""
        ...

    def remove(self, id: str) -> Callable[[], None] | None:
        """Takes an entry away, on the event loop, unless a build may be using it (None); what is returned
        deletes it, and blocks."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneOptions:
    """Which entries may go: all that match. Without `all`, what images share, and cache mounts and sources
    that were used within two days, stay. `unused_since`: not used after that moment (nanoseconds).

    How far: until at most `most` bytes are left and at least `free` bytes of the disk are free, but never
    below `least`; nothing given: as far as can be.
    """

    all: bool = False
    unused_since: int | None = None
    ids: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    descriptions: tuple[str, ...] = ()
    in_use: bool | None = None
    shared: bool | None = None
    mutable: bool | None = None
    parents: tuple[str, ...] = ()
    least: int = 0
    most: int = 0
    free: int = 0

    def allows(self, item: CacheItem) -> bool:
        """Whether the entry may go."""
        if item.in_use:
            return False
        if not self.all:
            recent = item.used > time.time_ns() - RECENT_SECONDS * 10**9
            if item.shared or (item.type != REGULAR and recent and self.unused_since is None):
                return False
        return (
            (self.unused_since is None or item.used <= self.unused_since)
            and (not self.ids or any(item.id.startswith(prefix) for prefix in self.ids))
            and (not self.types or item.type in self.types)
            and (not self.descriptions or any(re.search(p, item.description) for p in self.descriptions))
            and self.in_use in (None, item.in_use)
            and self.shared in (None, item.shared)
            and self.mutable in (None, item.is_mutable)
            and (not self.parents or any(p.startswith(id) for id in self.parents for p in item.parents))
        )


@dataclass(frozen=True, slots=True)
class Pruned:
    """The ids of what went, and the bytes that it freed."""

    ids: tuple[str, ...] = ()
    freed: int = 0


@dataclass(slots=True)
class _Entry:
    """A record, and the ids of its layers."""

    key: str
    item: CacheItem
    chain: tuple[str, ...]


class Pruner:
    """One per engine, on its event loop."""

    def __init__(
        self,
        database: CacheDatabase,
        records: Records,
        layers: LayerStore,
        mounts: CacheMounts,
        images: Registrar,
        others: Sequence[OtherCache] = (),
    ) -> None:
        self._database = database
        self._records = records
        self._layers = layers
        self._mounts = mounts
        self._images = images
        self._others = others
        self._pruning = asyncio.Lock()

    async def usage(self) -> list[CacheItem]:
        """All entries, those used last first."""
        entries = await asyncio.to_thread(self._entries)
        others = [item for cache in self._others for item in await asyncio.to_thread(cache.usage)]
        mounts = await asyncio.to_thread(self._mount_items)
        found = [entry.item for entry in entries] + mounts + others
        return sorted(found, key=lambda item: (-item.used, item.id))

    async def prune(self, options: PruneOptions) -> Pruned:
        """Takes away what may go, what was used least recently first."""
        async with self._pruning:
            return await self._prune(options)

    async def _prune(self, options: PruneOptions) -> Pruned:
        entries = await asyncio.to_thread(self._entries)
        sources: dict[str, tuple[OtherCache | None, str]] = {}
        loose: list[CacheItem] = []
        for mount in await asyncio.to_thread(self._mounts.usage):
            item = _mount_item(mount)
            sources[item.id] = (None, mount.name)
            loose.append(item)
        for cache in self._others:
            for item in await asyncio.to_thread(cache.usage):
                sources[item.id] = (cache, item.id)
                loose.append(item)
        removal = await asyncio.to_thread(self._choose, options, entries, loose)
        gone: list[str] = []
        freed = 0
        for item in removal.loose:
            owner, name = sources[item.id]
            delete = self._mounts.remove(name) if owner is None else owner.remove(name)
            if delete is not None:
                await asyncio.to_thread(delete)
                gone.append(item.id)
                freed += item.size
        if removal.records:
            self._records.forget(entry.key for entry in removal.records)
            gone += [entry.item.id for entry in removal.records]
            freed += sum(entry.item.size for entry in removal.records if not entry.item.shared)
        await asyncio.to_thread(self._sweep)
        return Pruned(tuple(gone), freed)

    def _choose(self, options: PruneOptions, entries: list[_Entry], loose: list[CacheItem]) -> _Removal:
        removal = _Removal(options, entries)
        removal.choose(loose, self._disk_free())
        return removal

    def _sweep(self) -> None:
        self._layers.sweep()
        self._images.collect()
        forget_old(self._database)
        self._database.all("DELETE FROM contents WHERE used < ?", (int(time.time()) - 90 * 24 * 3600,))

    def _disk_free(self) -> int:
        status = os.statvfs(self._layers.root)
        return status.f_bavail * status.f_frsize

    # -- what there is

    def _mount_items(self) -> list[CacheItem]:
        return [_mount_item(mount) for mount in self._mounts.usage()]

    def _entries(self) -> list[_Entry]:
        rows = self._database.all(
            "SELECT key, chain, name, kind, created, used, uses FROM records WHERE chain IS NOT NULL"
        )
        chains = {str(row[0]): tuple(str(row[1]).split()) for row in rows}
        by_chain: dict[tuple[str, ...], str] = {}
        for key, chain in chains.items():
            by_chain.setdefault(chain, key)
        sizes = _Sizes(self._database, self._layers, self._images)
        entries = []
        for key, _chain, name, kind, created, used, uses in rows:
            chain = chains[key]
            parent = next(
                (by_chain[chain[:end]] for end in range(len(chain) - 1, 0, -1) if chain[:end] in by_chain), ""
            )
            own = chain[len(chains[parent]) :] if parent else chain
            if by_chain[chain] != key:
                own = ()  # it added nothing to what another record has
            shared = bool(own) and all(sizes.is_images(layer) for layer in own)
            entries.append(
                _Entry(
                    key,
                    CacheItem(
                        _short(key),
                        kind,
                        name,
                        sum(sizes.of(layer, whole=shared) for layer in own),
                        created,
                        used,
                        uses,
                        any(self._layers.is_pinned(layer) for layer in chain[-1:]),
                        shared,
                        (_short(parent),) if parent else (),
                    ),
                    chain,
                )
            )
        return entries


class _Removal:
    """Works out what goes."""

    def __init__(self, options: PruneOptions, entries: list[_Entry]) -> None:
        self._options = options
        self._entries = entries
        self._above: Counter[tuple[str, ...]] = Counter()
        """How many records there are that build upon a chain."""
        for entry in entries:
            for end in range(len(entry.chain)):
                self._above[entry.chain[:end]] += 1
        self.records: list[_Entry] = []
        self.loose: list[CacheItem] = []

    def choose(self, loose: Sequence[CacheItem], disk_free: int) -> None:
        """The oldest first, until it is enough."""
        options = self._options
        total = sum(item.size for item in loose)
        total += sum(entry.item.size for entry in self._entries if not entry.item.shared)
        limited = bool(options.least or options.most or options.free)
        candidates: list[CacheItem | _Entry] = [item for item in loose if options.allows(item)]
        candidates += [entry for entry in self._entries if options.allows(entry.item)]
        candidates.sort(key=lambda one: one.item.used if isinstance(one, _Entry) else one.used)
        freed = 0
        progress = True
        while progress:
            progress = False
            waiting: list[CacheItem | _Entry] = []
            for one in candidates:
                if limited and self._is_enough(total - freed, disk_free + freed):
                    return
                if isinstance(one, _Entry):
                    if self._above[one.chain]:
                        waiting.append(one)  # its turn comes when nothing builds upon it
                        continue
                    freed += 0 if one.item.shared else one.item.size
                    self._take(one)
                else:
                    freed += one.size
                    self.loose.append(one)
                progress = True
            candidates = waiting

    def _take(self, entry: _Entry) -> None:
        self.records.append(entry)
        for end in range(len(entry.chain)):
            self._above[entry.chain[:end]] -= 1

    def _is_enough(self, left: int, disk_free: int) -> bool:
        options = self._options
        if left <= options.least:
            return True
        if not (options.most or options.free):
            return False
        return (not options.most or left <= options.most) and (not options.free or disk_free >= options.free)


class _Sizes:
    """What layers take."""

    def __init__(self, database: CacheDatabase, layers: LayerStore, images: Registrar) -> None:
        self._layers = layers
        self._images = images
        self._rows = {str(row[0]): row for row in database.all("SELECT id, size, chain_id, blob FROM layers")}
        self._chains: set[str] = set()
        self._blobs: set[str] = set()
        for row in images.tables.images():
            self._chains.update(row.chain.split())
            self._blobs.update(
                blob.digest for blob in msgspec.json.decode(row.layers, type=tuple[Descriptor, ...])
            )

    def is_images(self, layer: str) -> bool:
        """Whether an image has the layer, too."""
        row = self._rows.get(layer)
        return layer in self._chains or (row is not None and row[2] in self._chains)

    def of(self, layer: str, *, whole: bool) -> int:
        """Bytes that go with the layer: itself, unless it is an image's, and its blob, likewise. With
        `whole`, what it takes, whosever it is."""
        row = self._rows.get(layer)
        if row is None:
            return 0
        seen: set[tuple[int, int]] = set()
        if whole:
            return self._own(layer, int(row[1]), seen)
        size = 0 if self.is_images(layer) else self._own(layer, int(row[1]), seen)
        if row[3]:
            blob = msgspec.json.decode(row[3], type=Descriptor)
            if blob.digest not in self._blobs:
                size += allocated([self._images.content.path(blob.digest)], seen)
        return size

    def _own(self, layer: str, noted: int, seen: set[tuple[int, int]]) -> int:
        (known,) = self._layers.known([layer])
        if not known.is_made_here:
            with contextlib.suppress(NotFound):
                return self._layers.usage(known).size
            return 0
        directory = self._layers.directory(known)
        if (directory / "fs").is_dir():
            return noted  # counting blocks would take as long as it has files
        # A layer that an image took is a link to the image's; its tar may be the blob, by a second name.
        return allocated([directory.resolve()], seen)


def _mount_item(mount: MountUsage) -> CacheItem:
    return CacheItem(
        _short("sha256:" + mount.name.replace("-", "")),
        CACHE_MOUNT,
        f"cache mount {mount.id}",
        mount.size,
        mount.created,
        mount.used,
        mount.uses,
        mount.in_use,
    )


def _short(key: str) -> str:
    return hex_of(key)[:_ID_LENGTH]
