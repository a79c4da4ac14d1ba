"""Bodies into blobs: sessions that can be continued by any process, on any machine that shares database
and storage.

A session's hash goes on from request to request while the same process serves them. Another process
takes the digest that was written down with the last byte, when nothing follows; and reads the bytes
again when something does.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import msgspec
from aiohttp import web

from corten.errors import Conflict, NotFound
from corten.oci.digest import algorithm_of
from corten.registry.blobs.store import Appender, BlobStore, location_of, upload_location
from corten.registry.burying import bury
from corten.registry.config import Config
from corten.registry.direct import AT_ONCE, Interrupted
from corten.registry.errors import Code, RegistryError
from corten.registry.metadata.records import Blob, Doomed, Upload
from corten.registry.metadata.store import Metadata
from corten.registry.receiving import Receiver, new_hash
from corten.registry.recorder import RECEIVED

if TYPE_CHECKING:
    from hashlib import _Hash

KEPT_HASHES = 512
THREADS = 16


def left_behind(upload: Upload) -> list[Doomed]:
    """What has to be deleted of a session that ends without a blob."""
    left = [Doomed(upload_location(upload.id), "", upload.offset)]
    if upload.target:
        left.append(Doomed(location_of(upload.target, upload.id), upload.target, upload.offset))
    return left


class Uploads:
    """The sessions of one process."""

    def __init__(self, metadata: Metadata, blobs: BlobStore, config: Config) -> None:
        self._metadata = metadata
        self._blobs = blobs
        self._limits = config.limits
        self._grace = int(config.collection.grace_seconds * 1000)
        self._threads = ThreadPoolExecutor(THREADS, "upload")
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._hashes: OrderedDict[str, tuple[int, _Hash]] = OrderedDict()

    async def begin(self, repository: str, algorithm: str = "sha256") -> Upload:
        """A new session."""
        upload = Upload(secrets.token_hex(16), repository, algorithm)
        await self._metadata.begin_upload(upload)
        return upload

    async def find(self, repository: str, identity: str) -> Upload:
        """A session; BLOB_UPLOAD_UNKNOWN."""
        upload = await self._metadata.upload(repository, identity)
        if upload is None:
            raise unknown(identity)
        return upload

    async def append(self, upload: Upload, request: web.BaseRequest, *, last: bool = False) -> Upload:
        """Adds the request's body; returns the session as it is then. What came before a break is kept:
        the client may go on from there. `last`: the session is finished at once, and not written down
        before.

        RegistryError: RANGE_INVALID when another request is sending, BLOB_UPLOAD_INVALID (408) when the
        body broke off, BLOB_UPLOAD_UNKNOWN when the bytes are gone.
        """
        loop = asyncio.get_running_loop()
        digest = self._take_hash(upload)
        try:
            appender = await loop.run_in_executor(
                self._threads, self._blobs.append, upload.id, upload.offset, upload.state
            )
        except Conflict as error:
            raise RegistryError(Code.RANGE_INVALID, error.message, headers=range_headers(upload)) from error
        except NotFound:
            await self.cancel(upload)
            raise unknown(upload.id) from None
        receiver = Receiver(request, appender, digest, self._threads, self._limits)
        room = self._limits.blob_bytes - upload.offset if self._limits.blob_bytes else -1
        try:
            try:
                await receiver.run(room, lambda: self._metadata.touch_upload(upload.id), self._slots)
            except Interrupted as error:
                after = await self._commit(upload, appender, receiver.received, digest)
                raise RegistryError(
                    Code.BLOB_UPLOAD_INVALID,
                    f"the upload broke off after {after.offset} bytes: {error.reason}",
                    status=408,
                ) from error
            if not last:
                return await self._commit(upload, appender, receiver.received, digest)
            state = await loop.run_in_executor(self._threads, appender.commit)
            return msgspec.structs.replace(
                upload, offset=upload.offset + receiver.received, state=state, hash=_text(digest)
            )
        except RegistryError as error:
            if error.status == 413:
                await self.cancel(upload)
            raise
        finally:
            request[RECEIVED] = receiver.received
            appender.close()

    async def _commit(self, upload: Upload, appender: Appender, length: int, digest: _Hash | None) -> Upload:
        """Makes what was received count."""
        if not length:
            if digest is not None:
                self._keep_hash(upload, digest)
            return upload
        loop = asyncio.get_running_loop()
        state = await loop.run_in_executor(self._threads, appender.commit)
        after = msgspec.structs.replace(
            upload, offset=upload.offset + length, state=state, hash=_text(digest)
        )
        if not await self._metadata.advance_upload(upload, after.offset, after.hash, state):
            await self.find(upload.repository, upload.id)  # unless it was cancelled meanwhile
            raise RegistryError(Code.RANGE_INVALID, "another request has sent to this upload meanwhile")
        if digest is not None:
            self._keep_hash(after, digest)
        return after

    async def finish(self, upload: Upload, digest: str) -> Blob:
        """The session's bytes become a blob of its repository, when their digest is right; else nothing
        is left of them.

        RegistryError: DIGEST_INVALID, BLOB_UPLOAD_UNKNOWN.
        """
        self._hashes.pop(upload.id, None)
        try:
            actual = await self._digest(upload, algorithm_of(digest))
        except NotFound:
            await self.cancel(upload)
            raise unknown(upload.id) from None
        if actual != digest:
            await self.cancel(upload)
            raise RegistryError(
                Code.DIGEST_INVALID,
                f"the digest of what was uploaded is {actual}, not {digest}",
                {"digest": digest, "actual": actual},
            )
        size = upload.offset
        if await self._metadata.has_blob(digest):
            spare = [Doomed(upload_location(upload.id), "", size)]
            blob = await self._metadata.finish_upload(upload, digest, size, "", self._grace, spare)
            if blob is not None:
                await bury(self._metadata, self._blobs, spare, self._threads)
                return blob
        return await self._publish(upload, digest, size)

    async def _publish(self, upload: Upload, digest: str, size: int) -> Blob:
        if not await self._metadata.aim_upload(upload.id, digest):
            raise unknown(upload.id)
        location = location_of(digest, upload.id)
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(
                self._threads, self._blobs.publish, upload.id, upload.state, size, location
            )
        except NotFound:
            blob = None
        else:
            spare = [Doomed(location, digest, size)]
            blob = await self._metadata.finish_upload(upload, digest, size, location, self._grace, spare)
            if blob is not None and blob.location != location:
                await bury(self._metadata, self._blobs, spare, self._threads)
        if blob is not None:
            return blob
        # Another request has finished this session, or it has expired; in both cases its row says what is
        # left of it.
        found = await self._metadata.blob(upload.repository, digest)
        if found is None:
            await self._metadata.doom([Doomed(location, digest, size)])
            raise unknown(upload.id)
        return found[0]

    async def cancel(self, upload: Upload) -> None:
        """Ends a session and removes its bytes; BLOB_UPLOAD_UNKNOWN when it has ended already is the
        caller's to say."""
        self._hashes.pop(upload.id, None)
        left = left_behind(upload)
        if await self._metadata.drop_upload(upload.id, left):
            await bury(self._metadata, self._blobs, left, self._threads)

    async def _digest(self, upload: Upload, algorithm: str) -> str:
        if upload.hash and algorithm_of(upload.hash) == algorithm:
            return upload.hash
        if not upload.offset:
            return _text(new_hash(algorithm))
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._read_digest, upload, algorithm)

    def _read_digest(self, upload: Upload, algorithm: str) -> str:
        digest = new_hash(algorithm)
        length = 0
        for piece in self._blobs.read_upload(upload.id, upload.state, upload.offset):
            digest.update(piece)
            length += len(piece)
        if length != upload.offset:
            raise NotFound("the upload's bytes are not in the registry's storage")
        return _text(digest)

    def _take_hash(self, upload: Upload) -> _Hash | None:
        if upload.offset == 0:
            return new_hash(upload.algorithm)
        offset, digest = self._hashes.pop(upload.id, (-1, None))
        return digest if offset == upload.offset else None

    def _keep_hash(self, upload: Upload, digest: _Hash) -> None:
        self._hashes[upload.id] = (upload.offset, digest)
        if len(self._hashes) > KEPT_HASHES:
            self._hashes.popitem(last=False)

    async def close(self) -> None:
        """Waits for what is being written."""
        await asyncio.to_thread(self._threads.shutdown)


def _text(digest: _Hash | None) -> str:
    return f"{digest.name}:{digest.hexdigest()}" if digest is not None else ""


def unknown(identity: str) -> RegistryError:
    """There is no such session."""
    return RegistryError(
        Code.BLOB_UPLOAD_UNKNOWN,
        "this upload is not known: it was finished, cancelled, or has expired; begin it again",
        {"upload": identity[:64]},
    )


def range_headers(upload: Upload) -> dict[str, str]:
    """How far a session is, as the specification's Range header says it (`0-0` for nothing as well)."""
    return {"Range": f"0-{max(0, upload.offset - 1)}"}
