"""File operations as layers: what they make is worked out against the file system below, and then written in
one pass."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from corten.build.context.model import SourceTree, Stop
from corten.build.files.layer_image import LayerImage
from corten.build.files.layer_tar import LayerTar
from corten.build.files.layering import Layering
from corten.build.files.model import NothingWritten, WrittenLayer
from corten.build.files.nodes import Directory
from corten.build.files.writing import LayerPass
from corten.build.graph import FileOperation
from corten.errors import NoSpace
from corten.snapshot.erofs.mounts import DATA, IMAGE, MOUNT_POINT
from corten.snapshot.erofs_snapshotter import ErofsSnapshotter
from corten.snapshot.overlay import OverlaySnapshotter
from corten.snapshot.worker_process import Worker

_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class _Made:
    size: int
    inodes: int
    notes: Sequence[str]


class FileLayerWriter:
    """See model.LayerWriter. `snapshotter` tells what form layers have here."""

    def __init__(self, snapshotter: OverlaySnapshotter) -> None:
        self._snapshotter = snapshotter

    def write(
        self,
        operation: FileOperation,
        inputs: Sequence[SourceTree | None],
        target: Path,
        *,
        epoch: int | None,
        stop: Stop | None = None,
    ) -> WrittenLayer | NothingWritten:
        """See model.LayerWriter."""
        try:
            with Layering(inputs, target, stop) as layering:
                for action in operation.actions:
                    layering.plan(action)
                if not layering.destination.root.attached:
                    return NothingWritten(layering.selections())
                return self._write(layering, target, epoch, stop)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise NoSpace("cannot write the layer: the disk is full") from error
            raise

    def _write(self, layering: Layering, target: Path, epoch: int | None, stop: Stop | None) -> WrittenLayer:
        root = layering.destination.root
        with _created(target / DATA) as data:
            if isinstance(self._snapshotter, ErofsSnapshotter):
                with _created(target / IMAGE) as file:
                    image = LayerImage(file)
                    diff_id, tar_size = self._pass(layering, data, image, epoch, stop)
                    made = _Made(*image.finish(root, tar_size), image.notes)
                (target / MOUNT_POINT).mkdir(mode=0o755)
            else:
                diff_id, tar_size = self._pass(layering, data, None, epoch, stop)
                made = self._unpacked(target, root)
        notes = (*layering.notes, *made.notes)
        return WrittenLayer(diff_id, tar_size, made.size, made.inodes, layering.selections(), notes)

    def _pass(
        self, layering: Layering, data: int, image: LayerImage | None, epoch: int | None, stop: Stop | None
    ) -> tuple[str, int]:
        with (
            LayerTar(data) as tar,
            LayerPass(tar, image, layering.digests, epoch=epoch, stop=stop) as layer,
        ):
            layer.write(layering.destination.root)
            return tar.finish()

    def _unpacked(self, target: Path, root: Directory) -> _Made:
        """Makes `fs/` of the tar, where layers are directories."""
        marks = self._snapshotter.marks
        with Worker() as worker:
            answer = worker.call(
                "unpack",
                blob=str(target / DATA),
                target=str(target),
                algorithm="",
                marks=[marks.prefix, marks.device_whiteouts],
                limits=self._snapshotter.limits,
            )
        top = target / "fs"
        notes = list(answer["notes"])
        try:
            os.chown(top, root.uid, root.gid)
        except OSError:
            notes.append(
                f"the root directory cannot belong to {root.uid}:{root.gid}: this user has no such ids"
            )
        top.chmod(root.mode)
        for name, value in (root.attributes or {}).items():
            os.setxattr(top, name, value)
        os.utime(top, ns=(root.mtime_ns, root.mtime_ns))
        return _Made(answer["size"], answer["inodes"], notes)


@contextlib.contextmanager
def _created(path: Path) -> Iterator[int]:
    fd = os.open(path, _CREATE, 0o600)
    try:
        yield fd
    finally:
        os.close(fd)
