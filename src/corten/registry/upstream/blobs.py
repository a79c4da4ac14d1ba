"""Blobs of upstreams. One task of one process fetches; who else wants the blob reads along: tasks of the
same process, and other processes of the same machine by the file that grows. Replicas elsewhere wait for it.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import secrets
import tempfile
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

import msgspec

from corten.errors import CortenError, Unavailable
from corten.oci.descriptor import Descriptor
from corten.oci.digest import Digest, algorithm_of
from corten.registry.blobs.store import Appender, BlobStore, is_lost
from corten.registry.manifest import read_manifest
from corten.registry.metadata.records import Blob, Upload
from corten.registry.metadata.store import Metadata
from corten.registry.receiving import new_hash
from corten.registry.uploads import Uploads
from corten.registry.upstream.client import UpstreamClient, UpstreamFailure
from corten.registry.upstream.fetch import Fetch
from corten.registry.upstream.turns import LEASE_SECONDS, POLL_SECONDS, Turns

_LOG = logging.getLogger("corten.registry")
SOURCES = 50
THREADS = 16

Allows = Callable[[str], Awaitable[bool]]
"""Whether the caller may pull from a repository."""


class Wanted(msgspec.Struct, frozen=True):
    """A blob that a manifest from upstream refers to."""

    digest: str
    size: int
    manifest: str


class Blobs:
    """What this process fetches, and follows."""

    def __init__(
        self,
        metadata: Metadata,
        blobs: BlobStore,
        uploads: Uploads,
        turns: Turns,
        *,
        references: int,
        grace: int,
    ) -> None:
        self._metadata = metadata
        self._blobs = blobs
        self._uploads = uploads
        self._turns = turns
        self._references = references
        self._grace = grace
        self._threads = ThreadPoolExecutor(THREADS, "upstream")
        self._fetches: dict[tuple[str, str], Fetch] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def wanted(self, repository: str, digest: str) -> Wanted | None:
        """What a manifest from upstream says of a blob. None: no such manifest here refers to it, and it is
        not asked for: its size would not be known, and anybody could have anything fetched."""
        found = await self._metadata.needed_from_upstream(repository, digest)
        if found is None:
            return None
        manifest, payload = found
        read = await asyncio.to_thread(read_manifest, payload, "", manifest, self._references)
        for reference in read.references:
            if reference.digest == digest:
                return Wanted(digest, reference.size, manifest)
        return None

    async def get(
        self, client: UpstreamClient, remote: str, repository: str, wanted: Wanted, allows: Allows
    ) -> Blob | Fetch:
        """The blob, when it is here by now, or another repository has it that the caller may pull from; or
        its download, which this call may begin."""
        digest = wanted.digest
        fetch = self._fetches.get((repository, digest))
        if fetch is not None:
            return fetch
        if await self._metadata.has_blob(digest):
            for source in await self._metadata.repositories_with(digest, SOURCES):
                if await allows(source):
                    blob = await self._metadata.mount_blob(repository, digest, source, self._grace)
                    if blob is not None:
                        return blob
        # Another call may have come here while this one waited for the database.
        fetch = self._fetches.get((repository, digest))
        if fetch is None:
            fetch = self._fetches[repository, digest] = Fetch(digest, wanted.size)
            task = asyncio.create_task(self._run(fetch, client, remote, repository))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return fetch

    async def _run(self, fetch: Fetch, client: UpstreamClient, remote: str, repository: str) -> None:
        """Fetches, or follows who does. Nobody's going away ends it."""
        try:
            while fetch.stored is None:
                await self._take_turn(fetch, client, remote, repository)
        except CortenError as error:
            _LOG.warning("%s of %s was not fetched: %s", fetch.digest, repository, error.message)
            fetch.fail(error)
        except BaseException as error:
            fetch.fail(Unavailable(f"{fetch.digest} was not fetched: the registry stops, or has an error"))
            if not isinstance(error, asyncio.CancelledError):
                _LOG.exception("%s of %s was not fetched", fetch.digest, repository)
            raise
        finally:
            del self._fetches[repository, fetch.digest]

    async def _take_turn(self, fetch: Fetch, client: UpstreamClient, remote: str, repository: str) -> None:
        name = f"upstream:{repository}@{fetch.digest}"
        upload = Upload(secrets.token_hex(16), repository, algorithm_of(fetch.digest))
        before = await self._metadata.lease(name)
        # The lease names the upload: so others find the file.
        if not await self._metadata.take_lease(name, upload.id, LEASE_SECONDS):
            await self._follow(fetch, name, repository)
            return
        async with self._turns.keep(name, upload.id):
            if before is not None:
                await self._clear_up(repository, before[0])
            stored = await self._stored(repository, fetch.digest)
            if stored is not None:
                fetch.finish(stored)
                return
            async with client.slots:
                await self._download(fetch, client, remote, upload)

    async def _clear_up(self, repository: str, holder: str) -> None:
        """What a process has left that ended in the middle of a download."""
        left = await self._metadata.upload(repository, holder)
        if left is not None:
            await self._uploads.cancel(left)

    async def _stored(self, repository: str, digest: str) -> Blob | None:
        found = await self._metadata.blob(repository, digest)
        return None if found is None or is_lost(found[0].location) else found[0]

    async def _follow(self, fetch: Fetch, name: str, repository: str) -> None:
        """Until another process has stored the blob, or has given up."""
        holder, fd = "", -1
        while True:
            held = await self._metadata.lease(name)
            stored = await self._stored(repository, fetch.digest)
            if stored is not None:
                fetch.finish(stored)
                return
            if held is None or held[1] < time.time() * 1000:
                return
            if held[0] != holder or fd < 0:
                holder = held[0]
                path = self._blobs.upload_path(holder)
                fd = _open_growing(path) if path is not None else -1
                if fd >= 0:
                    fetch.begin(fd)
            if fd >= 0:
                fetch.advance(min(os.fstat(fd).st_size, fetch.size))
            await asyncio.sleep(POLL_SECONDS)

    async def _download(self, fetch: Fetch, client: UpstreamClient, remote: str, upload: Upload) -> None:
        loop = asyncio.get_running_loop()
        await self._metadata.begin_upload(upload)
        digest = new_hash(upload.algorithm)
        received = 0
        try:
            appender = await loop.run_in_executor(self._threads, self._blobs.append, upload.id, 0, "")
            try:
                path = self._blobs.upload_path(upload.id)
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC) if path is not None else _spool()
                fetch.begin(fd)
                spool = fd if path is None else -1

                def write(piece: bytes) -> None:
                    digest.update(piece)
                    appender.write([piece])
                    if spool >= 0:
                        _write(spool, piece)

                descriptor = Descriptor("application/octet-stream", Digest(fetch.digest), fetch.size)
                async for piece in client.blob(remote, descriptor):
                    await loop.run_in_executor(self._threads, write, piece)
                    received += len(piece)
                    fetch.advance(received)
                actual = f"{digest.name}:{digest.hexdigest()}"
                if actual != fetch.digest or received != fetch.size:
                    raise UpstreamFailure(
                        f"{client.name} sent {actual} ({received} bytes) for the blob {fetch.digest} of"
                        f" {remote} ({fetch.size} bytes): nothing of it was kept"
                    )
                fetch.verify()
                state = await self._commit(appender)
            finally:
                await loop.run_in_executor(self._threads, appender.close)
        except BaseException:
            await self._uploads.cancel(upload)
            raise
        done = msgspec.structs.replace(upload, offset=received, state=state, hash=fetch.digest)
        fetch.finish(await self._uploads.finish(done, fetch.digest))

    async def _commit(self, appender: Appender) -> str:
        return await asyncio.get_running_loop().run_in_executor(self._threads, appender.commit)

    async def close(self) -> None:
        """Ends what is under way."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(self._threads.shutdown)


def _open_growing(path: str) -> int:
    """A file that another process appends to; -1: it is not here yet, not any more, on another machine, or
    its process has ended in the middle."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1
    # Who has begun to write holds a lock. (Before, trying it could be in the way of that.)
    if os.fstat(fd).st_size:
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return fd
    os.close(fd)
    return -1


def _spool() -> int:
    """A file without a name, for what goes into an object store, which cannot be read before it is whole."""
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _write(fd: int, piece: bytes) -> None:
    rest = memoryview(piece)
    while rest:
        rest = rest[os.write(fd, rest) :]
