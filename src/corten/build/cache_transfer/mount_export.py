"""Cache mounts on their way out: what the place has of them already stays there, only new contents travel."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import zstandard

from corten.build.cache_transfer.collection import Part
from corten.build.cache_transfer.document import MOUNT_INDEX_TYPE, CachedMount, CacheDocument
from corten.build.cache_transfer.mount_import import read_index
from corten.build.cache_transfer.mount_index import (
    HARD_LINK,
    VERSION,
    MountFile,
    MountIndex,
    has_contents,
    scan,
)
from corten.build.cache_transfer.mount_pack import contents_of, write_pack
from corten.build.cache_transfer.protocols import MountReader
from corten.build.cache_transfer.targets import CacheTarget
from corten.build.context.model import ContentCache
from corten.build.export.concurrency import in_thread
from corten.build.export.protocols import Status
from corten.content import ContentStore, Lease
from corten.errors import CortenError
from corten.oci.descriptor import Descriptor
from corten.oci.manifest import Manifest

_MOST_PACKS = 16
"""More than these are put together again."""


@dataclass(slots=True)
class _Earlier:
    """What the place has of one mount."""

    index: Descriptor
    packs: tuple[Descriptor, ...]
    files: MountIndex


@dataclass(slots=True)
class ExportedMounts:
    """`mounts` name positions in `parts`, which come behind `offset` other blobs of the manifest."""

    offset: int
    mounts: list[CachedMount] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)

    def add(self, mount_id: str, index: Descriptor, packs: Sequence[Descriptor]) -> None:
        """One mount, with blobs that are here or at the place."""
        first = self.offset + len(self.parts)
        self.parts += [Part(blob) for blob in (index, *packs)]
        self.mounts.append(CachedMount(mount_id, first, tuple(range(first + 1, first + 1 + len(packs)))))


class MountExport:
    """For one place. `contents` knows digests of files; blobs that are made are pinned by `lease`."""

    def __init__(
        self,
        reader: MountReader,
        content: ContentStore,
        lease: Lease,
        contents: ContentCache | None = None,
    ) -> None:
        self._reader = reader
        self._content = content
        self._lease = lease
        self._contents = contents

    async def export(
        self,
        ids: Sequence[str],
        target: CacheTarget,
        earlier: tuple[Manifest, CacheDocument] | None,
        offset: int,
        status: Status,
    ) -> ExportedMounts:
        """The mounts `ids`; of those that are not here, what the place has stays. `earlier` is the cache that
        is there."""
        exported = ExportedMounts(offset)
        for mount_id in ids:
            known = await self._earlier(mount_id, target, earlier)
            name = f"cache mount {mount_id}"
            status(name, 0, 1, False)
            async with self._reader.read(mount_id) as directory:
                if directory is None:
                    if known is not None:
                        exported.add(mount_id, known.index, known.packs)
                else:
                    index, packs = await self._one(directory, known)
                    exported.add(mount_id, index, packs)
            status(name, 1, 1, True)
        return exported

    async def _earlier(
        self, mount_id: str, target: CacheTarget, earlier: tuple[Manifest, CacheDocument] | None
    ) -> _Earlier | None:
        """None when there is nothing that can be built upon: it is made anew then."""
        if earlier is None:
            return None
        manifest, document = earlier
        mount = next((mount for mount in document.mounts if mount.id == mount_id), None)
        if mount is None:
            return None
        index = manifest.layers[mount.index]
        packs = tuple(manifest.layers[position] for position in mount.packs)
        try:
            for blob in (index, *packs):
                if not await target.has(blob):
                    return None
            return _Earlier(index, packs, await read_index(target.source, index, len(packs)))
        except CortenError:
            return None

    async def _one(
        self, directory: int, earlier: _Earlier | None
    ) -> tuple[Descriptor, tuple[Descriptor, ...]]:
        stop = threading.Event()

        def check() -> None:
            if stop.is_set():
                raise CortenError("the export of the build cache was given up")

        def work() -> tuple[Descriptor, tuple[Descriptor, ...]]:
            files = scan(directory, self._contents, check)
            wanted = contents_of(files)
            packs, sizes, places = _kept(wanted, earlier)
            new = [file for file in files if has_contents(file) and file.digest not in places]
            if new:
                blob, packed = write_pack(self._content, self._lease, directory, new, check)
                places |= dict.fromkeys(packed, len(packs))
                packs.append(blob)
                sizes.append(sum(packed.values()))
            return self._index(MountIndex(VERSION, tuple(_placed(files, places)), tuple(sizes))), tuple(packs)

        return await in_thread(work, stop.set)

    def _index(self, index: MountIndex) -> Descriptor:
        data = zstandard.ZstdCompressor(level=3).compress(msgspec.json.encode(index))
        blob = self._content.add(data, lease=self._lease)
        return Descriptor(MOUNT_INDEX_TYPE, blob.digest, blob.size)


def _kept(
    wanted: Mapping[str, int], earlier: _Earlier | None
) -> tuple[list[Descriptor], list[int], dict[str, int]]:
    """The packs that stay, the sizes of their contents, and which of them has what: those of which half is
    still in use, and of too many the largest."""
    if earlier is None:
        return [], [], {}
    where = {file.digest: file.pack for file in earlier.files.files if has_contents(file)}
    live = [0] * len(earlier.packs)
    for digest, size in wanted.items():
        if digest in where:
            live[where[digest]] += size
    sizes = earlier.files.packs
    kept = [number for number, used in enumerate(live) if used and used * 2 >= sizes[number]]
    if len(kept) > _MOST_PACKS:
        kept = sorted(sorted(kept, key=lambda number: sizes[number])[-_MOST_PACKS // 2 :])
    position = {number: index for index, number in enumerate(kept)}
    places = {digest: position[number] for digest, number in where.items() if number in position}
    return [earlier.packs[number] for number in kept], [sizes[number] for number in kept], places


def _placed(files: Iterable[MountFile], places: Mapping[str, int]) -> Iterator[MountFile]:
    """The files whose contents are there, saying where; and hard links to such."""
    gone: set[bytes] = set()
    for file in files:
        if has_contents(file):
            if file.digest not in places:
                gone.add(file.path)
                continue
            file = msgspec.structs.replace(file, pack=places[file.digest])
        if file.kind != HARD_LINK or file.target not in gone:
            yield file
