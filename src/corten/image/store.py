"""The images of one engine: names, configs and layers, tied together in SQLite over content and snapshots."""

from __future__ import annotations

import builtins
import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from corten.content import ContentStore
from corten.errors import InvalidArgument, NotFound
from corten.image import naming
from corten.image.archive_intake import OpenArchive
from corten.image.archive_reader import ByteSource
from corten.image.archive_writer import ArchiveWriter, ByteSink
from corten.image.blob_variants import BlobVariants
from corten.image.creation import Creator
from corten.image.disk_usage import disk_usage
from corten.image.eviction import Evicted, Uses, evict
from corten.image.history import history_of
from corten.image.layer_pipeline import LayerTransfers
from corten.image.loader import Loader
from corten.image.model import (
    Commit,
    DiskUsage,
    Filters,
    HistoryItem,
    Image,
    Loaded,
    NoUsers,
    Pruned,
    Removed,
    Report,
    Users,
    silent,
)
from corten.image.registrar import Registrar
from corten.image.removal import Remover, collect_hidden
from corten.image.tables import Tables
from corten.oci.platform import Platform, host_platform
from corten.oci.reference import Reference
from corten.snapshot import Snapshotter


class ImageStore:
    """All methods block (call them in a thread where they are marked "slow") and are thread-safe."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        content: ContentStore,
        snapshotter: Snapshotter,
        *,
        users: Users | None = None,
        platform: Platform | None = None,
    ) -> None:
        self.users: Users = users or NoUsers()
        self.content = content
        self.snapshotter = snapshotter
        self.platform = platform or host_platform()
        self._tables = Tables(connection)
        self._registrar = Registrar(self._tables, content, snapshotter)
        self._creator = Creator(self._registrar)
        self.transfers = LayerTransfers(content)
        self.variants = BlobVariants(self._tables, content)
        self.uses = Uses(self._tables)
        self._resolved: dict[str, tuple[int, Image]] = {}

    @property
    def registrar(self) -> Registrar:
        """For what makes images in other ways: pull and push."""
        return self._registrar

    def recover(self) -> None:
        """Call once at start: cleans up after a killed engine, rewrites index.json, collects garbage."""
        self.content.recover()
        self.snapshotter.recover()
        self._registrar.write_index()
        self.collect()
        self._registrar.settler.soon()

    def resolve(self, name: str) -> Image:
        """The image that a reference, a full ID, an ID prefix or `name@digest` means. NotFound ("No such
        image: x"), InvalidArgument, Conflict for an ambiguous prefix."""
        found = self._resolved.get(name)
        changes = self._tables.changes
        if found is None or found[0] != changes:
            if len(self._resolved) > 256:
                self._resolved.clear()
            found = (changes, self._registrar.image(naming.find(self._registrar, name)))
            self._resolved[name] = found
        return found[1]

    def of_container(self, image_id: str) -> Image:
        """An image by its full ID, even when it was removed by force while a container still uses it."""
        row = self._tables.image(image_id)
        if row is None:
            raise NotFound(f"No such image: {image_id}")
        return self._registrar.image(row)

    def lowers(self, image: Image) -> tuple[str, ...]:
        """The image's layer directories, topmost first; unpacks what is missing (slow only then)."""
        try:
            return self.snapshotter.lowers(image.chain)
        except NotFound:
            with self._registrar.pin_chain(image.chain):
                self.snapshotter.prepare(self._registrar.layers(image))
                return self.snapshotter.lowers(image.chain)

    def list(self, filters: Filters | None = None, *, all: bool = False) -> builtins.list[Image]:
        """Newest first. Filters: dangling, label, reference, before, since, until. Untagged parents only with
        `all`."""
        images = [self._registrar.image(row) for row in self._tables.images() if not row.hidden]
        if not all:
            parents = {image.parent for image in images}
            images = [image for image in images if not (naming.is_dangling(image) and image.id in parents)]
        return naming.select(self._registrar, images, filters or {})

    def tag(self, name: str, repository: str, tag: str = "") -> Image:
        """Gives an image another name, taking it from whoever has it."""
        reference = _name_of(repository, tag)
        if reference is None:
            raise InvalidArgument("invalid reference format: the new name is empty")
        with self._registrar.lock:
            image = self.resolve(name)
            self._registrar.name(image.id, reference, image.manifest)
            self._registrar.write_index()
        return self.resolve(image.id)

    def remove(self, name: str, *, force: bool = False, prune: bool = True) -> builtins.list[Removed]:
        """Untags or deletes, by Docker's rules; Conflict when containers or several repositories use it.
        Slow."""
        return Remover(self._registrar, self.users).remove(name, force=force, prune=prune)

    def prune(self, *, all: bool = False, filters: Filters | None = None) -> Pruned:
        """Removes dangling images (with `all`, or the filter dangling=false: every unused one). Slow."""
        return Remover(self._registrar, self.users).prune(all=all, filters=filters or {})

    @contextlib.contextmanager
    def taking(self, image_id: str) -> Iterator[None]:
        """For the moment in which something that `users` tells of begins to use an image: until it ends, the
        image cannot go. NotFound when it has gone already."""
        with self._registrar.row_lock:
            row = self._tables.image(image_id)
            if row is None or row.hidden:
                raise NotFound(f"No such image: {image_id}")
            self.uses.now(image_id)
            yield

    def evict(self, limit: int, *, grace: float) -> builtins.list[Evicted]:
        """Removes the images that were used least recently, and are not in use, until blobs and layers take
        at most `limit` bytes; none that was used or came within `grace` seconds. Slow."""
        return evict(
            self._registrar, Remover(self._registrar, self.users), self.users, self.uses, limit, grace
        )

    def load(
        self,
        source: ByteSource | OpenArchive,
        *,
        platform: Platform | None = None,
        report: Report = silent,
    ) -> builtins.list[Loaded]:
        """Reads a docker-archive or an OCI archive (plain, gzip, zstd, bzip2 or xz). Slow."""
        return Loader(self._registrar, platform or self.platform, report).load(source)

    def load_directory(
        self, path: str, *, platform: Platform | None = None, report: Report = silent
    ) -> builtins.list[Loaded]:
        """Reads an OCI layout directory. Slow."""
        return Loader(self._registrar, platform or self.platform, report).load(path)

    def save(self, names: Sequence[str], stream: ByteSink, *, format: str = "docker-archive") -> None:
        """Writes images as a docker-archive that is an OCI layout as well (what Docker 25+ writes), or as
        `oci-archive`. A repository without a tag means all its tags. Slow."""
        with self.content.lease() as lease:
            chosen = self._chosen(names)
            for image, _ in chosen:
                for digest in (image.manifest.digest, image.id, *(layer.digest for layer in image.layers)):
                    lease.pin(digest)
            ArchiveWriter(self.content, stream, format).save(chosen)

    def import_(
        self,
        stream: ByteSource,
        *,
        repository: str = "",
        tag: str = "",
        message: str = "",
        changes: Sequence[str] = (),
        platform: Platform | None = None,
        names: Sequence[str] = (),
        created: int | None = None,
        report: Report = silent,
    ) -> Loaded:
        """Makes an image of one layer from a root file system's tar; `created` in nanoseconds since 1970.
        Slow."""
        reference = _name_of(repository, tag)
        references = [
            *([reference] if reference is not None else []),
            *(Reference.parse(name) for name in names),
        ]
        return self._creator.import_(
            stream,
            references,
            message=message,
            changes=changes,
            platform=platform or self.platform,
            created=created,
            report=report,
        )

    def commit(self, commit: Commit) -> Image:
        """Makes an image of a container's upper directory over its parent image. Slow."""
        parent = self.of_container(commit.parent) if commit.parent else None
        return self._creator.commit(commit, parent, [Reference.parse(name) for name in commit.names])

    def history(self, name: str) -> builtins.list[HistoryItem]:
        """Newest first."""
        return history_of(self._registrar, self.resolve(name))

    def disk_usage(self) -> DiskUsage:
        """For `system df`."""
        return disk_usage(self._registrar, self.users)

    def collect(self) -> int:
        """Removes blobs and snapshots that no image needs; returns bytes. Slow."""
        collect_hidden(self._registrar, self.users)
        return self._registrar.collect()[0]

    def close(self) -> None:
        """Gives up the store's own database connection and what it would do later."""
        self.uses.save()
        self.transfers.close()
        self._registrar.settler.close()
        self.snapshotter.close()
        self._tables.close()

    def _chosen(self, names: Sequence[str]) -> builtins.list[tuple[Image, builtins.list[Reference]]]:
        """The images of `names` in order, each once, with the names that were asked for."""
        chosen: dict[str, tuple[Image, builtins.list[Reference]]] = {}
        for name in names:
            wanted = self._all_tags(name)
            if wanted:
                pairs = [(self.resolve(reference.familiar), [reference]) for reference in wanted]
            else:
                image = self.resolve(name)
                by_id = naming.is_by_id(image, name)
                reference = None if by_id else Reference.parse(name)
                pairs = [(image, [reference] if reference is not None and reference.digest is None else [])]
            for image, references in pairs:
                known = chosen.setdefault(image.id, (image, []))[1]
                known += [reference for reference in references if reference not in known]
        if not chosen:
            raise InvalidArgument("no image was named to be saved")
        return builtins.list(chosen.values())

    def _all_tags(self, name: str) -> builtins.list[Reference]:
        try:
            reference = Reference.parse(name, default_tag=False)
        except InvalidArgument:
            return []
        if reference.tag is not None or reference.digest is not None:
            return []
        return [
            reference.with_tag(row.mark)
            for row in self._tables.tags()
            if row.repository == reference.repository
        ]


def _name_of(repository: str, tag: str) -> Reference | None:
    """`repository` may carry a tag of its own, which `tag` replaces."""
    if not repository:
        return None
    reference = Reference.parse(repository)
    if reference.digest is not None:
        raise InvalidArgument(f"cannot tag with a digest: {repository}")
    return reference.with_tag(tag) if tag else reference


def open_stream(path: str) -> BinaryIO:
    """A file to `load` or `import_` from."""
    return open(path, "rb", buffering=0)  # noqa: PTH123
