"""Lists that were made, kept as files within a budget; what is missing is made when it is asked for.

    <directory>/<digest>.list            a layer's files
    <directory>/<both digests>.changes   what differs between two images

All of it can be made again. Names are digests of what they are made from, so nothing becomes stale; the
longest unused goes first.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import secrets
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from corten.errors import CortenError, LimitError, Unavailable
from corten.registry.blobs.store import BlobStore, is_lost
from corten.registry.page.layers.list_file import PART, FileEntry, ListFile, Summary, write_list
from corten.registry.page.layers.listing import Bounds
from corten.registry.page.layers.merging import Comparison
from corten.registry.page.layers.process import run
from corten.registry.page.layers.program import Task
from corten.registry.page.settings import PageSettings

_LOG = logging.getLogger("corten.registry")
WAITING = 8
"""Tasks that may wait for their turn; more are refused."""


class Layer(NamedTuple):
    """A layer to be listed: its digest, where it lies, its size."""

    digest: str
    location: str
    size: int


class Shelf:
    """One process's way to the lists; the files are everybody's on this machine."""

    def __init__(self, directory: str, blobs: BlobStore, settings: PageSettings) -> None:
        self._directory = directory
        self._blobs = blobs
        self._settings = settings
        self._turn = asyncio.Semaphore(1)
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def listing(self, layer: Layer, seconds: float) -> str | None:
        """The path of a layer's list; None when it is still being made after so long."""
        path = self._list_path(layer.digest)
        if not _touch(path):
            await self._make(path, lambda: self._list(layer, path), seconds)
        return path if _touch(path) else None

    async def comparison(
        self, before: Sequence[Layer], after: Sequence[Layer], seconds: float
    ) -> Comparison | None:
        """What differs; None when it is still being worked out after so long."""
        key = "\n".join([*(x.digest for x in before), "", *(x.digest for x in after)])
        path = f"{self._directory}/{hashlib.sha256(key.encode()).hexdigest()}.changes"
        if not _touch(path):
            await self._make(path, lambda: self._compare(before, after, path), seconds)
        if not _touch(path):
            return None
        try:
            with open(path, "rb") as file:
                return msgspec.msgpack.decode(file.read(), type=Comparison)
        except (OSError, msgspec.MsgspecError):
            with contextlib.suppress(OSError):
                os.unlink(path)
            return None

    def is_listed(self, digest: str) -> bool:
        """Whether a layer's list is there already."""
        return os.path.exists(self._list_path(digest))

    def _list_path(self, digest: str) -> str:
        return f"{self._directory}/{digest.replace(':', '-')}.list"

    async def _make(self, key: str, work: Callable[[], Coroutine[Any, Any, None]], seconds: float) -> None:
        """Starts a task, or joins the one that makes the same; waits for so long."""
        task = self._tasks.get(key)
        if task is None:
            if len(self._tasks) >= WAITING:
                raise Unavailable("other layers are being read just now: try again in a minute")
            task = asyncio.create_task(self._guarded(work()))
            self._tasks[key] = task
            task.add_done_callback(lambda done: self._forget(key, done))
        await asyncio.wait([task], timeout=seconds)
        if task.done() and not task.cancelled() and (error := task.exception()) is not None:
            raise error

    def _forget(self, key: str, task: asyncio.Task[None]) -> None:
        self._tasks.pop(key, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            _LOG.info("the page: %s", error)

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except OSError as error:
            raise Unavailable(f"cannot keep the list of a layer's files: {error.strerror}") from error

    async def _list(self, layer: Layer, path: str) -> None:
        if _touch(path):
            return
        settings = self._settings
        if is_lost(layer.location):
            raise Unavailable("the layer is not in the registry's storage")
        async with self._turn:
            with self._writing(path) as temporary:
                local = self._blobs.local_path(layer.location)
                try:
                    await run(
                        Task("list", temporary, Bounds(entries=settings.entries), seconds=settings.seconds),
                        local if local is not None else self._blobs.stream(layer.location, 0, layer.size),
                    )
                except Unavailable:
                    raise
                except CortenError as error:
                    # What is wrong with a layer stays wrong: it is not read again and again.
                    with open(temporary, "wb") as file:
                        write_list(file, [], Summary(problem=f"The layer cannot be listed: {error.message}"))
        await asyncio.to_thread(self._tidy)

    async def _compare(self, before: Sequence[Layer], after: Sequence[Layer], path: str) -> None:
        layers = {layer.digest: layer for layer in (*before, *after)}
        for layer in layers.values():
            await self._list(layer, self._list_path(layer.digest))
        async with self._turn:
            with self._writing(path) as temporary:
                try:
                    await run(
                        Task(
                            "compare",
                            temporary,
                            Bounds(entries=self._settings.entries),
                            seconds=self._settings.seconds,
                            before=[self._list_path(layer.digest) for layer in before],
                            after=[self._list_path(layer.digest) for layer in after],
                        )
                    )
                except LimitError as error:
                    with open(temporary, "wb") as file:
                        problem = f"The files cannot be compared: {error.message}."
                        file.write(msgspec.msgpack.encode(Comparison(problem=problem)))
        await asyncio.to_thread(self._tidy)

    @contextlib.contextmanager
    def _writing(self, path: str) -> Iterator[str]:
        os.makedirs(self._directory, mode=0o700, exist_ok=True)
        temporary = f"{path}.{secrets.token_hex(4)}.new"
        try:
            yield temporary
            os.rename(temporary, path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)

    def _tidy(self) -> None:
        """Deletes the longest unused until the rest is within the budget."""
        found = []
        with os.scandir(self._directory) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    status = entry.stat()
                    found.append((status.st_mtime, status.st_size, entry.path))
        total = sum(size for _time, size, _path in found)
        for _time, size, path in sorted(found):
            if total <= self._settings.list_bytes:
                return
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            total -= size

    async def close(self) -> None:
        """Ends what is being made."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def _touch(path: str) -> bool:
    """Whether it is there; it was used just now."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


def read_part(path: str, offset: int, limit: int, word: bytes) -> tuple[Summary, list[FileEntry], bool]:
    """(summary, entries from `offset` on that have `word` in their path, whether more follow). Blocking."""
    with ListFile(path) as found:
        if not word:
            entries: list[FileEntry] = []
            for number in range(offset // PART, len(found.summary.offsets) - 1):
                entries += found.part(number)[max(0, offset - number * PART) :]
                if len(entries) > limit:
                    break
            return found.summary, entries[:limit], len(entries) > limit
        matching: list[FileEntry] = []
        for entry in found:
            if word in entry.path.lower():
                matching.append(entry)
                if len(matching) > offset + limit:
                    break
        return found.summary, matching[offset : offset + limit], len(matching) > offset + limit
