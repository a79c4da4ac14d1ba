"""The two versions of the cache service: what is found by a key, and what is saved under one. An entry is
written once; a key also finds those that begin with it, the newest first.

There is no specification; this is what github.com/actions/toolkit (packages/cache) and BuildKit's
go-actions-cache send, whose entries these are.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from functools import partial
from typing import Protocol
from urllib.parse import quote

import msgspec

from corten.build.cache_transfer.actions.http import ServiceClient, clean
from corten.errors import Unavailable
from corten.image.registry.address import is_url

# No paths, unlike actions/cache: entries of the two do not meet.
VERSION = hashlib.sha256(b"|go-actionscache-1.0").hexdigest()

_CHUNK = 32 << 20
_V1 = "application/json;api-version=6.0-preview.1"
_V2 = "application/json"
_TWIRP = "/twirp/github.actions.results.api.v1.CacheService/"
_BLOB_API = "2021-08-06"

Read = Callable[[int], AsyncIterator[bytes]]


class Entry(msgspec.Struct, frozen=True):
    """What was found: its whole key, and where its bytes are, for a while."""

    key: str
    url: str


class CacheService(Protocol):
    """AlreadyThere is no failure for whoever saves what is under its digest."""

    async def find(self, key: str) -> Entry | None:
        """The newest entry whose key begins with `key`. Denied, Unavailable."""
        ...

    async def save(self, key: str, size: int, read: Read, progress: Callable[[int], None]) -> None:
        """AlreadyThere, Denied, Unavailable."""
        ...


class _FoundV1(msgspec.Struct):
    cache_key: str = msgspec.field(default="", name="cacheKey")
    location: str = msgspec.field(default="", name="archiveLocation")


class _ReservedV1(msgspec.Struct):
    cache_id: int = msgspec.field(default=0, name="cacheId")


class ServiceV1:
    """REST, with chunks to the service itself."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client
        self._base = f"{client.transport.endpoint.base}/_apis/artifactcache"

    async def find(self, key: str) -> Entry | None:
        """See CacheService."""
        what = f"look for {key}"
        found = await self._client.ask(
            "GET",
            f"{self._base}/cache?keys={quote(key, safe='')}&version={VERSION}",
            None,
            _FoundV1,
            what=what,
            accept=_V1,
        )
        if found is None or not found.cache_key:
            return None
        return Entry(found.cache_key, _address(found.location, what))

    async def save(self, key: str, size: int, read: Read, progress: Callable[[int], None]) -> None:
        """See CacheService."""
        what = f"save {key}"
        asked = {"key": key, "version": VERSION}
        reserved = await self._client.ask(
            "POST", f"{self._base}/caches", asked, _ReservedV1, what=what, accept=_V1
        )
        if reserved is None or not reserved.cache_id:
            raise Unavailable(f"cannot {what}: the cache service gives no number for it")
        target = f"{self._base}/caches/{reserved.cache_id}"
        for start, end in _chunks(size):
            await self._client.call(
                "PATCH",
                target,
                what=what,
                headers={
                    "Accept": _V1,
                    "Content-Type": "application/octet-stream",
                    "Content-Range": f"bytes {start}-{end - 1}/*",
                    "Content-Length": str(end - start),
                },
                body=partial(_limited, read, start, end),
            )
            progress(end)
        await self._client.ask("POST", target, {"size": size}, msgspec.Raw, what=what, accept=_V1)


class _FoundV2(msgspec.Struct):
    ok: bool = False
    signed_download_url: str = ""
    matched_key: str = ""


class _CreatedV2(msgspec.Struct):
    ok: bool = False
    message: str = ""
    signed_upload_url: str = ""


class _FinalizedV2(msgspec.Struct):
    ok: bool = False


class ServiceV2:
    """Twirp, with blocks to a signed URL of Azure Blob Storage ("Put Block", "Put Block List")."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client
        self._base = client.transport.endpoint.base + _TWIRP

    async def find(self, key: str) -> Entry | None:
        """See CacheService."""
        what = f"look for {key}"
        found = await self._client.ask(
            "POST",
            self._base + "GetCacheEntryDownloadURL",
            {"key": key, "restore_keys": [key], "version": VERSION},
            _FoundV2,
            what=what,
            accept=_V2,
        )
        if found is None or not found.ok:
            return None
        return Entry(found.matched_key, _address(found.signed_download_url, what))

    async def save(self, key: str, size: int, read: Read, progress: Callable[[int], None]) -> None:
        """See CacheService."""
        what = f"save {key}"
        asked = {"key": key, "version": VERSION}
        target = self._base + "CreateCacheEntry"
        created = await self._client.ask("POST", target, asked, _CreatedV2, what=what, accept=_V2)
        if created is None or not created.ok:
            reason = clean(created.message) if created is not None else ""
            raise Unavailable(f"cannot {what}: the service does not take it: {reason or 'it says no more'}")
        await self._blocks(_address(created.signed_upload_url, what), size, read, progress, what)
        target = self._base + "FinalizeCacheEntryUpload"
        told = asked | {"size_bytes": str(size)}
        done = await self._client.ask("POST", target, told, _FinalizedV2, what=what, accept=_V2)
        if done is None or not done.ok:
            raise Unavailable(f"cannot {what}: the cache service did not take it in the end")

    async def _blocks(
        self, url: str, size: int, read: Read, progress: Callable[[int], None], what: str
    ) -> None:
        blocks = []
        for number, (start, end) in enumerate(_chunks(size)):
            block = base64.b64encode(b"%08d" % number).decode()
            await self._put(
                f"{url}&comp=block&blockid={quote(block, safe='')}",
                end - start,
                partial(_limited, read, start, end),
                what,
            )
            blocks.append(f"<Latest>{block}</Latest>")
            progress(end)
        text = f'<?xml version="1.0" encoding="utf-8"?><BlockList>{"".join(blocks)}</BlockList>'.encode()
        await self._put(f"{url}&comp=blocklist", len(text), text, what)

    async def _put(
        self, url: str, size: int, body: Callable[[], AsyncIterator[bytes]] | bytes, what: str
    ) -> None:
        headers = {
            "x-ms-version": _BLOB_API,
            "Content-Type": "application/octet-stream",
            "Content-Length": str(size),
        }
        await self._client.call("PUT", url, what=what, headers=headers, body=body, signed=True)


def _address(url: str, what: str) -> str:
    if not is_url(url):
        raise Unavailable(f"cannot {what}: the cache service names a place that is no URL")
    return url


def _chunks(size: int) -> list[tuple[int, int]]:
    return [(start, min(start + _CHUNK, size)) for start in range(0, size, _CHUNK)]


async def _limited(read: Read, start: int, end: int) -> AsyncIterator[bytes]:
    left = end - start
    async with aclosing(read(start)) as pieces:  # type: ignore[type-var]
        async for piece in pieces:
            yield piece[:left]
            left -= len(piece)
            if left <= 0:
                return
