"""The plain tars of layers that builds made: each made once from the layer's directory, hashed as it is
written."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
from pathlib import Path

from corten.build.export.concurrency import in_thread
from corten.build.export.protocols import Layers
from corten.build.solve.result import BuiltLayer
from corten.content import ContentStore, Lease
from corten.errors import IntegrityError
from corten.oci.descriptor import Descriptor
from corten.oci.digest import Digest
from corten.oci.manifest import OCI_LAYER
from corten.snapshot.tree_packer import pack_upper
from corten.snapshot.worker_process import Worker

_SMALL_BYTES = 8 << 20
_SMALL_FILES = 300
_PARALLEL = max(os.cpu_count() or 1, 2)


class LayerTars:
    """Of all layers of one engine. Used on one event loop; several builds may want the same."""

    def __init__(self, content: ContentStore, layers: Layers) -> None:
        self._content = content
        self._layers = layers
        self._locks: dict[str, asyncio.Lock] = {}
        self._slots: asyncio.Semaphore | None = None

    async def get(self, layer: BuiltLayer, lease: Lease) -> BuiltLayer:
        """The layer with its diff ID and the blob of its plain tar, which `lease` pins. NoSpace."""
        lock = self._locks.setdefault(layer.id, asyncio.Lock())
        try:
            async with lock:
                known = self._layers.describe(layer)
                if known.blob is not None:
                    lease.pin(known.blob.digest)
                    known = self._layers.describe(layer)  # it may have gone before it was pinned
                if known.blob is not None:
                    return known
                if self._slots is None:
                    self._slots = asyncio.Semaphore(_PARALLEL)
                async with self._slots:
                    blob = await self._make(known, lease)
                self._layers.note_tar(known, blob.digest, blob)
                return self._layers.describe(known)
        finally:
            self._locks.pop(layer.id, None)

    async def _make(self, layer: BuiltLayer, lease: Lease) -> Descriptor:
        directory = self._layers.directory(layer)
        tar = directory / "layer.tar"
        if layer.diff_id and tar.is_file():
            return await in_thread(lambda: self._link(tar, Digest(layer.diff_id), lease))
        (root,) = await in_thread(lambda: self._layers.lowers((layer,)))
        if await in_thread(lambda: _is_small(root)):
            blob = await in_thread(lambda: self._pack_here(root, lease))
        else:
            blob = await self._pack_there(root, lease)
        if layer.diff_id and blob.digest != layer.diff_id:
            raise IntegrityError(
                f"layer {layer.id[:12]} of the build cache is damaged: its tar has the digest {blob.digest} "
                f"instead of {layer.diff_id}; remove it ('corten builder prune') and build again"
            )
        return blob

    def _link(self, tar: Path, digest: Digest, lease: Lease) -> Descriptor:
        """The layer's own tar, under a second name."""
        path = self._content.new_file()
        try:
            try:
                path.hardlink_to(tar)
            except OSError:
                with self._content.writer(digest, lease=lease) as ingest, tar.open("rb", buffering=0) as file:
                    while piece := file.read(1 << 20):
                        ingest.write(piece)
                    ingest.commit()
            else:
                self._content.adopt(path, digest, lease=lease)
        finally:
            path.unlink(missing_ok=True)
        return Descriptor(OCI_LAYER, digest, self._content.info(digest).size)

    def _pack_here(self, root: str, lease: Lease) -> Descriptor:
        """A small one: a process would take longer to start than to pack it."""
        with self._content.writer(lease=lease) as ingest:
            pack_upper(root, ingest.write, holes=False)
            return Descriptor(OCI_LAYER, ingest.commit(), ingest.written)

    async def _pack_there(self, root: str, lease: Lease) -> Descriptor:
        """In a process of its own."""
        path = self._content.new_file()
        workers: list[Worker] = []

        def work() -> Descriptor:
            try:
                with Worker() as worker:
                    workers.append(worker)
                    made = worker.call("pack_upper", upper=root, target=str(path), holes=False)
                digest = Digest(made["digest"])
                self._content.adopt(path, digest, lease=lease)
                return Descriptor(OCI_LAYER, digest, made["size"])
            finally:
                path.unlink(missing_ok=True)

        def kill() -> None:
            for worker in workers:
                worker.kill()

        return await in_thread(work, kill)


def _is_small(root: str) -> bool:
    files = size = 0
    pending = [root]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    size += status.st_size
                    files += 1
                    if stat.S_ISDIR(status.st_mode):
                        pending.append(entry.path)
                if files > _SMALL_FILES or size > _SMALL_BYTES:
                    return False
    return True
