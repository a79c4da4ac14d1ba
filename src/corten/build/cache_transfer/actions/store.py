"""A cache in GitHub's service, `protocols.KeyedStore`, under BuildKit's keys::

    buildkit-blob-1-sha256:…            a blob
    index-<scope>-1-<git scope>#<n>     the manifest: an entry is never changed, and the highest number counts

A workflow reads what its own branch has, and the branches above it; it writes for its own.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import logging
from collections.abc import AsyncIterator, Callable
from urllib.parse import quote

import msgspec

from corten.build.cache_transfer.actions.http import AlreadyThere, HttpSessions, ServiceClient
from corten.build.cache_transfer.actions.options import ActionsCache
from corten.build.cache_transfer.actions.service import (
    VERSION,
    CacheService,
    Entry,
    ServiceV1,
    ServiceV2,
)
from corten.build.cache_transfer.actions.token import Scope, scopes_of
from corten.build.cache_transfer.keyed_manifest import MAX_BYTES
from corten.build.export.concurrency import all_of
from corten.content.streaming import data_pieces
from corten.errors import CortenError, Denied, NotFound
from corten.image.registry.blob_reader import BlobReader
from corten.oci.descriptor import Descriptor

_BLOB = "buildkit-blob-1-"
_PAUSE = 2.0
_FORCE = 15.0
"""An entry that somebody has begun and not finished for so many seconds is passed over: he has died."""
_MOST_PASSED = 100
_MOST_PAGES = 100

_log = logging.getLogger("corten.engine")


class _Listed(msgspec.Struct):
    key: str
    version: str = VERSION


class _Listing(msgspec.Struct):
    actions_caches: list[_Listed] = []


class ActionsStore:
    """Denied for a token that is none."""

    def __init__(self, place: ActionsCache, sessions: HttpSessions) -> None:
        self.name = place.name
        self.origin = f"cache:gha:{place.url}"
        self.parallel = 4
        self.seconds: float | None = place.timeout
        self._place = place
        self._sessions = sessions
        self._scopes = scopes_of(place.token)
        transport = sessions.transport(place.url)
        self._client = ServiceClient(transport, place.token, place.timeout)
        self._service: CacheService = (
            ServiceV1(self._client) if place.version == 1 else ServiceV2(self._client)
        )
        self._known: frozenset[str] | None = None

    async def manifests(self) -> list[bytes]:
        """See KeyedStore: of every scope that the token may read, in its order."""
        return [
            data
            for data in await all_of(self._newest(scope) for scope in self._scopes if scope.can_read)
            if data is not None
        ]

    async def _newest(self, scope: Scope) -> bytes | None:
        entry = await self._index(scope)
        return None if entry is None else await self._read(entry)

    async def _index(self, scope: Scope) -> Entry | None:
        key = self._index_key(scope)
        entry = await self._service.find(key)
        return entry if entry is not None and entry.key.startswith(key) else None

    def _index_key(self, scope: Scope) -> str:
        return f"index-{self._place.scope}-1-{hashlib.sha256(scope.scope.encode()).hexdigest()[:8]}#"

    async def _read(self, entry: Entry) -> bytes:
        what, transport = f"read {entry.key}", self._client.transport
        answer = await transport.call("GET", entry.url, what=what, limit=MAX_BYTES)
        return answer.body

    async def write_manifests(self, change: Callable[[bytes | None], bytes]) -> None:
        """See KeyedStore."""
        scope = self._writable()
        key = self._index_key(scope)
        waited = 0.0
        while True:
            entry = await self._index(scope)
            data = change(await self._read(entry) if entry is not None else None)
            last = _number(entry, key)
            for number in range(last + 1, last + 1 + _MOST_PASSED):
                try:
                    read = functools.partial(data_pieces, data)
                    await self._service.save(f"{key}{number}", len(data), read, lambda done: None)
                    return
                except AlreadyThere:
                    if number == last + _MOST_PASSED:
                        raise
                if waited <= _FORCE:
                    break
            # Somebody else writes: what he has written is to be seen first.
            waited += _PAUSE
            await asyncio.sleep(_PAUSE)

    def _writable(self) -> Scope:
        for scope in reversed(self._scopes):
            if scope.can_write:
                return scope
        raise Denied(f"cannot write the build cache {self.name}: the token may only read")

    async def prepare(self) -> None:
        """See KeyedStore. GitHub's API is asked for all keys at once, where there is a token for it."""
        self._writable()
        if self._place.repository and self._place.api_token:
            try:
                self._known = await self._listed()
            except CortenError as error:
                _log.warning("type=gha asks for each blob: %s", error.message)

    async def _listed(self) -> frozenset[str]:
        place = self._place
        transport = self._sessions.transport(place.api_url)
        client = ServiceClient(transport, place.api_token, place.timeout)
        found: set[str] = set()
        for scope in self._scopes:
            for page in range(1, _MOST_PAGES + 1):
                query = f"key={_BLOB}&ref={quote(scope.scope, safe='')}&per_page=100&page={page}"
                listing = await client.ask(
                    "GET",
                    f"{place.api_url}/repos/{quote(place.repository)}/actions/caches?{query}",
                    None,
                    _Listing,
                    what=f"list the caches of {place.repository}",
                    accept="application/vnd.github+json",
                )
                entries = listing.actions_caches if listing is not None else []
                found.update(entry.key for entry in entries if entry.version == VERSION)
                if len(entries) < 100:
                    break
        return frozenset(found)

    async def keep(self, blob: Descriptor) -> bool:
        """See KeyedStore: a look-up is a use, and the service forgets what is not used."""
        key = _BLOB + blob.digest
        if self._known is not None:
            return key in self._known
        return await self._find(key) is not None

    async def _find(self, key: str) -> Entry | None:
        entry = await self._service.find(key)
        return entry if entry is not None and entry.key == key else None

    async def upload(
        self,
        blob: Descriptor,
        read: Callable[[int], AsyncIterator[bytes]],
        progress: Callable[[int], None],
    ) -> None:
        """See KeyedStore."""
        try:
            await self._service.save(_BLOB + blob.digest, blob.size, read, progress)
        except AlreadyThere:
            progress(blob.size)

    async def download(self, blob: Descriptor, offset: int = 0) -> AsyncIterator[bytes]:
        """See KeyedStore."""
        entry = await self._find(_BLOB + blob.digest)
        if entry is None:
            raise NotFound(f"the blob {blob.digest} is not in the build cache {self.name} any more")
        reader = BlobReader([self._client.transport], entry.url, "", blob)
        async for piece in reader.read(offset):
            yield piece


def _number(entry: Entry | None, key: str) -> int:
    text = entry.key.removeprefix(key) if entry is not None else ""
    return int(text) if text.isdecimal() and len(text) < 10 else 0
