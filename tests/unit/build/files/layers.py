"""Layers made of file operations, read back by Python's tarfile."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from corten.build.context.model import SourceTree
from corten.build.files.model import NothingWritten, WrittenLayer
from corten.build.files.writer import FileLayerWriter
from corten.build.graph import FileAction, FileOperation
from corten.snapshot.overlay import OverlaySnapshotter


@dataclass(frozen=True)
class Written:
    """`members` by name, as `mode uid:gid content`: a directory's content is `/`, a link's `-> target`, a
    hard link's `= path`."""

    layer: WrittenLayer | NothingWritten
    members: dict[str, str]
    tar: bytes
    directory: Path


class Maker:
    """Makes layers beneath `root`."""

    def __init__(self, root: Path, snapshotter: OverlaySnapshotter | None = None) -> None:
        self.snapshotter = snapshotter or OverlaySnapshotter(root / "snapshots")
        self._writer = FileLayerWriter(self.snapshotter)

    def __call__(
        self,
        actions: FileAction | Sequence[FileAction],
        *inputs: SourceTree | None,
        image: SourceTree | None = None,
        epoch: int | None = 0,
    ) -> Written:
        operation = FileOperation(tuple(actions) if isinstance(actions, Sequence) else (actions,))
        target = self.snapshotter.new_staging()
        layer = self._writer.write(operation, (image, *inputs), target, epoch=epoch)
        if isinstance(layer, NothingWritten):
            return Written(layer, {}, b"", target)
        tar = (target / "layer.tar").read_bytes()
        return Written(layer, members(tar), tar, target)


def by_root(found: dict[str, str]) -> dict[str, str]:
    """What it would be if root ran the test, who owns the images that tests plant."""
    mine = f" {os.getuid()}:{os.getgid()} "
    return {name: content.replace(mine, " 0:0 ") for name, content in found.items()}


def members(data: bytes) -> dict[str, str]:
    """See Written."""
    found: dict[str, str] = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for info in tar:
            assert info.name not in found
            if info.isdir():
                content = "/"
            elif info.issym():
                content = f"-> {info.linkname}"
            elif info.islnk():
                content = f"= {info.linkname}"
            elif info.isreg():
                file = tar.extractfile(info)
                assert file is not None
                content = file.read().decode("utf-8", "surrogateescape")
            else:
                content = {tarfile.FIFOTYPE: "pipe", tarfile.CHRTYPE: "character", tarfile.BLKTYPE: "block"}[
                    info.type
                ]
            found[info.name] = f"{info.mode:o} {info.uid}:{info.gid} {content}"
    return found
