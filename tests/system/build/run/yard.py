"""A solver over a real engine, with graphs made by hand."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from corten.build.context.model import SourceTree
from corten.build.context.selection_digest import digest_selection
from corten.build.files.writer import FileLayerWriter
from corten.build.graph import (
    Copy,
    Exec,
    FileOperation,
    GitSource,
    HttpSource,
    ImageSource,
    LayoutSource,
    LocalSource,
    Vertex,
)
from corten.build.progress import Event, VertexLog
from corten.build.solve.cache_mounts import CacheMounts
from corten.build.solve.database import CacheDatabase
from corten.build.solve.inputs import BuildInputs
from corten.build.solve.layer_store import LayerStore
from corten.build.solve.protocols import Status
from corten.build.solve.result import BuiltLayer, Result, Results
from corten.build.solve.solver import Solver
from corten.engine.build_executor import BuildExecutor
from corten.engine.engine import Engine
from corten.engine.snapshots import open_snapshotter
from corten.oci.platform import host_platform


class StoreImages:
    """Images of the store, which are all there."""

    def __init__(self, engine: Engine) -> None:
        self._store = engine._core.images

    async def layers(self, source: ImageSource | LayoutSource) -> tuple[BuiltLayer, ...]:
        assert isinstance(source, ImageSource)
        image = self._store.resolve(source.reference)
        return tuple(
            BuiltLayer(chain_id, diff_id, blob)
            for chain_id, diff_id, blob in zip(image.chain, image.config.diff_ids, image.layers, strict=True)
        )

    async def fetch(self, layers: Sequence[BuiltLayer], status: Status) -> None:
        raise AssertionError("everything is there")


class Directories:
    """Contexts by name."""

    def __init__(self) -> None:
        self.paths: dict[str, Path] = {}
        self._open: list[int] = []

    async def key(self, source: LocalSource | HttpSource | GitSource, status: Status) -> str:
        return ""

    async def open(self, source: LocalSource | HttpSource | GitSource, status: Status) -> SourceTree:
        assert isinstance(source, LocalSource)
        fd = os.open(self.paths[source.name], os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._open.append(fd)
        return SourceTree(fd, "the build context")

    def close(self) -> None:
        for fd in self._open:
            os.close(fd)
        self._open.clear()


class Given:
    """Secrets and agents by id."""

    def __init__(self) -> None:
        self.secrets: dict[str, bytes] = {}
        self.agents: dict[str, str] = {}

    async def read(self, id: str) -> bytes | None:
        return self.secrets.get(id)

    async def agent(self, id: str) -> str | None:
        return self.agents.get(id)


class Yard:
    """What builds of an engine need, in short words."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        core = engine._core
        paths = core.paths
        paths.build.mkdir(exist_ok=True, mode=0o700)
        self.database = CacheDatabase(paths.build / "cache.db")
        registrar = core.images.registrar
        snapshotter = open_snapshotter(paths.build / "layers")
        self.layers = LayerStore(self.database, registrar, snapshotter)
        self.mounts = CacheMounts(paths.build / "cache-mounts", self.database)
        self.executor = BuildExecutor(core, self.layers, self.mounts)
        self.solver = Solver(
            self.database, self.layers, self.executor, FileLayerWriter(snapshotter), digest_selection
        )
        self.images = StoreImages(engine)
        self.contexts = Directories()
        self.given = Given()

    async def close(self) -> None:
        await self.solver.close()

    def inputs(self, **more: object) -> BuildInputs:
        return BuildInputs(
            sources=self.contexts,
            images=self.images,
            secrets=self.given,
            **more,  # type: ignore[arg-type]
        )

    async def solve(self, *targets: Vertex, **more: object) -> Results:
        self.events: list[Event] = []
        try:
            return await self.solver.solve(targets, self.inputs(**more), self.events.append)
        finally:
            self.contexts.close()

    async def build(self, target: Vertex, **more: object) -> dict[str, str]:
        """The files of what comes out, each with its text (of a link its target)."""
        with await self.solve(target, **more) as results:
            return self.files(results.result(target))

    def files(self, result: Result) -> dict[str, str]:
        view = self.layers.view(Result(tuple(layer for layer in result.layers if layer.is_made_here)))
        top = Path(f"/proc/self/fd/{view.fd}")
        try:
            found = {}
            for path in sorted(top.rglob("*")):
                name = str(path.relative_to(top))
                if path.is_symlink():
                    found[name] = os.readlink(path)
                elif path.is_file():
                    found[name] = path.read_text(errors="replace")
                elif path.is_dir():
                    found[name + "/"] = ""
                else:
                    found[name] = "" if path.exists() else "deleted"
            return found
        finally:
            view.close()

    @property
    def log(self) -> str:
        return b"".join(event.data for event in self.events if isinstance(event, VertexLog)).decode()


BUSYBOX = Vertex(ImageSource("busybox:latest", host_platform()), name="FROM busybox")


def sh(
    below: Vertex | None,
    script: str,
    *inputs: Vertex | None,
    epoch: int | None = 0,
    again: bool = False,
    **more: object,
) -> Vertex:
    fields = {"network": "none", "environment": ("PATH=/bin:/sbin",), "directory": "/"} | more
    operation = Exec(("/bin/sh", "-ec", script), **fields)  # type: ignore[arg-type]
    return Vertex(operation, (below, *inputs), name=f"RUN {script}", epoch=epoch, ignore_cache=again)


def copy(below: Vertex | None, source: Vertex, path: str, to: str) -> Vertex:
    return Vertex(FileOperation((Copy(1, path, to),)), (below, source), name=f"COPY {path} {to}", epoch=0)


def context(name: str = "context") -> Vertex:
    return Vertex(LocalSource(name), name="load build context")
