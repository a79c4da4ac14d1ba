"""From a layer's tar stream to an EROFS image, in one pass.

The worker process that inflates the layer calls `index_layer` on what comes out. What lies below the layer is
not known then: directories that no entry described get extended inodes, whose places are told, so that
`describe` can fill in what they look like below without another pass.
"""

from __future__ import annotations

import gc
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from corten.snapshot.erofs import disk_format as d
from corten.snapshot.erofs.contents import AlignedInTar, Copied, InTar
from corten.snapshot.erofs.image_writer import ImageWriter
from corten.snapshot.erofs.layer_tree import LayerTree
from corten.snapshot.erofs.node import Directory
from corten.snapshot.erofs.xattr import attributes
from corten.snapshot.implied import Model
from corten.snapshot.limits import DEFAULT_LIMITS, Limits
from corten.snapshot.tar_reader import TarReader


@dataclass(slots=True)
class Indexed:
    """Apparent bytes and inodes of a layer, as its Usage counts; (path, offset of the inode in the image)
    of implied directories; remarks for the user."""

    size: int = 0
    inodes: int = 0
    implied: list[tuple[bytes, int]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def index_layer(
    reader: TarReader,
    image: int,
    *,
    device_size: Callable[[], int] | None,
    aligned: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    models: Mapping[bytes, Model] | None = None,
) -> Indexed:
    """Writes the image of the layer in `reader` to the empty file `image` (a descriptor). ArchiveError.

    With `device_size`, contents stay in the tar, whose size it tells when the tar has ended, and blocks have
    512 bytes; without, contents are copied into the image, and blocks have 4096. With both it and `aligned`,
    only what the tar aligns to blocks of 4096 stays there. `models` describe implied directories that are
    known already.
    """
    bits = 12 if device_size is None or aligned else 9
    contents: Copied | InTar | AlignedInTar
    if device_size is None:
        contents = Copied(image, reader, bits)
    else:
        contents = AlignedInTar(image, reader) if aligned else InTar(image, reader)
    tree = LayerTree(contents, limits=limits)
    # Inodes are many objects that live to the end and make no cycles: collections would only look at them
    # again and again.
    collects = gc.isenabled()
    gc.disable()
    try:
        add = tree.add
        while (entry := reader.next()) is not None:
            add(entry)
        contents.flush()
        implied = list(tree.implied())
        for path, directory in implied:
            model = (models or {}).get(path)
            if model is not None:
                _describe(directory, model)
        size, inodes = tree.finish()
        writer = ImageWriter(
            image,
            tree.root,
            block_bits=bits,
            start=contents.end,
            device_size=None if device_size is None else device_size(),
        )
        writer.write()
    finally:
        if collects:
            gc.enable()
    places = sorted((path, writer.position(directory)) for path, directory in implied)
    return Indexed(size, inodes, places, tree.notes)


def _describe(directory: Directory, model: Model) -> None:
    directory.mode = stat.S_IFDIR | model.mode
    directory.uid, directory.gid, directory.mtime_ns = model.uid, model.gid, model.mtime_ns
    directory.xattrs = attributes(dict(model.xattrs), directory.mode)[0]


def describe(image: int, offset: int, model: Model) -> None:
    """Gives the extended inode at `offset` what `model` has (its xattrs excepted: they need room)."""
    fields = list(d.EXTENDED.unpack(os.pread(image, d.EXTENDED.size, offset)))
    seconds, nanoseconds = divmod(model.mtime_ns, 1_000_000_000)
    fields[2] = stat.S_IFDIR | model.mode
    fields[7:11] = [model.uid, model.gid, seconds, nanoseconds]
    os.pwrite(image, d.EXTENDED.pack(*fields), offset)
