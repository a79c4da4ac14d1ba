"""One build's way through its graph.

Nothing runs that need not. To `identify` a vertex is to work out its keys, and to look it up; that needs the
identities of its inputs, and, when it copies, the digests of what it copies: only then is an input that it
copies from needed itself. To `obtain` a vertex is to have its result, found or run. What is certain to be
needed is begun at once: the sources of a copy whose digests are not known, and the file system below a vertex
for whose partial key there is no record.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from corten.build.context.model import Selection, SourceTree
from corten.build.graph import (
    BindMount,
    CacheMount,
    Copy,
    Exec,
    FileOperation,
    GitSource,
    HttpSource,
    ImageSource,
    LayoutSource,
    LocalSource,
    Merge,
    Vertex,
)
from corten.build.solve import keys
from corten.build.solve.explanation import Explanation
from corten.build.solve.failure import BuildFailed, LayersLost, ProcessFailed
from corten.build.solve.inputs import BuildInputs
from corten.build.solve.materials import Materials, mounted_part
from corten.build.solve.operations import FailedStep, Operations, Outcome, VertexKeys
from corten.build.solve.protocols import ExecRequest, Log
from corten.build.solve.records import Record, RecordLookup
from corten.build.solve.reporting import Reporter
from corten.build.solve.result import SCRATCH, Result, Results, Solved
from corten.build.solve.stack import base_of, stacked, stacks
from corten.errors import CortenError, NoSpace, StartError

T = TypeVar("T")
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True)
class Identified:
    """What those that build upon a vertex know it by. Both are empty for a directory of the client, which
    only its contents tell of. `result` None: nobody has it (yet)."""

    identity: str
    portable: str
    result: Result | None = None


_NOTHING = Identified(keys.NOTHING, keys.NOTHING, SCRATCH)


class Session:
    """Used once: `run`."""

    def __init__(
        self, operations: Operations, inputs: BuildInputs, reporter: Reporter, explanation: Explanation
    ) -> None:
        self._operations = operations
        own = operations.records
        self._records: RecordLookup = inputs.lookup(own) if inputs.lookup is not None else own
        self._layers = operations.layers
        self._inputs = inputs
        self._reporter = reporter
        self._explanation = explanation
        self._jobs = asyncio.Semaphore(inputs.jobs or operations.default_jobs)
        self._group = asyncio.TaskGroup()
        self._tasks: dict[tuple[str, object], asyncio.Task[Any]] = {}
        self._keys: dict[Vertex, VertexKeys] = {}
        self._results: dict[Vertex, Result] = {}
        self._found: dict[Vertex, Record] = {}
        self._ran: set[Vertex] = set()
        self._again: dict[str, Record] = {}
        self._releases: list[Callable[[], None]] = []
        self._materials = Materials(operations.layers, inputs, reporter, self._result)
        self._stacked: set[Vertex] = set()
        self.failed: FailedStep | None = None

    async def run(self, targets: Sequence[Vertex]) -> Results:
        """The results of all targets; BuildFailed, LayersLost."""
        self._stacked = stacks(targets)
        try:
            async with self._group:
                for target in targets:
                    self._obtain(target)
            solved = {vertex: self._solved(vertex) for target in targets for vertex in target.walk()}
            self._records.used({record.key for record in self._found.values()})
            for vertex in solved:
                if vertex in self._results and isinstance(vertex.operation, ImageSource | LayoutSource):
                    self._reporter.cached(vertex)
        except BaseException as error:
            cause = _first(error) if isinstance(error, BaseExceptionGroup) else error
            if not isinstance(cause, LayersLost):  # else they begin once more
                self._reporter.give_up("canceled")
            if self.failed is None:
                self._release()
            if cause is not error:
                raise cause from None
            raise
        finally:
            self._materials.close()
        releases, self._releases = self._releases, []
        return Results({vertex: item for vertex, item in solved.items() if item is not None}, releases)

    def _release(self) -> None:
        releases, self._releases = self._releases, []
        for release in releases:
            release()

    def _solved(self, vertex: Vertex) -> Solved | None:
        identified = self._tasks.get(("identify", vertex))
        known = self._keys.get(vertex)
        if known is not None:
            result = self._results.get(vertex)
            return Solved(known.portable, known.portable_partial, result, vertex not in self._ran)
        if identified is None:
            return None
        found: Identified = identified.result()
        return Solved(found.portable, "", self._results.get(vertex, found.result), True)

    def _once(self, kind: str, what: object, work: Callable[[], Coroutine[Any, Any, T]]) -> asyncio.Task[T]:
        task = self._tasks.get((kind, what))
        if task is None:
            task = self._tasks[kind, what] = self._group.create_task(work())
        return task

    @contextlib.contextmanager
    def _blaming(self, vertex: Vertex) -> Iterator[None]:
        """What goes wrong in here is the vertex's failure."""
        try:
            yield
        except (BuildFailed, LayersLost):
            raise
        except CortenError as error:
            self._failed(vertex, error)
        except OSError as error:
            kind = NoSpace if error.errno in _NO_SPACE else CortenError
            self._failed(vertex, kind(f"cannot carry out {vertex.name or 'a step'}: {error}"))

    def _failed(self, vertex: Vertex, error: CortenError) -> None:
        self._reporter.started(vertex)
        self._reporter.finished(vertex, error=error.message)
        raise BuildFailed(vertex, error) from error

    # -- what a vertex is known by

    def _identify(self, vertex: Vertex) -> asyncio.Task[Identified]:
        return self._once("identify", vertex, lambda: self._identify_now(vertex))

    async def _identity(self, vertex: Vertex | None) -> Identified:
        return _NOTHING if vertex is None else await self._identify(vertex)

    async def _identify_now(self, vertex: Vertex) -> Identified:
        operation = vertex.operation
        if isinstance(operation, ImageSource | LayoutSource):
            with self._blaming(vertex):
                layers = await self._inputs.images.layers(operation)
            self._releases.append(self._layers.pin(layers))
            result = self._results[vertex] = Result(layers)
            key = keys.image_key(layers)
            return Identified(key, key, result)
        if isinstance(operation, LocalSource | HttpSource | GitSource):
            with self._blaming(vertex):
                own = await self._inputs.sources.key(operation, self._reporter.status(vertex))
            key = keys.source_key(operation, own) if own else ""
            return Identified(key, key)
        if isinstance(operation, Merge):
            for item in vertex.inputs:
                if item is not None:
                    self._identify(item)
            parts = [await self._identity(item) for item in vertex.inputs]
            return Identified(
                keys.merge_key(part.identity for part in parts),
                keys.merge_key(part.portable for part in parts),
                stacked([part.result for part in parts]),
            )
        known = await self._know(vertex)
        if vertex.ignore_cache:
            await self._obtain(vertex)
        record = self._find(vertex, known)
        if record is None:
            return Identified(known.key, known.portable)
        return Identified(record.identity, known.portable, record.result)

    def _find(self, vertex: Vertex, known: VertexKeys) -> Record | None:
        record = self._found.get(vertex)
        if record is None and not vertex.ignore_cache:
            record = self._records.find(known.key)
            if record is not None:
                self._take(vertex, record)
                if record.result is not None:
                    self._report_hit(vertex)
        return record

    def _take(self, vertex: Vertex, record: Record) -> None:
        """The record is the vertex's; nobody may take its layers away until the build is over."""
        self._found[vertex] = record
        if record.result is not None:
            self._releases.append(self._layers.pin(record.result.layers))
            self._results[vertex] = record.result

    # -- keys

    def _know(self, vertex: Vertex) -> asyncio.Task[VertexKeys]:
        return self._once("know", vertex, lambda: self._know_now(vertex))

    async def _know_now(self, vertex: Vertex) -> VertexKeys:
        selections = list(self._selections(vertex))
        looking = [
            self._once("content", (source, copy), lambda s=source, c=copy: self._content(s, c))  # type: ignore[misc]
            for source, copy in selections
        ]
        base = base_of(vertex)
        below = await self._identity(base)
        partial = keys.partial_key(vertex, below.identity)
        portable_partial = keys.partial_key(vertex, below.portable)
        digests = [await task for task in looking]
        self._explanation.know(vertex, below.identity, selections, digests)
        if None in digests and (vertex.ignore_cache or not self._records.may_match(partial)):
            # It will have to run, whatever is copied.
            if base is not None:
                self._obtain(base)
            if isinstance(vertex.operation, FileOperation):
                return await self._write_unseen(vertex, partial, portable_partial)
        contents = [
            digest or await self._select(vertex, source, copy)
            for (source, copy), digest in zip(selections, digests, strict=True)
        ]
        return self._note_keys(vertex, partial, portable_partial, contents)

    def _note_keys(
        self, vertex: Vertex, partial: str, portable_partial: str, contents: Sequence[str]
    ) -> VertexKeys:
        known = self._keys[vertex] = VertexKeys(
            keys.full_key(partial, contents),
            keys.full_key(portable_partial, contents),
            partial,
            portable_partial,
        )
        self._explanation.know_contents(vertex, contents, known.key)
        return known

    def _selections(self, vertex: Vertex) -> Iterator[tuple[Vertex | None, Copy]]:
        """What the vertex takes from elsewhere."""
        operation = vertex.operation
        if isinstance(operation, FileOperation):
            for action in operation.actions:
                if isinstance(action, Copy):
                    yield vertex.inputs[action.input], action
        elif isinstance(operation, Exec):
            for mount in operation.mounts:
                if isinstance(mount, BindMount | CacheMount) and mount.input is not None:
                    yield vertex.inputs[mount.input], mounted_part(mount)

    async def _content(self, source: Vertex | None, copy: Copy) -> str | None:
        """The digest of a selection if it is known; if not, the source is needed, and begun."""
        found = await self._identity(source)
        if found.identity:
            digest = self._records.content(keys.content_key(found.identity, copy))
            if digest is not None:
                return digest
        self._tree(source)
        return None

    async def _select(self, vertex: Vertex, source: Vertex | None, copy: Copy) -> str:
        tree = await self._tree(source)
        with self._blaming(vertex):
            selection = await self._operations.select(tree, copy)
        await self._note_selection(source, copy, selection)
        return selection.digest

    async def _note_selection(self, source: Vertex | None, copy: Copy, selection: Selection) -> None:
        self._explanation.see(selection)
        found = await self._identity(source)
        if found.identity:
            self._records.note_content(keys.content_key(found.identity, copy), selection.digest)

    # -- results

    def _obtain(self, vertex: Vertex) -> asyncio.Task[Result]:
        return self._once("obtain", vertex, lambda: self._obtain_now(vertex))

    async def _result(self, vertex: Vertex | None) -> Result:
        return SCRATCH if vertex is None else await self._obtain(vertex)

    async def _obtain_now(self, vertex: Vertex) -> Result:
        operation = vertex.operation
        if isinstance(operation, ImageSource | LayoutSource):
            await self._identify(vertex)
            return self._results[vertex]
        if isinstance(operation, Merge):
            for item in vertex.inputs:
                if item is not None:
                    self._obtain(item)
            whole = stacked([await self._result(item) for item in vertex.inputs])
            assert whole is not None
            await self._identify(vertex)
            self._results[vertex] = whole
            return whole
        if not isinstance(operation, FileOperation | Exec):
            raise CortenError(f"{vertex.name or operation} is no file system that can be built upon")
        known = await self._know(vertex)
        if vertex in self._ran:
            return self._results[vertex]
        record = self._again.get(known.key) if vertex.ignore_cache else self._find(vertex, known)
        if record is not None and self._records.intact(record):
            assert record.result is not None
            if vertex not in self._found:
                self._take(vertex, record)
            self._report_hit(vertex)
            return record.result
        self._found.pop(vertex, None)
        return await self._run(vertex, known)

    def _report_hit(self, vertex: Vertex) -> None:
        below = base_of(vertex)
        if below is not None and isinstance(below.operation, ImageSource | LayoutSource):
            self._reporter.cached(below)
        self._reporter.cached(vertex)

    async def _run(self, vertex: Vertex, known: VertexKeys) -> Result:
        operation = vertex.operation
        request: ExecRequest | None = None
        if isinstance(operation, Exec):
            request = await self._request(vertex, operation)

            async def work(log: Log) -> Outcome:
                assert request is not None
                return await self._operations.execute(vertex, request, known, log)

        else:
            trees, root = await self._trees(vertex), await self._result(base_of(vertex))

            async def work(log: Log) -> Outcome:
                return await self._operations.write(vertex, trees, root, known, log)

        async with self._jobs:
            self._reporter.started(vertex)
            with self._blaming(vertex), self._keeping(vertex, request):
                await self._operations.shared.join(
                    known.key + (" again" if vertex.ignore_cache else ""),
                    work,
                    log=self._reporter.log(vertex),
                    take=lambda outcome: self._take(vertex, outcome.record),
                    release=self._operations.release,
                )
        return self._done(vertex, known)

    def _done(self, vertex: Vertex, known: VertexKeys) -> Result:
        self._ran.add(vertex)
        if vertex.ignore_cache:
            self._again[known.key] = self._found[vertex]
        misses = self._explanation.misses(vertex) if self._inputs.explain else ()
        self._reporter.finished(vertex, misses=misses)
        result = self._results[vertex]
        if self._inputs.made is not None and vertex in self._stacked and result.layers:
            self._inputs.made(result.layers[-1])
        return result

    async def _write_unseen(self, vertex: Vertex, partial: str, portable_partial: str) -> VertexKeys:
        """Copies what nobody has looked at yet: each file is read once."""
        selections = list(self._selections(vertex))
        other = self._operations.unseen.get(partial)
        if other is not None:
            # Somebody is at the same, with contents that may be the same: look first, and then for a record.
            contents = [await self._select(vertex, source, copy) for source, copy in selections]
            await other.wait()
            return self._note_keys(vertex, partial, portable_partial, contents)
        ended = self._operations.unseen[partial] = asyncio.Event()
        seen: list[Selection] = []

        def keys_of(selected: Sequence[Selection]) -> VertexKeys:
            seen.extend(selected)
            return self._note_keys(vertex, partial, portable_partial, [item.digest for item in selected])

        try:
            trees, root = await self._trees(vertex), await self._result(base_of(vertex))
            async with self._jobs:
                self._reporter.started(vertex)
                log = self._reporter.log(vertex)
                with self._blaming(vertex):
                    outcome = await self._operations.write_unseen(vertex, trees, root, keys_of, log)
        finally:
            ended.set()
            del self._operations.unseen[partial]
        self._take(vertex, outcome.record)
        self._operations.release(outcome)
        for (source, copy), selection in zip(selections, seen, strict=True):
            await self._note_selection(source, copy, selection)
        known = self._keys[vertex]
        self._done(vertex, known)
        return known

    async def _trees(self, vertex: Vertex) -> list[SourceTree | None]:
        """For each input what a file operation needs of it."""
        operation = vertex.operation
        assert isinstance(operation, FileOperation)
        used = {action.input for action in operation.actions if isinstance(action, Copy)}
        needed = [
            self._tree(source) if position in used or (position == 0 and source is not None) else None
            for position, source in enumerate(vertex.inputs)
        ]
        return [None if task is None else await task for task in needed]

    def _tree(self, source: Vertex | None) -> asyncio.Task[SourceTree]:
        return self._once("tree", source, lambda: self._tree_now(source))

    async def _tree_now(self, source: Vertex | None) -> SourceTree:
        if source is None:
            return await self._materials.tree(None)
        with self._blaming(source):
            return await self._materials.tree(source)

    async def _request(self, vertex: Vertex, operation: Exec) -> ExecRequest:
        mounts = [
            (position, mount)
            for position, mount in enumerate(operation.mounts)
            if isinstance(mount, BindMount | CacheMount) and mount.input is not None
        ]
        with self._blaming(vertex):
            below = self._group.create_task(self._materials.mountable(base_of(vertex)))
            binds = [
                (position, self._group.create_task(self._materials.mounted(vertex, mount)))
                for position, mount in mounts
            ]
            return ExecRequest(
                operation,
                vertex.name,
                await below,
                {position: await task for position, task in binds},
                vertex.epoch,
                self._inputs.secrets,
                self._inputs.allowed,
                self._inputs.filler,
            )

    @contextlib.contextmanager
    def _keeping(self, vertex: Vertex, request: ExecRequest | None) -> Iterator[None]:
        """Keeps what it takes to look at a process that failed."""
        try:
            yield
        except (ProcessFailed, StartError):
            if self._inputs.keep_failed and request is not None and self.failed is None:
                self.failed = FailedStep(vertex, request, self._release)
            raise


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What went wrong first, of what went wrong together."""
    pending: list[BaseException] = [group]
    flat: list[BaseException] = []
    while pending:
        error = pending.pop(0)
        if isinstance(error, BaseExceptionGroup):
            pending = [*error.exceptions, *pending]
        else:
            flat.append(error)
    return next((error for error in flat if isinstance(error, BuildFailed)), flat[0])
