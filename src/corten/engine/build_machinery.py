"""What all builds of an engine work with: the cache, the solver, what runs processes and copies files."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

from corten.api.build import BuildCacheItem, BuildPruned, BuildRequest
from corten.build.context.selection_digest import digest_selection
from corten.build.context.stat_cache import StatCache, StatCaches
from corten.build.export.layer_tars import LayerTars
from corten.build.files.writer import FileLayerWriter
from corten.build.solve.cache_mounts import CacheMounts
from corten.build.solve.database import CacheDatabase
from corten.build.solve.layer_store import LayerStore
from corten.build.solve.solver import Solver
from corten.engine.build_events import BuildEvents
from corten.engine.build_executor import BuildExecutor
from corten.engine.build_sources import BuildSources
from corten.engine.core import Core
from corten.engine.results import Filters
from corten.engine.snapshots import open_snapshotter


class Machinery:
    """One per engine, on its event loop."""

    def __init__(
        self, core: Core, solver: Solver, tars: LayerTars, caches: StatCaches, mounts: CacheMounts
    ) -> None:
        """Use `open`."""
        self._core = core
        self._caches = caches
        self.solver = solver
        self.layers = solver.layers
        self.tars = tars
        self.mounts = mounts

    @classmethod
    async def open(cls, core: Core) -> Machinery:
        """Opens the cache, and removes what a killed engine has left."""
        place = core.paths.build
        place.mkdir(exist_ok=True, mode=0o700)
        database = await asyncio.to_thread(CacheDatabase, place / "cache.db")
        snapshotter = open_snapshotter(place / "layers")
        layers = LayerStore(database, core.images.registrar, snapshotter)
        mounts = CacheMounts(place / "cache-mounts", database)
        executor = BuildExecutor(core, layers, mounts)
        solver = Solver(database, layers, executor, FileLayerWriter(snapshotter), digest_selection)
        await asyncio.to_thread(mounts.recover)
        await solver.recover()
        return cls(
            core, solver, LayerTars(core.images.content, layers), StatCaches(place / "contexts"), mounts
        )

    def sources(
        self, request: BuildRequest, upload: AsyncIterator[bytes] | None, events: BuildEvents
    ) -> BuildSources:
        """The contexts of one build; to be entered."""
        return BuildSources(request, self._caches)

    @contextlib.contextmanager
    def mount_digests(self) -> Iterator[StatCache]:
        """What is known of the files in cache mounts."""
        name = str(self._core.paths.build / "cache-mounts")
        cache = self._caches.open(name)
        try:
            yield cache
        finally:
            self._caches.release(name)

    async def prune(
        self,
        *,
        all: bool,
        filters: Filters,
        reserved_space: int,
        max_used_space: int,
        min_free_space: int,
    ) -> BuildPruned:
        return BuildPruned()

    async def usage(self) -> list[BuildCacheItem]:
        return []

    async def close(self) -> None:
        """Nothing may be running."""
        await self.solver.close()
