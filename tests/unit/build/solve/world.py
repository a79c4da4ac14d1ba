"""A solver whose images, contexts, files and processes are simple stand-ins; layers and records are real."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from corten.build.context.model import Selection, SourceTree, Stop
from corten.build.files.model import NothingWritten, WrittenLayer
from corten.build.graph import (
    Copy,
    Exec,
    FileOperation,
    GitSource,
    HttpSource,
    ImageSource,
    LayoutSource,
    LocalSource,
    MakeDirectory,
    Operation,
    Vertex,
    WriteFile,
)
from corten.build.progress import Event, VertexFinished, VertexStarted
from corten.build.solve.database import CacheDatabase
from corten.build.solve.inputs import BuildInputs
from corten.build.solve.keeping import kept_by_records
from corten.build.solve.layer_store import LayerStore
from corten.build.solve.protocols import Draft, Drafted, ExecRequest, Log, Status, Terminal
from corten.build.solve.result import BuiltLayer, Result, Results
from corten.build.solve.solver import Solver
from corten.errors import NotFound
from corten.image.store import ImageStore
from corten.oci.digest import chain_ids
from corten.oci.platform import Platform
from corten.snapshot import Layer
from corten.snapshot.overlay import OverlaySnapshotter
from tests.unit.image.images import make_store

AMD64 = Platform("amd64", "linux")
Process = Callable[[Path, ExecRequest, Log], Awaitable[None]]


class World:
    """Everything beneath `root`. `processes` says what a command does to its root file system; what is not
    there writes its own name to a file."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(exist_ok=True)
        self.store: ImageStore = make_store(root / "store")
        self.executor = FakeExecutor()
        self.writer = FakeWriter()
        self.images = FakeImages(self.store)
        self.sources = FakeSources()
        self.solver = self.open()
        self.executor.lowers = lambda result: self.layers.lowers(result.layers)

    def open(self) -> Solver:
        """Another solver over the same files, as after the end of an engine."""
        self.store.registrar.keepers[:] = [lambda: kept_by_records(self.root / "cache.db")]
        self.database = CacheDatabase(self.root / "cache.db")
        self.layers = LayerStore(
            self.database, self.store.registrar, OverlaySnapshotter(self.root / "build" / "layers")
        )
        self.solver = Solver(self.database, self.layers, self.executor, self.writer, digest_files, cores=2)
        return self.solver

    async def close(self) -> None:
        await self.solver.close()
        self.store.close()

    def inputs(self, **more: object) -> BuildInputs:
        return BuildInputs(
            sources=self.sources,
            images=self.images,
            secrets=NoSecrets(),
            **more,  # type: ignore[arg-type]
        )

    async def build(self, *targets: Vertex, **more: object) -> Built:
        """Solves; the events in order."""
        events: list[Event] = []
        results = await self.solver.solve(targets, self.inputs(**more), events.append)
        return Built(results, events)

    def files(self, result: Result) -> dict[str, str]:
        """What a file system has: path → text."""
        view = self.layers.view(result)
        try:
            return {
                os.path.join(top, name)[len(f"/proc/self/fd/{view.fd}/") :]: Path(top, name).read_text()
                for top, _, names in os.walk(f"/proc/self/fd/{view.fd}/")
                for name in names
            }
        finally:
            view.close()


class Built:
    """A finished build."""

    def __init__(self, results: Results, events: list[Event]) -> None:
        self.results = results
        self.events = events

    @property
    def ran(self) -> list[str]:
        """The names of steps that were not found."""
        return [name for name, end in self._ends() if not end.cached]

    @property
    def cached(self) -> list[str]:
        return [name for name, end in self._ends() if end.cached]

    def misses(self, name: str) -> list[tuple[str, str, str]]:
        (end,) = [end for other, end in self._ends() if other == name]
        return [(miss.kind, miss.what, miss.detail) for miss in end.misses]

    def _ends(self) -> list[tuple[str, VertexFinished]]:
        names = {event.vertex: event.name for event in self.events if isinstance(event, VertexStarted)}
        return [(names[event.vertex], event) for event in self.events if isinstance(event, VertexFinished)]


class FakeExecutor:
    def __init__(self) -> None:
        self.ran: list[str] = []
        self.running = 0
        self.most = 0
        self.processes: dict[str, Process] = {}
        self.debugged: list[tuple[str, Sequence[str]]] = []
        self.lowers: Callable[[Result], Sequence[str]] = lambda result: ()

    async def run(self, request: ExecRequest, draft: Draft, log: Log) -> Drafted:
        command = " ".join(request.operation.args)
        self.ran.append(command)
        self.running += 1
        self.most = max(self.most, self.running)
        assert len(self.lowers(request.root)) == len(request.root.layers)
        fs = draft.directory / "fs"
        fs.mkdir()
        try:
            if command in self.processes:
                await self.processes[command](fs, request, log)
            else:
                (fs / command).write_text(command)
        finally:
            self.running -= 1
        return Drafted(sum(path.stat().st_size for path in fs.iterdir()), len(list(fs.iterdir())))

    async def debug(self, request: ExecRequest, draft: Draft, args: Sequence[str], terminal: Terminal) -> int:
        assert draft.directory.is_dir()
        self.debugged.append((request.name, args))
        return 3

    async def recover(self) -> None:
        self.ran.append("recover")

    async def close(self) -> None:
        """Nothing is left."""


class FakeImages:
    """Images of one layer each, which is not there before it is fetched."""

    def __init__(self, store: ImageStore) -> None:
        self._store = store
        self._files: dict[str, tuple[BuiltLayer, Mapping[str, str]]] = {}
        self.fetched: list[str] = []

    def add(self, name: str, files: Mapping[str, str]) -> ImageSource:
        diff_id = "sha256:" + hashlib.sha256(repr((name, sorted(files.items()))).encode()).hexdigest()
        layer = BuiltLayer(chain_ids([diff_id])[0], diff_id, origin=name)
        reference = f"docker.io/library/{name}@{diff_id}"
        self._files[reference] = (layer, files)
        return ImageSource(reference, AMD64)

    async def layers(self, source: ImageSource | LayoutSource) -> tuple[BuiltLayer, ...]:
        assert isinstance(source, ImageSource)
        if source.reference not in self._files:
            raise NotFound(f"no such image: {source.reference}")
        return (self._files[source.reference][0],)

    async def fetch(self, layers: Sequence[BuiltLayer], status: Status) -> None:
        for layer, files in self._files.values():
            if layer in layers and not self._store.snapshotter.contains(layer.id):
                self.fetched.append(layer.origin)
                snapshotter = self._store.snapshotter
                assert isinstance(snapshotter, OverlaySnapshotter)
                staged = snapshotter.new_staging()
                for name, text in files.items():
                    path = staged / "fs" / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(text)
                snapshotter.place(staged, Layer(layer.id, layer.diff_id, ""), 1, 1, [])
                status(layer.id, 1, 1, True)


class FakeSources:
    """Contexts by name; downloads by URL."""

    def __init__(self) -> None:
        self.contexts: dict[str, Path] = {}
        self.opened: list[str] = []

    async def key(self, source: LocalSource | HttpSource | GitSource, status: Status) -> str:
        return source.checksum if isinstance(source, HttpSource) else ""

    async def open(self, source: LocalSource | HttpSource | GitSource, status: Status) -> SourceTree:
        name = source.name if isinstance(source, LocalSource) else "download"
        self.opened.append(name)
        if name not in self.contexts:
            raise NotFound(f"there is no context {name}")
        return SourceTree(os.open(self.contexts[name], os.O_RDONLY | os.O_DIRECTORY), name)


class NoSecrets:
    async def read(self, id: str) -> bytes | None:
        return None

    async def agent(self, id: str) -> str | None:
        return None


class FakeWriter:
    """Copies regular files and directories of them."""

    def __init__(self) -> None:
        self.written = 0
        self.wait: Callable[[], None] = lambda: None

    def write(
        self,
        operation: FileOperation,
        inputs: Sequence[SourceTree | None],
        target: Path,
        *,
        epoch: int | None,
        stop: Stop | None = None,
    ) -> WrittenLayer | NothingWritten:
        self.written += 1
        self.wait()
        if stop is not None:
            stop()
        fs = target / "fs"
        fs.mkdir()
        selections = []
        for action in operation.actions:
            if isinstance(action, Copy):
                tree = inputs[action.input]
                assert tree is not None
                selections.append(digest_files(tree, action))
                source = _within(tree, action.source)
                if not source.exists():
                    raise NotFound(f"{action.source} is not in {tree.name}")
                place = fs / action.destination.strip("/")
                place.parent.mkdir(parents=True, exist_ok=True)
                if source.is_dir():
                    shutil.copytree(source, place, dirs_exist_ok=True)
                else:
                    place = place / source.name if action.destination.endswith("/") else place
                    place.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(source, place)
            elif isinstance(action, MakeDirectory):
                base = inputs[0]
                if base is not None and _within(base, action.path).is_dir():
                    shutil.rmtree(fs)
                    return NothingWritten(())
                (fs / action.path.strip("/")).mkdir(parents=True)
            elif isinstance(action, WriteFile):
                (fs / action.destination.strip("/")).write_bytes(action.data)
        return WrittenLayer("", 0, 1, 1, tuple(selections))


def digest_files(tree: SourceTree, copy: Copy, *, stop: Stop | None = None) -> Selection:
    source = _within(tree, copy.source)
    if not source.exists():
        raise NotFound(f"{copy.source} is not in {tree.name}")
    files = [source] if source.is_file() else sorted(path for path in source.rglob("*") if path.is_file())
    records = []
    for path in files:
        name = path.name if path == source else str(path.relative_to(source))
        tail = b"f" + b"\0\0\1\244" + bytes(8) + hashlib.sha256(path.read_bytes()).digest()
        records.append(name.encode() + b"\0" + tail)
    manifest = b"".join(records)
    return Selection("sha256:" + hashlib.sha256(manifest).hexdigest(), manifest, len(files), 0)


def _within(tree: SourceTree, path: str) -> Path:
    return Path(f"/proc/self/fd/{tree.root}", path.strip("/"))


def image(source: ImageSource) -> Vertex:
    return Vertex(source, name=f"FROM {source.reference.partition('@')[0]}")


def context(name: str = "context") -> Vertex:
    return Vertex(LocalSource(name), name="load build context")


def step(
    operation: Operation, *inputs: Vertex | None, name: str, stage: str = "0", again: bool = False
) -> Vertex:
    return Vertex(operation, inputs, name=name, stage=stage, ignore_cache=again)


def run(
    below: Vertex | None, command: str, *, stage: str = "0", again: bool = False, **more: object
) -> Vertex:
    operation = Exec(tuple(command.split()), (), "/", **more)  # type: ignore[arg-type]
    return step(operation, below, name=f"RUN {command}", stage=stage, again=again)


def copy(
    below: Vertex | None, source: Vertex | None, path: str, to: str, *, stage: str = "0", again: bool = False
) -> Vertex:
    operation = FileOperation((Copy(1, path, to),))
    return step(operation, below, source, name=f"COPY {path} {to}", stage=stage, again=again)


async def pause(seconds: float = 0.01) -> None:
    await asyncio.sleep(seconds)
