"""Finished builds, without a solver: layers in a real LayerStore over a real image store."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from corten.api.build import Attributes
from corten.build.export.exporter import Exported, Exporter
from corten.build.export.layer_tars import LayerTars
from corten.build.export.output import parse_outputs
from corten.build.export.protocols import Status
from corten.build.graph import Exec, ImageSource, Vertex
from corten.build.plan.model import PlannedImage, ResolvedImage
from corten.build.solve.database import CacheDatabase
from corten.build.solve.keeping import kept_by_records
from corten.build.solve.layer_store import LayerStore
from corten.build.solve.protocols import Drafted
from corten.build.solve.result import BuiltLayer, Result, Results, Solved
from corten.image.registry.client import Registries, RegistryClient
from corten.oci.image_config import History, ImageConfig, ImageRunConfig, RootFS
from corten.oci.platform import Platform
from corten.oci.reference import Reference
from corten.snapshot.overlay import OverlaySnapshotter
from tests.unit.image.images import docker_archive, load, make_store

AMD64 = Platform("amd64", "linux")
EPOCH = 1_600_000_000
NONE = Attributes("image")


class Builds:
    """Everything beneath `root`."""

    def __init__(self, root: Path, registries: Registries | None = None) -> None:
        self.store = make_store(root)
        self.database = CacheDatabase(root / "cache.db")
        self.store.registrar.keepers.append(lambda: kept_by_records(root / "cache.db"))
        own = OverlaySnapshotter(root / "build/layers")
        self.layers = LayerStore(self.database, self.store.registrar, own)
        self.tars = LayerTars(self.store.content, self.layers)
        self.registries = registries
        self.fetched: list[str] = []
        self.lease = self.store.content.lease()
        self.exporter = Exporter(self.store, self.layers, self.tars, self, self._client, self.lease)
        self.statuses: list[tuple[str, int, int, bool]] = []

    def close(self) -> None:
        self.lease.close()
        self.layers.close()
        self.database.close()
        self.store.close()

    async def _client(self, reference: Reference, *, insecure: bool = False) -> RegistryClient:
        assert self.registries is not None, f"no registry was expected: {reference}"
        return self.registries.client(reference.domain)

    async def fetch(self, layers: Sequence[BuiltLayer], status: Status) -> None:
        self.fetched += [layer.id for layer in layers]

    def status(self, name: str, done: int, total: int, complete: bool) -> None:
        self.statuses.append((name, done, total, complete))

    # -- what was built

    def base(self, layers: Sequence[bytes], name: str = "base:1") -> tuple[Result, ResolvedImage]:
        (image_id,) = load(self.store, docker_archive(layers, [name]))
        image = self.store.resolve(image_id)
        origin = f"{Reference.parse(name).canonical}@{image.manifest.digest}"
        chain = zip(image.chain, image.config.diff_ids, image.layers, strict=True)
        made = tuple(BuiltLayer(chain_id, diff_id, blob, origin) for chain_id, diff_id, blob in chain)
        return Result(made), ResolvedImage(origin, image.config)

    def layer(self, fill: Callable[[Path], object], made_by: str = "") -> BuiltLayer:
        """A layer of a RUN; all times become EPOCH."""
        draft = self.layers.draft()
        tree = draft.directory / "fs"
        tree.mkdir()
        fill(tree)
        paths = [tree, *tree.rglob("*")]
        for path in sorted(paths, reverse=True):
            os.utime(path, (EPOCH, EPOCH), follow_symlinks=False)
        size = sum(path.lstat().st_size for path in paths if path.is_file())
        layer = self.layers.place(draft, Drafted(size, len(paths)), made_by)
        self.layers.note([layer])
        return layer

    def image(
        self,
        *steps: Mapping[str, bytes] | Callable[[Path], object] | None,
        base: tuple[Result, ResolvedImage] | None = None,
        platform: Platform = AMD64,
        epoch: int | None = EPOCH,
    ) -> tuple[PlannedImage, Results]:
        """One image: a step is a RUN that makes these files, or (None) one without a layer."""
        result, resolved = base if base is not None else (Result(), None)
        vertex = Vertex(ImageSource(resolved.reference, platform)) if resolved is not None else None
        solved: dict[Vertex, Solved] = {}
        history = list(resolved.config.history or ()) if resolved is not None else []
        makers: list[Vertex | None] = [None] * len(history)
        for number, step in enumerate(steps):
            history.append(History(created_by=f"step {number}", empty_layer=step is None))
            makers.append(None)
            if step is None:
                continue
            key = f"sha256:{number:064x}"
            vertex = makers[-1] = Vertex(Exec((str(number),), (), "/"), (vertex,))
            made = self.layer(step if callable(step) else _writing(step), key)
            result = Result((*result.layers, made))
            solved[vertex] = Solved(key, "", result, False)
        target = vertex if solved else None
        diff_ids = resolved.config.diff_ids if resolved is not None else ()
        config = ImageConfig(
            architecture=platform.architecture,
            os=platform.os,
            variant=platform.variant,
            config=ImageRunConfig(cmd=["sh"]),
            rootfs=RootFS(diff_ids=diff_ids),
            history=tuple(history),
        )
        planned = PlannedImage(
            platform=platform,
            target=target,
            config=config,
            layers=tuple(makers),
            base=resolved,
            epoch=epoch,
        )
        return planned, Results(solved, [])

    async def export(
        self,
        images: Sequence[tuple[PlannedImage, Results]],
        *outputs: Attributes,
        tags: Sequence[str] = (),
        annotations: Sequence[str] = (),
        cache: Sequence[Mapping[str, str]] = (),
    ) -> Exported:
        """As a build with these flags does it."""
        solved = {vertex: item for _, results in images for vertex, item in results.items()}
        return await self.exporter.export(
            [planned for planned, _ in images],
            Results(solved, []),
            parse_outputs(outputs, tags, annotations),
            self.status,
            cache=cache,
        )


def _writing(files: Mapping[str, bytes]) -> Callable[[Path], None]:
    def fill(tree: Path) -> None:
        for name, data in files.items():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_bytes(data)

    return fill


def output(kind: str, **attributes: str) -> Attributes:
    """`--output type=kind,…`; underscores stand for hyphens."""
    return Attributes(kind, {key.replace("_", "-"): value for key, value in attributes.items()})


async def contents(exported: Exported, number: int = 0) -> bytes:
    """What a client gets."""
    return b"".join([piece async for piece in exported.files[number].pieces])
