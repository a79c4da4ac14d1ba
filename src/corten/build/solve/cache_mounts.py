"""Cache mounts: directories that outlive builds, and who has them when.

::

    build/cache-mounts/<name>/      the directory; `name` is a digest of what makes it another one, and a
                                    number, for `private` has as many as are used at the same time
    build/cache-mounts/.new-<…>/    being filled for the first time
    build/cache-mounts/.gone-<…>/   being deleted
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import secrets
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from corten.build.solve.database import CacheDatabase
from corten.build.solve.protocols import MountFiller
from corten.content.allocation import allocated
from corten.errors import CortenError
from corten.snapshot.tree import remove_tree
from corten.volume.populate import populate


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a cache mount is when it is new: the directory `path` of a file system, which `key` identifies.
    `lowers` are its layers, topmost first."""

    key: str
    lowers: tuple[str, ...]
    path: str


@dataclass(frozen=True, slots=True)
class WantedMount:
    """A cache mount of a step; `sharing` is shared, private or locked. `mode` and the owner are those of a
    new one that begins empty."""

    id: str
    sharing: str = "shared"
    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    beginning: Beginning | None = None

    @property
    def stem(self) -> str:
        """What the directory is called, but for its number: mounts with one id that begin as another
        directory are different ones."""
        begins = self.beginning.key + self.beginning.path if self.beginning else ""
        parts = (self.id, begins, self.mode, self.uid, self.gid)
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class MountUsage:
    """For people: times in nanoseconds since 1970, size in bytes on disk."""

    name: str
    id: str
    size: int
    created: int
    used: int
    uses: int
    in_use: bool


class _Slot:
    """One directory: free, shared by several, or one's alone."""

    def __init__(self) -> None:
        self.shared = 0
        self.taken = False
        self.making = asyncio.Lock()

    @property
    def is_free(self) -> bool:
        return not self.taken and not self.shared


class CacheMounts:
    """One per engine, on its event loop. `cache_transfer.protocols.MountReader`."""

    def __init__(self, root: Path, database: CacheDatabase) -> None:
        self._root = root
        self._database = database
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._slots: defaultdict[str, _Slot] = defaultdict(_Slot)
        self._waiting: list[asyncio.Future[None]] = []

    def recover(self) -> None:
        """Once at start: removes what was half-made or half-deleted."""
        known = {str(row[0]) for row in self._database.all("SELECT name FROM mounts")}
        for entry in self._root.iterdir():
            if entry.name not in known:
                remove_tree(str(entry))
        for name in known:
            if not (self._root / name).is_dir():
                self._database.all("DELETE FROM mounts WHERE name = ?", (name,))

    @contextlib.asynccontextmanager
    async def hold(
        self,
        wanted: Sequence[WantedMount],
        *,
        filler: MountFiller | None = None,
        warn: Callable[[str], None] = lambda message: None,
    ) -> AsyncIterator[list[Path]]:
        """The directories of `wanted`, for as long as the context lasts. Waits for those that others have
        locked. `filler` may know what a new one begins as; that it does not is no failure: `warn` is told."""
        names: dict[int, str] = {}
        try:
            # In one order for everybody: nobody waits for who waits for him.
            for position in sorted(range(len(wanted)), key=lambda position: wanted[position].stem):
                names[position] = await self._take(wanted[position], set(names.values()))
                async with self._slots[names[position]].making:
                    await self._make(names[position], wanted[position], filler, warn)
            yield [self._root / names[position] for position in range(len(wanted))]
        finally:
            for position, name in names.items():
                self._give_back(name, wanted[position].sharing)
            self._wake()
            now = time.time_ns()
            for name in set(names.values()):
                self._database.all("UPDATE mounts SET used = ?, uses = uses + 1 WHERE name = ?", (now, name))

    @contextlib.asynccontextmanager
    async def read(self, id: str) -> AsyncIterator[int | None]:
        """See MountReader: of several with one id the one that was used last."""
        row = self._database.one("SELECT name FROM mounts WHERE id = ? ORDER BY used DESC LIMIT 1", (id,))
        if row is None:
            yield None
            return
        name = str(row[0])
        slot = self._slots[name]
        await self._until(lambda: slot.is_free)
        slot.taken = True
        try:
            fd = os.open(self._root / name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                yield fd
            finally:
                os.close(fd)
        finally:
            slot.taken = False
            self._wake()

    def ids(self) -> list[str]:
        """All ids that there are, each once."""
        return [str(row[0]) for row in self._database.all("SELECT DISTINCT id FROM mounts ORDER BY id")]

    # -- who has what

    async def _take(self, wanted: WantedMount, mine: set[str]) -> str:
        if wanted.sharing == "private":
            number = 0
            while not (slot := self._slots[f"{wanted.stem}-{number}"]).is_free:
                number += 1
            slot.taken = True
            return f"{wanted.stem}-{number}"
        name = f"{wanted.stem}-0"
        slot = self._slots[name]
        if wanted.sharing == "locked":
            # A step that mounts one cache twice has it once.
            await self._until(lambda: slot.is_free or name in mine)
            slot.taken = True
        else:
            await self._until(lambda: not slot.taken or name in mine)
            slot.shared += 1
        return name

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            changed = asyncio.get_running_loop().create_future()
            self._waiting.append(changed)
            await changed

    def _give_back(self, name: str, sharing: str) -> None:
        slot = self._slots[name]
        if sharing == "shared":
            slot.shared -= 1
        else:
            slot.taken = False

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for changed in waiting:
            if not changed.done():
                changed.set_result(None)

    # -- making

    async def _make(
        self, name: str, wanted: WantedMount, filler: MountFiller | None, warn: Callable[[str], None]
    ) -> None:
        if (self._root / name).is_dir():
            return
        fresh = self._root / f".new-{secrets.token_hex(8)}"
        fresh.mkdir(mode=0o700)
        try:
            if wanted.beginning is not None:
                await asyncio.to_thread(populate, wanted.beginning.lowers, wanted.beginning.path, fresh)
            elif filler is None or not await self._fill(fresh, wanted.id, filler, warn):
                os.chown(fresh, wanted.uid, wanted.gid)
                fresh.chmod(wanted.mode)
            now = time.time_ns()
            with self._database.transaction():
                self._database.all(
                    "INSERT OR REPLACE INTO mounts VALUES (?,?,?,?,0)", (name, wanted.id, now, now)
                )
                fresh.rename(self._root / name)
        finally:
            if fresh.exists():
                await asyncio.shield(asyncio.to_thread(remove_tree, str(fresh)))

    async def _fill(
        self, fresh: Path, identity: str, filler: MountFiller, warn: Callable[[str], None]
    ) -> bool:
        fd = os.open(fresh, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return await filler.fill(identity, fd)
        except CortenError as error:
            warn(f"the cache mount {identity} begins empty: {error.message}")
            await asyncio.to_thread(_empty, fresh)
            return False
        finally:
            os.close(fd)

    # -- for people

    def usage(self) -> list[MountUsage]:
        """All of them. Blocks: it counts their files."""
        return [
            MountUsage(
                name,
                identity,
                allocated([self._root / name]),
                created,
                used,
                uses,
                name in self._slots and not self._slots[name].is_free,
            )
            for name, identity, created, used, uses in self._database.all(
                "SELECT name, id, created, used, uses FROM mounts"
            )
        ]

    def remove(self, name: str) -> Callable[[], None] | None:
        """Takes a mount away, unless somebody has it (None): what is returned deletes its files, and
        blocks."""
        if name in self._slots and not self._slots[name].is_free:
            return None
        gone = self._root / f".gone-{secrets.token_hex(8)}"
        self._database.all("DELETE FROM mounts WHERE name = ?", (name,))
        with contextlib.suppress(FileNotFoundError):
            (self._root / name).rename(gone)
        return lambda: remove_tree(str(gone))


def _empty(directory: Path) -> None:
    for entry in directory.iterdir():
        remove_tree(str(entry))
