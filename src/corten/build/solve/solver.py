"""The solver: runs graphs of operations, for any number of builds at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from corten.build.context.model import DigestSelection
from corten.build.files.model import LayerWriter
from corten.build.graph import Vertex
from corten.build.progress import Report
from corten.build.solve.database import CacheDatabase
from corten.build.solve.explanation import Explanation
from corten.build.solve.failure import BuildFailed
from corten.build.solve.inputs import BuildInputs
from corten.build.solve.keys import vertex_ids
from corten.build.solve.layer_store import LayerStore
from corten.build.solve.operations import FailedStep, Operations
from corten.build.solve.protocols import Executor, Terminal
from corten.build.solve.records import Records
from corten.build.solve.reporting import Reporter
from corten.build.solve.result import Results
from corten.build.solve.session import Session
from corten.errors import NotFound


class Solver:
    """One per engine, on its event loop."""

    def __init__(
        self,
        database: CacheDatabase,
        layers: LayerStore,
        executor: Executor,
        writer: LayerWriter,
        digest: DigestSelection,
        *,
        cores: int = 0,
    ) -> None:
        self.layers = layers
        self.records = Records(database, layers)
        self._database = database
        self._executor = executor
        self._operations = Operations(self.records, layers, executor, writer, digest, cores=cores)
        self._failed: dict[BuildFailed, FailedStep] = {}

    async def recover(self) -> None:
        """Once at start, before any build: removes what a killed engine left half-made or running."""
        await self._executor.recover()
        self.records.forget_with(await asyncio.to_thread(self.layers.recover))
        await asyncio.to_thread(self.layers.sweep)

    async def solve(self, targets: Sequence[Vertex], inputs: BuildInputs, report: Report) -> Results:
        """The file systems of `targets`, found or made; the caller closes what it gets. `report` is told what
        happens.

        BuildFailed, after everything else of this build has been ended; LayersLost likewise: without them it
        can be tried again. A cancelled call ends what no other build waits for, and returns when that is
        gone.
        """
        ids = {}
        for target in targets:
            ids.update(vertex_ids(target))
        explanation = Explanation(self._database, inputs.scope, targets)
        session = Session(self._operations, inputs, Reporter(report, ids), explanation)
        try:
            results = await session.run(targets)
        except BuildFailed as error:
            if session.failed is not None:
                self._failed[error] = session.failed
            await asyncio.to_thread(explanation.save)
            raise
        self.layers.settle_soon()
        try:
            await asyncio.to_thread(explanation.save)
        except BaseException:
            results.close()
            raise
        return results

    async def debug(self, failed: BuildFailed, args: Sequence[str], terminal: Terminal) -> int:
        """Runs `args` in the state just before the RUN that failed, with its mounts; the exit code. What it
        changes is thrown away. NotFound when nothing was kept (`BuildInputs.keep_failed`)."""
        step = self._failed.get(failed)
        if step is None:
            raise NotFound("nothing was kept of the step that failed: no process failed there")
        draft = self.layers.draft()
        try:
            return await self._executor.debug(step.request, draft, args, terminal)
        finally:
            await self._operations.discard(draft)

    def can_debug(self, failed: BuildFailed) -> bool:
        """Whether `debug` has anywhere to go."""
        return failed in self._failed

    def forget(self, failed: BuildFailed) -> None:
        """Lets go of what was kept of a failure; nothing happens when nothing was."""
        step = self._failed.pop(failed, None)
        if step is not None:
            step.release()

    async def close(self) -> None:
        """Nothing may be running."""
        for failed in list(self._failed):
            self.forget(failed)
        await self._executor.close()
        self._operations.close()
        self.layers.close()
        self._database.close()
