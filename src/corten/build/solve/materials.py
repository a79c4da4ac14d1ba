"""What the operations of one build work on: file systems that are here and can be mounted, views of them to
copy from, contexts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from corten.build.context.model import SourceTree
from corten.build.graph import (
    BindMount,
    CacheMount,
    Copy,
    FileOperation,
    GitSource,
    HttpSource,
    ImageSource,
    LayoutSource,
    LocalSource,
    Vertex,
)
from corten.build.solve.inputs import BuildInputs
from corten.build.solve.layer_store import LayerStore, View
from corten.build.solve.reporting import Reporter
from corten.build.solve.result import SCRATCH, BuiltLayer, Result


class Materials:
    """Of one build. `result` obtains a vertex."""

    def __init__(
        self,
        layers: LayerStore,
        inputs: BuildInputs,
        reporter: Reporter,
        result: Callable[[Vertex | None], Awaitable[Result]],
    ) -> None:
        self._layers = layers
        self._inputs = inputs
        self._reporter = reporter
        self._result = result
        self._views: list[View] = []
        self._copies: dict[tuple[Vertex, str], Vertex] = {}
        self._fetching: dict[tuple[str, ...], asyncio.Lock] = {}

    def close(self) -> None:
        """Ends the views."""
        while self._views:
            self._views.pop().close()

    async def mountable(self, vertex: Vertex | None) -> Result:
        """The vertex's file system, all of whose layers are here."""
        result = await self._result(vertex)
        base = [layer for layer in result.layers if not layer.is_made_here]
        if not all(self._layers.contains(layer) for layer in base):
            assert vertex is not None
            await self._fetch(vertex, base)
        if vertex is not None and (image := image_below(vertex)) is not None:
            self._reporter.cached(image)  # before what is built on it; unless it was just fetched
        return result

    async def _fetch(self, vertex: Vertex, base: list[BuiltLayer]) -> None:
        lock = self._fetching.setdefault(tuple(layer.id for layer in base), asyncio.Lock())
        async with lock:
            if all(self._layers.contains(layer) for layer in base):
                return
            image = image_below(vertex)
            if image is not None:
                self._reporter.started(image)
            await self._inputs.images.fetch(base, self._reporter.status(image or vertex))
            if image is not None:
                self._reporter.finished(image)

    async def tree(self, source: Vertex | None) -> SourceTree:
        """What files are copied from."""
        if source is not None and isinstance(source.operation, LocalSource | HttpSource | GitSource):
            self._reporter.started(source)
            tree = await self._inputs.sources.open(source.operation, self._reporter.status(source))
            self._reporter.finished(source)
            return tree
        result = await self.mountable(source)
        view = await asyncio.to_thread(self._layers.view, result)
        self._views.append(view)
        return SourceTree(view.fd, _name(source), keep_owners=True)

    async def mounted(self, vertex: Vertex, mount: BindMount | CacheMount) -> Result:
        """The file system that a mount shows a part of. Files of a context are copied for it: as root's, and
        without what is ignored."""
        source = vertex.inputs[mount.input] if mount.input is not None else None
        if source is None or not isinstance(source.operation, LocalSource | HttpSource | GitSource):
            return await self.mountable(source) if source is not None else SCRATCH
        copy = mounted_part(mount)
        known = self._copies.get((source, copy.source))
        if known is None:
            operation = FileOperation((Copy(1, copy.source, copy.source),))
            known = self._copies[source, copy.source] = Vertex(operation, (None, source))
        return await self._result(known)


def mounted_part(mount: BindMount | CacheMount) -> Copy:
    """What a mount shows of its input, as a copy of that."""
    path = "/" + mount.selector.strip("/")
    return Copy(0, path, path)


def image_below(vertex: Vertex) -> Vertex | None:
    """The image that a file system begins with."""
    below: Vertex | None = vertex
    while below is not None and not isinstance(below.operation, ImageSource | LayoutSource):
        below = below.inputs[0] if below.inputs else None
    return below


def _name(source: Vertex | None) -> str:
    if source is None:
        return "scratch"
    if isinstance(source.operation, ImageSource):
        return f"image {source.operation.reference.partition('@')[0]}"
    return f"stage {source.stage}" if source.stage else "a stage"
