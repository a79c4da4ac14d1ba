"""A cache in a bucket, `protocols.KeyedStore`: blobs under their digests, the manifest under its names::

<prefix>blobs/sha256:…      content that nobody changes; shared with BuildKit
<prefix>manifests/<name>    see `keyed_manifest`
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from datetime import UTC, datetime

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import ObjectStore

from corten.build.cache_transfer.bucket.options import Keys
from corten.build.cache_transfer.keyed_manifest import MAX_BYTES
from corten.build.export.concurrency import all_of
from corten.errors import CortenError, Denied, IntegrityError, NotFound, Unavailable
from corten.oci.descriptor import Descriptor

_PART = 8 << 20
_MAX_PARTS = 9_500
_AT_ONCE = 16 << 20
"""A blob of up to so many bytes is one request: no parts that a broken upload could leave."""
_AHEAD = 3
_MAX_COPY = 5 << 30
"""S3's CopyObject takes no more."""
_GIVE_UP_SECONDS = 10.0

_CODE = re.compile(r"<Code>([^<]{1,100})</Code>")
_MESSAGE = re.compile(r"<Message>([^<\n]{1,300})")
_SYSTEM = re.compile(r'message: "([^"]{1,200})"')
_ABSENT = frozenset({"", "NoSuchKey", "NotFound", "BlobNotFound", "ResourceNotFound"})


class _GivenUp(Exception):
    """Raised into an upload, which then takes back its parts."""


class BucketStore:
    """`refresh`: what was written longer ago than so many seconds is written anew when it is used; None:
    never. `prepare` sees to it that the bucket is there, where that can be done. `secrets` are cut out of
    what the server says."""

    def __init__(
        self,
        store: ObjectStore,
        keys: Keys,
        name: str,
        origin: str,
        *,
        parallel: int = 4,
        refresh: float | None = None,
        prepare: Callable[[], Awaitable[None]] | None = None,
        secrets: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.origin = origin
        self.parallel = parallel
        self.seconds: float | None = None
        self._store = store
        self._keys = keys
        self._refresh = refresh
        self._prepare = prepare
        self._secrets = tuple(filter(None, secrets))

    async def manifests(self) -> list[bytes]:
        """See KeyedStore: those of all names, the first name's first."""
        found = await all_of(self._manifest(name) for name in self._keys.names)
        return [data for data in found if data is not None]

    async def _manifest(self, name: str) -> bytes | None:
        key = self._keys.manifests + name
        try:
            with self._translated(f"read {key}"):
                answer = await obstore.get_async(self._store, key)
                if answer.meta["size"] > MAX_BYTES:
                    raise IntegrityError(f"cannot read {key}: it has more than {MAX_BYTES} bytes")
                return bytes(await answer.bytes_async())
        except FileNotFoundError as error:
            if _code(error) in _ABSENT:
                return None
            raise self._failure(error, f"read {key}") from error

    async def write_manifests(self, change: Callable[[bytes | None], bytes]) -> None:
        """See KeyedStore."""
        for name in self._keys.names:
            key = self._keys.manifests + name
            data = change(await self._manifest(name))
            with self._translated(f"write {key}", absent_too=True):
                await obstore.put_async(self._store, key, data, use_multipart=len(data) > _AT_ONCE)

    async def prepare(self) -> None:
        """See KeyedStore."""
        if self._prepare is not None:
            await self._prepare()

    async def keep(self, blob: Descriptor) -> bool:
        """See KeyedStore."""
        key = self._key(blob)
        with self._translated(f"look for {key}"):
            try:
                found = await obstore.head_async(self._store, key)
            except FileNotFoundError:
                return False
            if found["size"] != blob.size:
                return False
            age = (datetime.now(UTC) - found["last_modified"]).total_seconds()
            if self._refresh is None or age <= self._refresh:
                return True
            if blob.size >= _MAX_COPY:
                return False  # to be written anew
            try:
                await obstore.copy_async(self._store, key, key, overwrite=False)
            except FileNotFoundError:
                return False  # it has gone meanwhile
            return True

    async def upload(
        self,
        blob: Descriptor,
        read: Callable[[int], AsyncIterator[bytes]],
        progress: Callable[[int], None],
    ) -> None:
        """See KeyedStore."""
        key = self._key(blob)
        with self._translated(f"write {key}", absent_too=True):
            if blob.size <= _AT_ONCE:
                data = b"".join([piece async for piece in read(0)])
                await obstore.put_async(self._store, key, data, use_multipart=False)
                progress(len(data))
            else:
                await self._in_parts(key, blob, read, progress)

    async def _in_parts(
        self,
        key: str,
        blob: Descriptor,
        read: Callable[[int], AsyncIterator[bytes]],
        progress: Callable[[int], None],
    ) -> None:
        """Cancelled, it lets obstore take back the parts: a put that is cancelled itself would leave them."""
        given_up = False

        async def pieces() -> AsyncIterator[bytes]:
            done = 0
            async with aclosing(read(0)) as source:  # type: ignore[type-var]
                async for piece in source:
                    if given_up:
                        raise _GivenUp
                    yield piece
                    done += len(piece)
                    progress(done)

        size = max(_PART, -(-blob.size // _MAX_PARTS))
        put = obstore.put_async(self._store, key, pieces(), chunk_size=size, max_concurrency=2)
        running = asyncio.ensure_future(put)
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            given_up = True
            await asyncio.wait({running}, timeout=_GIVE_UP_SECONDS)
            if not running.cancel():
                running.exception()
            raise

    async def download(self, blob: Descriptor, offset: int = 0) -> AsyncIterator[bytes]:
        """See KeyedStore. By ranges, some ahead of what is read: each has a time and attempts of its own."""
        key = self._key(blob)
        pending: deque[asyncio.Task[bytes]] = deque()
        try:
            while offset < blob.size or pending:
                while offset < blob.size and len(pending) < _AHEAD:
                    end = min(offset + _PART, blob.size)
                    pending.append(asyncio.create_task(self._range(key, offset, end)))
                    offset = end
                yield await pending.popleft()
        finally:
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)

    async def _range(self, key: str, start: int, end: int) -> bytes:
        with self._translated(f"read {key}", absent_too=True):
            data = bytes(await obstore.get_range_async(self._store, key, start=start, end=end))
        if len(data) != end - start:
            raise IntegrityError(f"{key} in {self.name} is damaged: it is shorter than its manifest says")
        return data

    def _key(self, blob: Descriptor) -> str:
        return self._keys.blobs + blob.digest

    # -- failures

    @contextmanager
    def _translated(self, what: str, *, absent_too: bool = False) -> Iterator[None]:
        """`absent_too`: what is not there is a failure."""
        try:
            yield
        except FileNotFoundError as error:
            if absent_too:
                raise self._failure(error, what) from error
            raise
        except (BaseError, OSError) as error:
            raise self._failure(error, what) from error

    def _failure(self, error: Exception, what: str) -> CortenError:
        reason = self._reason(str(error))
        message = f"cannot {what} in the build cache {self.name}: {reason}"
        if isinstance(error, FileNotFoundError):
            return NotFound(message)
        if isinstance(error, PermissionDeniedError | UnauthenticatedError):
            return Denied(message)
        return Unavailable(message)

    def _reason(self, text: str) -> str:
        code, message = _CODE.search(text), _MESSAGE.search(text)
        if code is None and "403 Forbidden" in text:
            reason = "the keys are not accepted, or may not do that"
        elif code is not None:
            reason = f"{message[1].strip().rstrip('.')} ({code[1]})" if message is not None else code[1]
        else:
            system = _SYSTEM.search(text)
            reason = system[1] if system is not None else text.partition("\n")[0].rpartition(" - ")[2]
        for secret in self._secrets:
            reason = reason.replace(secret, "…")
        return "".join(letter if letter.isprintable() else " " for letter in reason)[:300].rstrip(" .:")


def _code(error: Exception) -> str:
    found = _CODE.search(str(error))
    return found[1] if found is not None else ""
