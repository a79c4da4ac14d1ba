"""`system fsck`: the checks of `image.fsck`, with what only the engine knows: containers and registries."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec

from corten.engine.core import Core
from corten.errors import Conflict
from corten.image.fsck import Checker, ContainerUse, Problem, Step
from corten.image.fsck.fetching import fetch_again
from corten.image.fsck.problem import Tell
from corten.image.registry.client import Registries
from corten.snapshot.overlay import OverlaySnapshotter


class Fsck:
    """One check at a time."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._busy = False
        self.repaired: Callable[[], None] = lambda: None
        """Called after layers were made again."""

    async def run(self, *, repair: bool = False) -> AsyncIterator[dict[str, Any]]:
        """{"step": {"stage", "subject", "done", "total"}}, {"problem": {"kind", "subject", "problem",
        "repaired", "remedy"}}, and at last {"summary": {"checked", "problems", "repaired", "left"}}."""
        if self._busy:
            raise Conflict("another check of this engine's store is going on: wait until it has ended")
        self._busy = True
        queue: asyncio.Queue[Step | Problem | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def tell(item: Step | Problem) -> None:
            loop.call_soon_threadsafe(queue.put_nowait, item)

        work = asyncio.create_task(self._stages(tell, repair))
        work.add_done_callback(lambda task: loop.call_soon(queue.put_nowait, None))
        problems: list[Problem] = []
        try:
            while (item := await queue.get()) is not None:
                if isinstance(item, Problem):
                    problems.append(item)
                    yield {"problem": msgspec.to_builtins(item)}
                else:
                    yield {"step": msgspec.to_builtins(item)}
            checked = await work
        finally:
            if not work.done():  # the client went away: the thread ends its stage first
                work.cancel()
                await asyncio.wait({work})
            self._busy = False
        repaired = sum(bool(problem.repaired) for problem in problems)
        summary = {"checked": checked, "problems": len(problems), "repaired": repaired}
        yield {"summary": {**summary, "left": len(problems) - repaired}}

    async def _stages(self, tell: Tell, repair: bool) -> int:
        core = self._core
        snapshotter = core.images.snapshotter
        assert isinstance(snapshotter, OverlaySnapshotter)
        checker = Checker(core.images, snapshotter, tell, repair=repair)
        await self._blobs(checker, tell, repair)
        await _in_thread(checker.references, self._uses())
        try:
            await _in_thread(checker.layers, self._uses())
        finally:
            if repair:
                self.repaired()
        await _in_thread(checker.leftovers, [core.paths.trash])
        self._containers(tell)
        return checker.checked

    async def _blobs(self, checker: Checker, tell: Tell, repair: bool) -> None:
        """What one repair brings (an index) may tell of more that is missing (its manifests)."""
        told: set[str] = set()
        async with Registries() as registries:
            while True:
                mended = False
                for problem, need in await _in_thread(checker.blobs):
                    if problem.subject in told:
                        continue
                    told.add(problem.subject)
                    if repair and checker.mend_blob(problem, need):
                        mended = True
                    elif repair and need is not None:
                        mended = (
                            await fetch_again(self._core.images.content, registries, problem, need) or mended
                        )
                    elif need is not None:
                        problem.remedy = "corten system fsck --repair asks the registries for it"
                    else:
                        user = await _in_thread(checker.only_user, problem.subject)
                        problem.remedy = f"corten system fsck --repair removes it: {user}"
                    tell(problem)
                if not mended:
                    return

    def _uses(self) -> list[ContainerUse]:
        return [
            ContainerUse(
                container.id,
                container.definition.image_id,
                tuple(container.definition.chain),
                container.state.status.has_process,
            )
            for container in self._core.catalog
        ]

    def _containers(self, tell: Tell) -> None:
        """Directories against rows. Both on the event loop, on which containers come and go."""
        core = self._core
        known = {container.id for container in core.catalog}
        for name in sorted(path.name for path in core.paths.containers.iterdir()):
            if name not in known and _is_old(core.paths.container(name)):
                problem = Problem(
                    "leftover", str(core.paths.container(name)), "no container has this directory"
                )
                problem.remedy = "the next start of the engine removes it"
                tell(problem)
        for container in core.catalog:
            missing = [
                part for part in ("upper", "work") if not (core.paths.container(container.id) / part).is_dir()
            ]
            if missing:
                problem = Problem("container", container.id, f"its directory {missing[0]} is missing")
                problem.remedy = f"remove the container: corten rm {container.id[:12]}"
                tell(problem)


def _is_old(directory: Path) -> bool:
    """A container that is being made has its directory before its row."""
    import time

    try:
        return directory.stat().st_mtime < time.time() - 60
    except FileNotFoundError:
        return False


async def _in_thread(function: Any, *arguments: Any) -> Any:
    """As asyncio.to_thread, but ends no sooner than the thread."""
    work = asyncio.ensure_future(asyncio.to_thread(function, *arguments))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait({work})
        raise
