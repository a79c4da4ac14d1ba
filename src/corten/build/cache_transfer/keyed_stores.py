"""The buckets and cache services of one build."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from types import TracebackType

from corten.build.cache_transfer.actions.http import HttpSessions
from corten.build.cache_transfer.actions.options import ActionsCache
from corten.build.cache_transfer.actions.store import ActionsStore
from corten.build.cache_transfer.bucket.options import AzureCache, S3Cache
from corten.build.cache_transfer.protocols import KeyedStore
from corten.errors import NotFound
from corten.oci.descriptor import Descriptor

KeyedCache = S3Cache | AzureCache | ActionsCache

ORIGIN = "cache:"
"""What the origins (`BuiltLayer.origin`) of their blobs begin with."""


class KeyedStores:
    """An asynchronous context manager: connections last as long as the build."""

    def __init__(self) -> None:
        self._stores: dict[KeyedCache, KeyedStore] = {}
        self._by_origin: dict[str, KeyedStore] = {}
        self._sessions = HttpSessions()

    async def __aenter__(self) -> KeyedStores:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._sessions.close()

    def open(self, place: KeyedCache) -> KeyedStore:
        """The store of a place; InvalidArgument, Denied."""
        store = self._stores.get(place)
        if store is None:
            store = self._stores[place] = self._opened(place)
            self._by_origin.setdefault(store.origin, store)
        return store

    def fetch(self, origin: str) -> Callable[[Descriptor, int], AsyncIterator[bytes]]:
        """Where blobs of an origin come from. NotFound when this build has no such cache."""
        store = self._by_origin.get(origin)
        if store is None:
            raise NotFound("a layer lies in a build cache that was not given by --cache-from")
        return store.download

    def _opened(self, place: KeyedCache) -> KeyedStore:
        if isinstance(place, ActionsCache):
            return ActionsStore(place, self._sessions)
        # obstore is not always installed, and takes its time.
        from corten.build.cache_transfer.bucket.opening import open_azure, open_s3

        return open_s3(place) if isinstance(place, S3Cache) else open_azure(place)
