"""The builds facet: one build from its request to its end, any number at once; the build cache; what is known
of builds that have ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from corten.api.build import BuildCacheItem, BuildPruned, BuildRequest
from corten.engine.build_history import BuildHistory, HistoryStore
from corten.engine.core import Core
from corten.errors import Conflict, CortenError, NotFound

if TYPE_CHECKING:
    from corten.engine.build_events import BuildLine
    from corten.engine.build_machinery import Machinery
    from corten.engine.build_run import Build
    from corten.engine.results import Filters

_log = logging.getLogger("corten.engine")


class BuildService:
    """What builds need is imported, and opened, when the first one comes."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._machinery: Machinery | None = None
        self._opening = asyncio.Lock()
        self._running: dict[str, Build] = {}
        self.history = BuildHistory(HistoryStore(core.paths.build_history))

    async def run(
        self,
        request: BuildRequest,
        upload: AsyncIterator[bytes] | None = None,
        *,
        classic: bool = False,
    ) -> AsyncIterator[BuildLine]:
        """Everything that the build tells; the last is a BuildResult, a BuildAnswer or a BuildFailure.

        `upload` is the archive of a ContextUpload. `classic`: Docker's classic builder is asked. Closing the
        iterator cancels the build, and waits until nothing of it is left.
        """
        machinery = await self._open()
        if request.id in self._running:
            raise Conflict(f"a build with the id {request.id} is running")
        from corten.engine.build_run import Build

        build = Build(self._core, machinery, request, upload, classic=classic)
        self._running[request.id] = build
        task = asyncio.create_task(build.run())
        if request.call == "build":
            task.add_done_callback(lambda _task: self.history.add(build.recording))
        build.task = task
        try:
            async for line in build.events:
                yield line
        finally:
            del self._running[request.id]
            build.cancel()
            await asyncio.wait({task})
            machinery.limits.soon()
            if not task.cancelled():
                task.result()

    def cancel(self, build_id: str) -> None:
        """Ends a build; nothing happens when there is none of that name any more."""
        build = self._running.get(build_id)
        if build is not None:
            build.cancel()

    def find(self, build_id: str) -> Build:
        """A build that is running; NotFound."""
        build = self._running.get(build_id)
        if build is None:
            raise NotFound(f"no build with the id {build_id} is running")
        return build

    async def prune(
        self,
        *,
        all: bool = False,
        filters: Filters | None = None,
        reserved_space: int = 0,
        max_used_space: int = 0,
        min_free_space: int = 0,
    ) -> BuildPruned:
        """Removes what no build uses. Filters: see `build_pruning.prune_options`."""
        if self._machinery is None and not self._core.paths.build.exists():
            return BuildPruned()
        machinery = await self._open()
        pruned = await machinery.prune(
            all=all,
            filters=filters or {},
            reserved_space=reserved_space,
            max_used_space=max_used_space,
            min_free_space=min_free_space,
        )
        self._core.events.publish("builder", "prune", "", {"reclaimed": str(pruned.space_reclaimed)})
        return pruned

    async def usage(self) -> list[BuildCacheItem]:
        """What the build cache holds."""
        if self._machinery is None and not self._core.paths.build.exists():
            return []
        return await (await self._open()).usage()

    async def recover(self) -> None:
        """Once at start: removes what a killed engine has left of builds. An engine that cannot open its
        build cache starts all the same; builds will tell why."""
        if not self._core.paths.build.exists():
            return
        try:
            await self._open()
        except (CortenError, OSError):
            _log.exception("cannot open the build cache")

    async def close(self) -> None:
        """Cancels what runs, and waits for its end."""
        tasks = [build.task for build in self._running.values() if build.task is not None]
        for build in list(self._running.values()):
            build.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self.history.settle()
        if self._machinery is not None:
            await self._machinery.close()
            self._machinery = None

    async def _open(self) -> Machinery:
        async with self._opening:  # opening it removes what no build of this engine has made
            if self._machinery is None:
                from corten.engine.build_machinery import Machinery

                self._machinery = await Machinery.open(self._core)
            return self._machinery
