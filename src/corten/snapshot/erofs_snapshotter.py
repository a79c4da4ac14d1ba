"""Layers as EROFS images over their own tars: no file of a layer is ever created on the host.

::

    snapshots/<chain-id>/layer.erofs   files' contents, one behind the other, and then the index to them:
                                       inodes, directories, xattrs
    snapshots/<chain-id>/layer.tar     only with `in_tar`: the layer, uncompressed; contents are where they
                                       stand in it. The very file in the content store, when that is plain.
                                       With `aligned`, those that begin at a whole block of 4096 bytes
    snapshots/<chain-id>/mnt/          an empty directory, to mount the image on where that is needed
    snapshots/<chain-id>/layer.json    as for directories

Layers that were unpacked to directories before are used as they are. Measured (2 cores, Linux 6.18): see
docs/ARCHITECTURE.md, "Layers without unpacking".
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from corten.errors import NotFound, Unsupported
from corten.snapshot.erofs.contents import ALIGN
from corten.snapshot.erofs.disk_format import SUPER, SUPER_OFFSET
from corten.snapshot.erofs.layer_index import describe
from corten.snapshot.erofs.mounts import DATA, IMAGE, LayerMounts
from corten.snapshot.erofs.support import Support, probe
from corten.snapshot.implied import PLAIN, model_of
from corten.snapshot.limits import DEFAULT_LIMITS, Limits
from corten.snapshot.overlay import OverlaySnapshotter
from corten.snapshot.snapshotter import Layer
from corten.snapshot.worker_process import Worker


class ErofsSnapshotter(OverlaySnapshotter):
    """The Snapshotter of EROFS images beneath `root`; Unsupported where this kernel cannot mount them.

    `support` is what `erofs.support.probe` found, unless given. `in_tar`: leave contents in the tar
    (`erofs.contents` says why not). `aligned`: only those that the tar aligns, as those of layers that are
    built here do.
    """

    name = "erofs"
    operation = "index"
    parts = (IMAGE, DATA)

    def __init__(
        self,
        root: Path,
        *,
        limits: Limits = DEFAULT_LIMITS,
        workers: int | None = None,
        support: Support | None = None,
        in_tar: bool = False,
        aligned: bool = False,
    ) -> None:
        super().__init__(root, limits=limits, workers=workers)
        support = support or probe(root)
        if support is None:
            raise Unsupported(
                "this kernel, or this user, cannot mount EROFS images: Linux 5.16 and root are needed; the "
                "snapshotter overlay works without"
            )
        if in_tar and not aligned and not support.in_tar:
            raise Unsupported("this kernel cannot mount a tar's contents in place: Linux 6.4 can")
        self._in_tar = in_tar
        self._aligned = aligned
        self._support = support
        self._mounts = LayerMounts(support)

    def contains(self, chain_id: str) -> bool:
        """See Snapshotter."""
        directory = self.directory(chain_id)
        return (directory / "layer.json").exists() and (
            (directory / IMAGE).exists() or (directory / "fs").is_dir()
        )

    def lowers(self, chain: Sequence[str]) -> tuple[str, ...]:
        """See Snapshotter: the paths at which the engine's mounts can be looked at (`erofs.mounts`)."""
        found = []
        for chain_id in reversed(chain):
            directory = self.directory(chain_id)
            if not self.contains(chain_id):
                raise NotFound(f"layer {chain_id} is not there")
            if (directory / IMAGE).exists():
                found.append(self._mounts.path(chain_id, directory))
            else:
                found.append(str(directory / "fs"))
        return tuple(found)

    def set_aside(self, chain_id: str) -> Path:
        """See Snapshotter."""
        self._mounts.release(chain_id)
        return super().set_aside(chain_id)

    def maker(self, chain_id: str) -> OverlaySnapshotter:
        """See OverlaySnapshotter: layers that were made by another configuration stay as they are."""
        directory = self.directory(chain_id)
        if (directory / "fs").is_dir() and not (directory / IMAGE).exists():
            return OverlaySnapshotter(self.root, limits=Limits(**self.limits), workers=self.workers)
        in_tar = (directory / DATA).exists()
        if not (directory / IMAGE).exists():
            return self
        aligned = in_tar and _block_size(directory / IMAGE) == ALIGN
        if (in_tar, aligned) == (self._in_tar, self._aligned):
            return self
        return ErofsSnapshotter(
            self.root,
            limits=Limits(**self.limits),
            workers=self.workers,
            support=self._support,
            in_tar=in_tar,
            aligned=aligned,
        )

    def close(self) -> None:
        """Lets go of the mounts; containers that run keep theirs."""
        self._mounts.close()

    # -- for the session

    def arguments(self) -> dict[str, Any]:
        """See OverlaySnapshotter."""
        return {"in_tar": self._in_tar, "aligned": self._aligned}

    def complete(self, staged: Path, layer: Layer, implied: Any, lowers: Sequence[str]) -> None:
        """See OverlaySnapshotter. Attributes need room that only a new image has; all else is filled in."""
        models = [(path, offset, model_of(path, lowers)) for path, offset in implied]
        if any(model.xattrs for _path, _offset, model in models):
            blob = layer.blob if layer.growing is None else layer.growing.final
            with Worker() as worker:
                worker.call(
                    "index_again",
                    blob=blob,
                    target=str(staged),
                    **self.arguments(),
                    limits=self.limits,
                    models=[
                        [path, m.mode, m.uid, m.gid, m.mtime_ns, list(m.xattrs)]
                        for path, _offset, m in models
                    ],
                )
            return
        image = os.open(staged / IMAGE, os.O_RDWR | os.O_CLOEXEC)
        try:
            for _path, offset, model in models:
                if model != PLAIN:
                    describe(image, offset, model)
        finally:
            os.close(image)


def _block_size(image: Path) -> int:
    with image.open("rb") as file:
        file.seek(SUPER_OFFSET)
        bits: int = SUPER.unpack(file.read(SUPER.size))[3]
    return 1 << bits
