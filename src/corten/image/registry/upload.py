"""Blobs to a registry: mounted from another repository, in one piece, or in chunks (distribution-spec,
"Push")."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from urllib.parse import quote, urlsplit

from corten.errors import Conflict, CortenError, InvalidArgument, NotFound, Unavailable
from corten.image.registry.address import located
from corten.image.registry.transport import Answer, Transport
from corten.oci.descriptor import Descriptor
from corten.oci.digest import Digest

_RANGE = re.compile(r"(?:bytes=)?0-(\d+)")
_OCTETS = "application/octet-stream"

Read = Callable[[int], AsyncIterator[bytes]]


@dataclass(slots=True)
class _Session:
    location: str
    minimum: int


class Uploader:
    """Uploads to one repository."""

    def __init__(self, transport: Transport, repository: str) -> None:
        self._transport = transport
        self._repository = repository
        self._path = f"/v2/{repository}/blobs/uploads/"

    async def upload(
        self,
        descriptor: Descriptor,
        read: Read,
        *,
        mount_from: str = "",
        chunk_size: int = 0,
        progress: Callable[[int], None] | None = None,
    ) -> bool:
        """See RegistryClient.upload_blob."""
        what = f"push blob {descriptor.digest} to {self._repository}"
        attempt = 0
        while True:
            try:
                session = await self._begin(descriptor.digest, mount_from, what)
                if session is None:
                    return False
                if chunk_size:
                    await self._chunked(session, descriptor, read, chunk_size, progress, what)
                else:
                    await self._monolithic(session, descriptor, read, progress, what)
                return True
            except (Unavailable, NotFound) as error:
                # NotFound: the upload is gone (the registry was restarted); a repository that may not exist
                # was refused at the beginning.
                delay = self._transport.retry.delay(attempt)
                if delay is None or (isinstance(error, NotFound) and attempt > 0):
                    raise
                await asyncio.sleep(delay)
                attempt += 1

    async def mount(self, digest: Digest, source: str) -> bool:
        """Mounts a blob of the repository `source`; an upload that was begun instead is cancelled."""
        what = f"mount blob {digest} from {source} to {self._repository}"
        session = await self._begin(digest, source, what)
        if session is None:
            return True
        try:
            await self._transport.call(
                "DELETE",
                session.location,
                what=what,
                scopes=self._scopes(),
                accept=(204, 202, 200),
                retry=False,
            )
        except CortenError:
            pass  # it runs out by itself
        return False

    async def _begin(self, digest: Digest, mount_from: str, what: str) -> _Session | None:
        """None when the blob was mounted."""
        target = self._path
        if mount_from:
            target += f"?mount={quote(digest, safe=':')}&from={quote(mount_from, safe='/')}"
        answer = await self._transport.call(
            "POST",
            target,
            what=what,
            scopes=self._scopes(mount_from),
            headers={"Content-Length": "0"},
            accept=(201, 202),
        )
        if answer.status == 201:
            return None
        minimum = answer.headers.get("OCI-Chunk-Min-Length", "0")
        return _Session(self._location(answer, what), int(minimum) if minimum.isdecimal() else 0)

    async def _monolithic(
        self,
        session: _Session,
        descriptor: Descriptor,
        read: Read,
        progress: Callable[[int], None] | None,
        what: str,
    ) -> None:
        await self._transport.call(
            "PUT",
            _with_digest(session.location, descriptor.digest),
            what=what,
            scopes=self._scopes(),
            headers={"Content-Length": str(descriptor.size), "Content-Type": _OCTETS},
            body=lambda: _counted(read(0), 0, progress),
            accept=(201,),
            retry=False,
        )

    async def _chunked(
        self,
        session: _Session,
        descriptor: Descriptor,
        read: Read,
        chunk_size: int,
        progress: Callable[[int], None] | None,
        what: str,
    ) -> None:
        chunk_size = max(chunk_size, session.minimum)
        offset = failures = 0
        while offset < descriptor.size:
            size = min(chunk_size, descriptor.size - offset)
            try:
                answer = await self._transport.call(
                    "PATCH",
                    session.location,
                    what=what,
                    scopes=self._scopes(),
                    headers={
                        "Content-Length": str(size),
                        "Content-Range": f"{offset}-{offset + size - 1}",
                        "Content-Type": _OCTETS,
                    },
                    body=partial(_chunk, read, offset, size, progress),
                    accept=(202, 201),
                    retry=False,
                )
                offset += size
            except (Unavailable, InvalidArgument):
                failures += 1
                delay = self._transport.retry.delay(failures)
                if delay is None:
                    raise
                await asyncio.sleep(delay)
                answer = await self._transport.call(
                    "GET", session.location, what=what, scopes=self._scopes(), accept=(204, 200)
                )
                known = _RANGE.fullmatch(answer.headers.get("Range", ""))
                # "0-0" is what an empty upload says as well as one of a single byte
                offset = int(known[1]) + 1 if known is not None and int(known[1]) > 0 else 0
                if offset > descriptor.size:
                    raise
            if "Location" in answer.headers:
                session.location = self._location(answer, what)
        await self._transport.call(
            "PUT",
            _with_digest(session.location, descriptor.digest),
            what=what,
            scopes=self._scopes(),
            headers={"Content-Length": "0"},
            accept=(201,),
            retry=False,
        )

    def _scopes(self, mount_from: str = "") -> tuple[str, ...]:
        own = f"repository:{self._repository}:pull,push"
        return (own, f"repository:{mount_from}:pull") if mount_from else (own,)

    def _location(self, answer: Answer, what: str) -> str:
        location = answer.headers.get("Location")
        if not location:
            raise Conflict(f"cannot {what}: {self._transport.endpoint.host} does not say where to upload to")
        target = located(answer.url, location)
        if target is None:
            raise Unavailable(
                f"cannot {what}: {self._transport.endpoint.host} says to upload to {location[:200]!r}, "
                "which is no URL"
            )
        here, there = urlsplit(answer.url), urlsplit(target)
        if here.scheme == "https" and there.scheme == "http" and here.hostname == there.hostname:
            # A registry behind a proxy that ends TLS often believes that it speaks http.
            target = there._replace(scheme="https", netloc=here.netloc).geturl()
        return target


def _with_digest(location: str, digest: Digest) -> str:
    return location + ("&" if "?" in location else "?") + "digest=" + quote(digest, safe="")


async def _counted(
    pieces: AsyncIterator[bytes], start: int, progress: Callable[[int], None] | None
) -> AsyncIterator[bytes]:
    done = start
    async for piece in pieces:
        yield piece
        done += len(piece)
        if progress is not None:
            progress(done)


def _chunk(read: Read, start: int, size: int, progress: Callable[[int], None] | None) -> AsyncIterator[bytes]:
    return _counted(_limited(read(start), size), start, progress)


async def _limited(pieces: AsyncIterator[bytes], size: int) -> AsyncIterator[bytes]:
    async for piece in pieces:
        yield piece[:size]
        size -= len(piece)
        if size <= 0:
            return
