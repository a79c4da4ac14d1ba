"""Machines with an engine's store and build cache each, which share nothing but registries and directories.
Processes and copies are simple stand-ins."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from corten.api.build import Attributes
from corten.build.cache_transfer.collection import Collection
from corten.build.cache_transfer.exporter import CacheExporter
from corten.build.cache_transfer.imported import ImportedCache
from corten.build.cache_transfer.importer import CacheImporter
from corten.build.cache_transfer.keyed_stores import KeyedStores
from corten.build.cache_transfer.options import parse_exports, parse_imports
from corten.build.export.exporter import Exported, Exporter
from corten.build.export.layer_tars import LayerTars
from corten.build.export.output import parse_outputs
from corten.build.graph import ImageSource, Vertex
from corten.build.plan.model import PlannedImage
from corten.build.solve.cache_mounts import CacheMounts, WantedMount
from corten.build.solve.inputs import BuildInputs
from corten.build.solve.protocols import Draft, Drafted, ExecRequest, Log
from corten.build.solve.result import Results
from corten.engine.build_images import BuildImages
from corten.image.registry.client import Registries, RegistryClient
from corten.oci.image_config import History, ImageConfig, RootFS
from corten.oci.platform import Platform
from corten.oci.reference import Reference
from tests.unit.build.solve.world import NoSecrets, World
from tests.unit.image.images import docker_archive, layer_of, load

AMD64 = Platform("amd64", "linux")


class Machine(World):
    """`base` is the same image everywhere."""

    def __init__(
        self, root: Path, registries: Registries | None = None, keyed: KeyedStores | None = None
    ) -> None:
        root.mkdir()
        super().__init__(root)
        self.registries = registries
        self.keyed = keyed or KeyedStores()
        self.lease = self.store.content.lease()
        self.real_images = BuildImages(self.store, self._client, self.lease, caches=self.keyed)
        self.tars = LayerTars(self.store.content, self.layers)
        self.exporter = Exporter(
            self.store, self.layers, self.tars, self.real_images, self._client, self.lease
        )
        self.executor.run = _at_the_epoch(self.executor.run)  # type: ignore[method-assign]
        self.writer.write = _written_at_the_epoch(self.writer.write)  # type: ignore[method-assign]
        self.imported = ImportedCache()
        self.mounts = CacheMounts(root / "mounts", self.database)
        self.notes: list[str] = []
        self.statuses: list[str] = []
        load(self.store, docker_archive([layer_of("base")], ["base:1"]))
        manifest = self.store.resolve("base:1").manifest
        self.base = Vertex(
            ImageSource(f"docker.io/library/base:1@{manifest.digest}", AMD64), name="FROM base"
        )

    @property
    def ran_commands(self) -> list[str]:
        return self.executor.ran

    async def close(self) -> None:
        self.lease.close()
        await super().close()

    async def _client(self, reference: Reference, *, insecure: bool = False) -> RegistryClient:
        assert self.registries is not None, f"no registry was expected: {reference}"
        return self.registries.client(reference.domain)

    def importer(self) -> CacheImporter:
        return CacheImporter(self.store, self._client, self.keyed, self.lease, self.notes.append)

    async def run_build(self, target: Vertex, *cache_from: Attributes) -> Results:
        """Imports, and solves."""
        imported = await self.importer().load(parse_imports(cache_from), [target], self.real_images.layers)
        self.imported = imported
        inputs = BuildInputs(
            sources=self.sources,
            images=self.real_images,
            secrets=NoSecrets(),
            lookup=imported.over,
            filler=imported.mounts,
        )
        return await self.solver.solve([target], inputs, lambda event: None)

    async def export_cache(
        self,
        target: Vertex,
        results: Results,
        *cache_to: Attributes,
        outputs: Sequence[Attributes] = (),
        tags: Sequence[str] = (),
    ) -> Exported:
        """The image (with outputs) and the caches; files are unpacked where they belong."""
        planned = self._planned(target)
        records = self.imported.over(self.solver.records)
        collection = Collection([planned], results, records, self.exporter.blobs)
        transfer = CacheExporter(
            self.store,
            self._client,
            self.keyed,
            self.lease,
            self.exporter.blobs,
            self.mounts,
            self.notes.append,
        )
        exports = parse_exports(cache_to)
        inline = await transfer.inline(exports, collection, [planned], self._status)
        wanted = parse_outputs(outputs, tags) if outputs else ()
        exported = await self.exporter.export([planned], results, wanted, self._status, cache=inline)
        for file in await transfer.export(exports, collection, self._status):
            data = b"".join([piece async for piece in file.pieces])
            with tarfile.open(fileobj=io.BytesIO(data)) as tar:
                tar.extractall(file.destination)
        return exported

    def end_build(self) -> None:
        """What a build does when it has exported everything."""
        self.imported.keep(self.solver.records, self.layers.contains)

    def _planned(self, target: Vertex) -> PlannedImage:
        base = self.store.resolve("base:1").config
        steps = [vertex for vertex in target.walk() if vertex.stage]
        return PlannedImage(
            platform=AMD64,
            target=target,
            config=ImageConfig(
                architecture="amd64",
                os="linux",
                rootfs=RootFS(diff_ids=base.diff_ids),
                history=tuple(History(created_by=vertex.name) for vertex in steps),
            ),
            layers=tuple(steps),
            epoch=0,
        )

    def _status(self, name: str, done: int, total: int, complete: bool) -> None:
        self.statuses.append(name)

    @asynccontextmanager
    async def mount(self, identity: str, filler: object = None) -> AsyncIterator[Path]:
        """A cache mount as a RUN has it."""
        async with self.mounts.hold(
            [WantedMount(identity)],
            filler=filler,  # type: ignore[arg-type]
            warn=self.notes.append,
        ) as (path,):
            yield path


def _at_the_epoch(run):  # type: ignore[no-untyped-def]
    async def timed(request: ExecRequest, draft: Draft, log: Log) -> Drafted:
        made: Drafted = await run(request, draft, log)
        _epoch(draft.directory / "fs")
        return made

    return timed


def _written_at_the_epoch(write):  # type: ignore[no-untyped-def]
    def timed(operation, inputs, target, **options):  # type: ignore[no-untyped-def]
        made = write(operation, inputs, target, **options)
        _epoch(target / "fs")
        return made

    return timed


def _epoch(tree: Path) -> None:
    for path in [*tree.rglob("*"), tree] if tree.exists() else ():
        os.utime(path, (0, 0), follow_symlinks=False)


def tree_of(root: Path) -> dict[str, tuple[str, int, int, object]]:
    """What is beneath `root`: path → (type, mode, mtime in ns, contents)."""
    found: dict[str, tuple[str, int, int, object]] = {}
    for path in [root, *root.rglob("*")]:
        status = path.lstat()
        kind = "l" if path.is_symlink() else "d" if path.is_dir() else "f"
        contents: object = None
        if kind == "l":
            contents = os.readlink(path)
        elif kind == "f":
            contents = path.read_bytes()
        found[str(path.relative_to(root))] = (kind, status.st_mode & 0o7777, status.st_mtime_ns, contents)
    return found


def cache(kind: str, **attributes: str) -> Attributes:
    """`type=kind,…`; underscores stand for hyphens in the names that have some."""
    hyphens = {"ignore_error", "compression_level", "force_compression", "oci_mediatypes"}
    return Attributes(
        kind, {key.replace("_", "-") if key in hyphens else key: value for key, value in attributes.items()}
    )
