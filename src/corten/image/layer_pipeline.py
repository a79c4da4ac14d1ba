"""Layers on their way from a registry: each downloaded once, however many pulls want it, and unpacked by
worker processes while it comes.

::

    registry ──aiohttp──► event loop ──pieces of 1 MiB──► thread: hash, append to ingest/<digest>.partial
                                                             │ how far the file is valid (snapshot.growing)
                                        worker process ◄─────┘ inflate, hash the diff ID, unpack

A download that breaks off stays as a partial file and is resumed; the worker is told of the end only after
the digest of the whole was verified.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from corten.content import ContentStore, Ingest
from corten.errors import ArchiveError, IntegrityError, Unavailable
from corten.oci.descriptor import Descriptor
from corten.oci.digest import hex_of
from corten.snapshot.growing import Growing

_T = TypeVar("_T")
_PIECE = 1 << 20
_PARALLEL = 6
_WORTH_KEEPING = 1 << 20

Fetch = Callable[[Descriptor, int], AsyncIterator[bytes]]
"""(what, offset) → its bytes from there on."""

Tell = Callable[[int, bool], None]
"""(bytes there, whether all of them are there and verified); on the event loop."""


class DigestMismatch(IntegrityError):
    """What came is not what was asked for. Worth another try when a part of it was resumed, or came from a
    mirror."""

    def __init__(self, message: str, *, resumed: bool) -> None:
        super().__init__(message)
        self.resumed = resumed


@dataclass(slots=True)
class Share:
    """One pull's part in a download: `growing` for its session, `finished` to wait for the blob's name."""

    growing: Growing
    tell: Tell
    transfer: _Transfer

    async def finished(self) -> None:
        """Until the blob has its name; raises what went wrong. Cancelling it does not cancel the download."""
        await asyncio.shield(self.transfer.task)


@dataclass(slots=True)
class _Transfer:
    task: asyncio.Task[None]
    shares: list[Share] = field(default_factory=list)
    written: int = 0
    given_up: bool = False


class LayerTransfers:
    """The downloads of one store that are going on. Used on one event loop."""

    def __init__(self, content: ContentStore) -> None:
        self._content = content
        self._running: dict[str, _Transfer] = {}
        self._slots: asyncio.Semaphore | None = None
        self._threads: ThreadPoolExecutor | None = None

    def join(self, descriptor: Descriptor, fetch: Fetch, tell: Tell) -> Share:
        """Begins a download, or takes part in the one that is going on. Give the share back by `leave`."""
        transfer = self._running.get(descriptor.digest)
        if transfer is None or transfer.given_up:
            if self._slots is None or not self._running:
                self._slots = asyncio.Semaphore(_PARALLEL)
                self._threads = self._threads or ThreadPoolExecutor(_PARALLEL, thread_name_prefix="download")
            before = None if transfer is None else transfer.task
            task = asyncio.create_task(self._run(descriptor, fetch, self._slots, before))
            transfer = self._running[descriptor.digest] = _Transfer(task)
            task.add_done_callback(functools.partial(self._ended, descriptor.digest))
        path = self._content.partial_path(descriptor.digest)
        growing = Growing(str(path), str(self._content.path(descriptor.digest)), descriptor.size)
        growing.advance(transfer.written)
        share = Share(growing, tell, transfer)
        transfer.shares.append(share)
        return share

    async def leave(self, share: Share) -> None:
        """Ends a pull's part; the last one to leave ends the download, and waits until it has ended."""
        share.growing.fail(Unavailable("the pull was given up"))
        transfer = share.transfer
        if share in transfer.shares:
            transfer.shares.remove(share)
        if not transfer.shares and not transfer.task.done():
            transfer.given_up = True
            transfer.task.cancel()
            await asyncio.wait({transfer.task})

    def close(self) -> None:
        """Ends the threads."""
        if self._threads is not None:
            self._threads.shutdown(wait=False)

    def _ended(self, digest: str, task: asyncio.Task[None]) -> None:
        transfer = self._running.get(digest)
        if transfer is not None and transfer.task is task:
            del self._running[digest]
        if not task.cancelled():
            task.exception()  # was told to everybody who takes part

    # -- one download

    async def _run(
        self,
        descriptor: Descriptor,
        fetch: Fetch,
        slots: asyncio.Semaphore,
        before: asyncio.Task[None] | None,
    ) -> None:
        transfer = self._running[descriptor.digest]
        try:
            if before is not None:
                await asyncio.wait({before})
            async with slots:
                await self._download(transfer, descriptor, fetch)
        except BaseException as error:
            failure: BaseException = error
            if isinstance(error, asyncio.CancelledError):
                failure = Unavailable("the pull was given up")
            for share in transfer.shares:
                share.growing.fail(failure)
            raise

    async def _download(self, transfer: _Transfer, descriptor: Descriptor, fetch: Fetch) -> None:
        ingest = await self._resume(descriptor)
        resumed = ingest.written
        keep = False
        try:
            self._advance(transfer, ingest.written)
            await self._receive(transfer, ingest, fetch(descriptor, ingest.written))
            try:
                ingest.verify()
            except IntegrityError as error:
                raise DigestMismatch(
                    f"cannot pull blob {descriptor.digest}: digest mismatch: what the registry sent has the "
                    f"digest {ingest.digest}"
                    "; it was thrown away",
                    resumed=resumed > 0,
                ) from error
            for share in transfer.shares:
                share.growing.finish()
            await self._in_thread(ingest.commit)
            for share in transfer.shares:
                share.tell(descriptor.size, True)
        except (Unavailable, asyncio.CancelledError):
            keep = ingest.written >= _WORTH_KEEPING
            raise
        finally:
            if keep:
                ingest.suspend()
            else:
                ingest.abort()

    async def _resume(self, descriptor: Descriptor) -> Ingest:
        opened: list[Ingest] = []

        def resume() -> None:
            opened.append(self._content.resume(descriptor.digest, size=descriptor.size))

        try:
            await self._in_thread(resume)
        except asyncio.CancelledError:
            for ingest in opened:
                ingest.suspend()
            raise
        return opened[0]

    async def _receive(self, transfer: _Transfer, ingest: Ingest, pieces: AsyncIterator[bytes]) -> None:
        """Hashing and writing one piece goes on while the next comes in."""
        waiting: list[bytes] = []
        size = 0
        writing: asyncio.Future[None] | None = None
        broken: Unavailable | None = None
        try:
            async for piece in pieces:
                waiting.append(piece)
                size += len(piece)
                if size >= _PIECE:
                    if writing is not None:
                        await writing
                        self._advance(transfer, ingest.written)
                    writing = asyncio.ensure_future(self._in_thread(_write, ingest, waiting))
                    waiting, size = [], 0
        except Unavailable as error:
            broken = error  # what came is kept
        finally:
            if writing is not None:
                await asyncio.wait({writing})
            await pieces.aclose()  # type: ignore[attr-defined]
        if writing is not None:
            await writing
        await self._in_thread(_write, ingest, waiting)
        self._advance(transfer, ingest.written)
        if broken is not None:
            raise broken

    def _advance(self, transfer: _Transfer, written: int) -> None:
        transfer.written = written
        for share in transfer.shares:
            share.growing.advance(written)
            share.tell(written, False)

    async def _in_thread(self, function: Callable[..., _T], *arguments: Any, **named: Any) -> _T:
        """In the downloads' own threads (the loop's may all be waiting for a download). When it is cancelled
        it ends no sooner than the thread: nobody may close the file before."""
        assert self._threads is not None
        call = functools.partial(function, *arguments, **named)
        future = asyncio.get_running_loop().run_in_executor(self._threads, call)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait({future})
            raise


async def all_finished(shares: Mapping[str, Share]) -> None:
    """Until all are; raises the first failure as soon as there is one."""
    waiting = [asyncio.ensure_future(share.finished()) for share in shares.values()]
    try:
        await asyncio.gather(*waiting)
    finally:
        for future in waiting:
            future.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def unpack_while_downloading(
    unpack: Callable[[], None], shares: Mapping[str, Share], given_up: str
) -> None:
    """`unpack` in a thread of its own, which mostly waits. What fails first, the network or the layers, ends
    the other; `given_up` is why."""
    executor = ThreadPoolExecutor(1, thread_name_prefix="unpack")
    unpacking = asyncio.get_running_loop().run_in_executor(executor, unpack)
    downloading = asyncio.ensure_future(all_finished(shares))
    try:
        await asyncio.wait({unpacking, downloading}, return_when=asyncio.FIRST_EXCEPTION)
        if downloading.done():
            downloading.result()
        await asyncio.wait({unpacking})  # which does not cancel it: a thread cannot be
        if isinstance(unpacking.exception(), ArchiveError | IntegrityError):
            await downloading  # what cannot be read has most often another digest, which says more
        unpacking.result()
    finally:
        downloading.cancel()
        for share in shares.values():
            share.growing.fail(Unavailable(given_up))
        await asyncio.wait({unpacking, downloading})
        if not downloading.cancelled():
            downloading.exception()
        unpacking.exception()
        executor.shutdown(wait=False)


def _write(ingest: Ingest, pieces: list[bytes]) -> None:
    for piece in pieces:
        ingest.write(piece)


def short(descriptor: Descriptor) -> str:
    """How progress names a layer."""
    return hex_of(descriptor.digest)[:12]
