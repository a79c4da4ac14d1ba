"""`--cache-from` and `--cache-to` of one build, as steps of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from corten.api.build import BuildRequest
from corten.build.cache_transfer.collection import Collection
from corten.build.cache_transfer.exporter import CacheExporter
from corten.build.cache_transfer.imported import ImportedCache
from corten.build.cache_transfer.importer import CacheImporter
from corten.build.cache_transfer.keyed_stores import KeyedStores
from corten.build.cache_transfer.options import CacheExport, InlineCache, parse_exports, parse_imports
from corten.build.context.model import ContentCache
from corten.build.export.compression import parse_bool
from corten.build.export.exporter import ExportedFile, Exporter
from corten.build.export.protocols import RegistryAccess
from corten.build.plan.model import BuildPlan
from corten.build.solve.failure import LayersLost
from corten.build.solve.result import Results
from corten.content import Lease
from corten.engine.build_events import BuildEvents, OwnStep
from corten.engine.build_images import BuildImages
from corten.engine.build_machinery import Machinery
from corten.image.store import ImageStore

_INLINE = "BUILDKIT_INLINE_CACHE"
"""A build argument that means --cache-to type=inline, as for BuildKit."""


class BuildCaches:
    """InvalidArgument, Unsupported for what the flags say."""

    def __init__(
        self,
        request: BuildRequest,
        machinery: Machinery,
        store: ImageStore,
        keyed: KeyedStores,
        events: BuildEvents,
    ) -> None:
        self._imports = parse_imports(request.cache_from)
        self._exports = parse_exports(request.cache_to)
        if parse_bool(request.build_args, _INLINE, False) and not any(
            isinstance(item.place, InlineCache) for item in self._exports
        ):
            self._exports += (CacheExport(place=InlineCache()),)
        self._machinery = machinery
        self._store = store
        self._keyed = keyed
        self._events = events
        self._imported = ImportedCache()
        self._lost: set[str] = set()

    async def load(
        self, plan: BuildPlan, images: BuildImages, registry: RegistryAccess, lease: Lease
    ) -> ImportedCache:
        """What other caches know of this build. What cannot be used is told, and no failure."""
        if self._imports:
            names = ", ".join(item.place.name for item in self._imports)
            with self._events.step(f"importing cache manifest from {names}") as step:
                importer = CacheImporter(self._store, registry, self._keyed, lease, step.note)
                targets = [image.target for image in plan.images if image.target is not None]
                self._imported = await importer.load(self._imports, targets, images.layers)
        return self._imported

    async def inline(
        self, plan: BuildPlan, results: Results, exporter: Exporter, registry: RegistryAccess, lease: Lease
    ) -> Sequence[Mapping[str, str]]:
        """The annotations with which the images bring their caches along."""
        if not any(isinstance(item.place, InlineCache) for item in self._exports):
            return ()
        with self._events.step("preparing layers for inline cache") as step:
            caches = self._exporter(exporter, registry, lease, step)
            collection = self._collection(plan, results, exporter)
            return await caches.inline(self._exports, collection, plan.images, step)

    async def export(
        self, plan: BuildPlan, results: Results, exporter: Exporter, registry: RegistryAccess, lease: Lease
    ) -> list[ExportedFile]:
        """To all other places; files are for the client to write."""
        places = [item for item in self._exports if not isinstance(item.place, InlineCache)]
        if not places:
            return []
        with (
            self._events.step(f"exporting cache to {', '.join(item.place.title for item in places)}") as step,
            self._machinery.mount_digests() as digests,
        ):
            caches = self._exporter(exporter, registry, lease, step, digests)
            return await caches.export(places, self._collection(plan, results, exporter), step)

    def lose(self, lost: LayersLost) -> None:
        """What an imported cache has named is not there: its steps will run."""
        unknown = [layer for layer in lost.layers if layer not in self._lost]
        if not unknown:
            raise lost
        self._lost.update(unknown)
        self._imported.lose(unknown)
        self._machinery.solver.records.forget_with(unknown)
        with self._events.step("looking for layers of the imported cache") as step:
            step.note(f"the build cache has lost a layer, which is built again: {lost.message}")

    def keep(self) -> None:
        """When everything is exported: what was imported, used, and has come here is known from now on."""
        self._imported.keep(self._machinery.solver.records, self._machinery.layers.contains)

    def _exporter(
        self,
        exporter: Exporter,
        registry: RegistryAccess,
        lease: Lease,
        step: OwnStep,
        digests: ContentCache | None = None,
    ) -> CacheExporter:
        mounts = self._machinery.mounts
        return CacheExporter(
            self._store, registry, self._keyed, lease, exporter.blobs, mounts, step.note, contents=digests
        )

    def _collection(self, plan: BuildPlan, results: Results, exporter: Exporter) -> Collection:
        records = self._imported.over(self._machinery.solver.records)
        return Collection(plan.images, results, records, exporter.blobs)
