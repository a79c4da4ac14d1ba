"""Carrying out one operation: a draft, the work, a layer, a record."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from corten.build.context.model import DigestSelection, Selection, SourceTree, Stop
from corten.build.files.model import LayerWriter, NothingWritten, WrittenLayer
from corten.build.graph import Copy, FileOperation, Vertex
from corten.build.solve.ending import settled
from corten.build.solve.layer_store import LayerStore
from corten.build.solve.protocols import Draft, Drafted, ExecRequest, Executor, Log
from corten.build.solve.records import Record, Records
from corten.build.solve.result import BuiltLayer, Result
from corten.build.solve.sharing import SharedWork
from corten.errors import CortenError

T = TypeVar("T")
_UNNAMED = "files of a context, for a bind mount"


@dataclass(frozen=True, slots=True)
class VertexKeys:
    """The keys of a FileOperation or Exec. `key` is looked up here; `portable`, and its `portable_partial`,
    are the same on every machine. They differ below an operation that was run again without the cache."""

    key: str
    portable: str
    partial: str
    portable_partial: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """A record, and the layers that were placed for it: pinned, until `Operations.release`."""

    record: Record
    placed: tuple[BuiltLayer, ...] = ()


@dataclass(frozen=True, slots=True)
class FailedStep:
    """A RUN that failed, with all that it takes to go there; `release` lets go of it."""

    vertex: Vertex
    request: ExecRequest
    release: Callable[[], None]


class Operations:
    """One per engine. `cores`: how many operations on files work at the same time; each is a thread."""

    def __init__(
        self,
        records: Records,
        layers: LayerStore,
        executor: Executor,
        writer: LayerWriter,
        digest: DigestSelection,
        *,
        cores: int = 0,
    ) -> None:
        self.records = records
        self.layers = layers
        self.executor = executor
        self._writer = writer
        self._digest = digest
        cores = cores or os.cpu_count() or 1
        self.default_jobs = max(4, 2 * cores)
        self.shared: SharedWork[Outcome] = SharedWork()
        self.unseen: dict[str, asyncio.Event] = {}
        """By partial key: file operations that run before anybody has looked at what they copy."""
        self._threads = ThreadPoolExecutor(cores, thread_name_prefix="build")

    def close(self) -> None:
        """Nothing may be running."""
        self._threads.shutdown(wait=True)

    def release(self, outcome: Outcome) -> None:
        """Whoever wants the outcome has pinned it by now."""
        self.layers.unpin(outcome.placed)

    async def execute(self, vertex: Vertex, request: ExecRequest, keys: VertexKeys, log: Log) -> Outcome:
        """Runs a process, unless somebody else has just done so."""
        if (done := self._done(vertex, keys)) is not None:
            return done
        draft = self.layers.draft()
        try:
            made = await self.executor.run(request, draft, log)
            return self._keep(vertex, keys, draft, made, request.root)
        except BaseException:
            await self.discard(draft)
            raise

    async def write(
        self,
        vertex: Vertex,
        trees: Sequence[SourceTree | None],
        base: Result,
        keys: VertexKeys,
        log: Log,
    ) -> Outcome:
        """Copies and makes files, unless somebody else has just done so."""
        if (done := self._done(vertex, keys)) is not None:
            return done
        return await self._write(vertex, trees, base, lambda _selections: keys, log)

    async def write_unseen(
        self,
        vertex: Vertex,
        trees: Sequence[SourceTree | None],
        base: Result,
        keys_of: Callable[[Sequence[Selection]], VertexKeys],
        log: Log,
    ) -> Outcome:
        """The same for contents that nobody has looked at: `keys_of` is told what was copied."""
        return await self._write(vertex, trees, base, keys_of, log)

    async def _write(
        self,
        vertex: Vertex,
        trees: Sequence[SourceTree | None],
        base: Result,
        keys_of: Callable[[Sequence[Selection]], VertexKeys],
        log: Log,
    ) -> Outcome:
        operation = vertex.operation
        assert isinstance(operation, FileOperation)
        draft = self.layers.draft()
        try:
            written = await self.in_thread(
                lambda stop: self._writer.write(
                    operation, trees, draft.directory, epoch=vertex.epoch, stop=stop
                )
            )
            keys = keys_of(written.selections)
            if isinstance(written, NothingWritten):
                await self.discard(draft)
                return Outcome(self._record(vertex, keys, base))
            for note in written.notes:
                log(2, f"{note}\n".encode())
            return self._keep(vertex, keys, draft, _drafted(written), base)
        except BaseException:
            await self.discard(draft)
            raise

    async def select(self, tree: SourceTree, copy: Copy) -> Selection:
        """The digest of what a copy takes."""
        return await self.in_thread(lambda stop: self._digest(tree, copy, stop=stop))

    async def in_thread(self, work: Callable[[Stop], T]) -> T:
        """`work` in a thread; when the caller is cancelled, it is told to stop, and its end is waited
        for."""
        cancelled = threading.Event()

        def stop() -> None:
            if cancelled.is_set():
                raise _Stopped

        future = asyncio.get_running_loop().run_in_executor(self._threads, lambda: work(stop))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            cancelled.set()
            await settled(future)
            raise

    async def discard(self, draft: Draft) -> None:
        """Throws a draft away, whatever happens meanwhile."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(FileNotFoundError):
            await settled(loop.run_in_executor(None, self.layers.discard, draft))

    def _done(self, vertex: Vertex, keys: VertexKeys) -> Outcome | None:
        record = None if vertex.ignore_cache else self.records.find(keys.key)
        if record is None or not self.records.intact(record):
            return None
        return Outcome(record)

    def _keep(self, vertex: Vertex, keys: VertexKeys, draft: Draft, made: Drafted, base: Result) -> Outcome:
        layer = self.layers.place(draft, made, keys.portable)
        try:
            record = self._record(vertex, keys, Result((*base.layers, layer)))
        except BaseException:
            self.layers.unpin([layer])
            raise
        return Outcome(record, (layer,))

    def _record(self, vertex: Vertex, keys: VertexKeys, result: Result) -> Record:
        return self.records.add(
            keys.key,
            portable=keys.portable,
            partial=keys.partial,
            result=result,
            name=(vertex.name or _UNNAMED).encode("utf-8", "backslashreplace").decode(),
            again=vertex.ignore_cache,
        )


class _Stopped(CortenError):
    """Raised in a thread whose result nobody wants any more."""

    def __init__(self) -> None:
        super().__init__("the build was cancelled")


def _drafted(written: WrittenLayer) -> Drafted:
    return Drafted(written.size, written.inodes, written.diff_id, written.tar_size)
