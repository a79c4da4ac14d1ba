"""What all builds of an engine work with: the cache, the solver, what runs processes and copies files."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

from corten.api.build import BuildCacheItem, BuildPruned
from corten.build.context.selection_digest import digest_selection
from corten.build.context.sources import ContextSources, ContextStore, Credentials
from corten.build.context.stat_cache import StatCache
from corten.build.export.layer_tars import LayerTars
from corten.build.files.writer import FileLayerWriter
from corten.build.solve.cache_mounts import CacheMounts
from corten.build.solve.database import CacheDatabase
from corten.build.solve.layer_store import LayerStore
from corten.build.solve.pruning import Pruner
from corten.build.solve.solver import Solver
from corten.engine.build_executor import BuildExecutor
from corten.engine.build_gc import CacheLimits, configured_policies
from corten.engine.build_pruning import (
    KeptDownloads,
    KeptRepositories,
    cache_item,
    prune_options,
    pruned,
)
from corten.engine.core import Core
from corten.engine.results import Filters
from corten.engine.snapshots import open_snapshotter


class Machinery:
    """One per engine, on its event loop."""

    def __init__(
        self,
        core: Core,
        solver: Solver,
        tars: LayerTars,
        contexts: ContextStore,
        mounts: CacheMounts,
        pruner: Pruner,
    ) -> None:
        """Use `open`."""
        self._core = core
        self._contexts = contexts
        self._pruner = pruner
        self.limits = CacheLimits(pruner, configured_policies(core.paths.build))
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
        contexts = ContextStore(place)
        await asyncio.to_thread(contexts.recover)
        others = (
            KeptRepositories(place / "git", contexts.in_use),
            KeptDownloads(place / "downloads", contexts.in_use),
        )
        pruner = Pruner(database, solver.records, layers, mounts, core.images.registrar, others)
        return cls(core, solver, LayerTars(core.images.content, layers), contexts, mounts, pruner)

    def sources(self, credentials: Credentials) -> ContextSources:
        """The contexts of one build; to be entered."""
        return ContextSources(self._contexts, credentials)

    @contextlib.contextmanager
    def mount_digests(self) -> Iterator[StatCache]:
        """What is known of the files in cache mounts."""
        name = str(self._core.paths.build / "cache-mounts")
        cache = self._contexts.digests.open(name)
        try:
            yield cache
        finally:
            self._contexts.digests.release(name)

    async def prune(
        self,
        *,
        all: bool,
        filters: Filters,
        reserved_space: int,
        max_used_space: int,
        min_free_space: int,
    ) -> BuildPruned:
        """Takes from the cache what no build uses. InvalidArgument for the filters."""
        options = prune_options(
            filters,
            all=all,
            reserved_space=reserved_space,
            max_used_space=max_used_space,
            min_free_space=min_free_space,
        )
        return pruned(await self._pruner.prune(options))

    async def usage(self) -> list[BuildCacheItem]:
        """What the cache holds, those used last first."""
        return [cache_item(item) for item in await self._pruner.usage()]

    async def close(self) -> None:
        """Nothing may be running."""
        await self.limits.close()
        await self.solver.close()
