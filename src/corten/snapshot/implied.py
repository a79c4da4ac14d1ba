"""Directories that a layer uses without describing them: they look like the same directory in the layers
below."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass

from corten.snapshot.lookup import find_below


@dataclass(frozen=True, slots=True)
class Model:
    """What a directory looks like. `mode` without the type's bits; `xattrs` without overlay's own."""

    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    mtime_ns: int = 0
    xattrs: tuple[tuple[bytes, bytes], ...] = ()


PLAIN = Model()
"""Where there is none below: root's, 0755 and the beginning of time (deterministic)."""


def model_of(path: bytes, lowers: Sequence[str]) -> Model:
    """The topmost directory `path` in `lowers` (topmost first), or PLAIN."""
    found = find_below(path, [os.fsencode(lower) for lower in lowers])
    if found is None:
        return PLAIN
    status = os.lstat(found)
    if not stat.S_ISDIR(status.st_mode):
        return PLAIN
    xattrs = tuple(
        (os.fsencode(name), os.getxattr(found, name, follow_symlinks=False))
        for name in sorted(os.listxattr(found, follow_symlinks=False))
        if not name.startswith(("trusted.overlay.", "user.overlay."))
    )
    return Model(stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, status.st_mtime_ns, xattrs)


def complete(root: str, implied: Sequence[bytes], lowers: Sequence[str]) -> None:
    """Gives each of the `implied` directories beneath `root` what its model in `lowers` (topmost first)
    has."""
    top = os.fsencode(root)
    for path in sorted(implied, reverse=True):  # children first: their changes touch their parents' times
        target = os.path.join(top, path) if path else top
        model = model_of(path, lowers)
        os.chown(target, model.uid, model.gid)
        os.chmod(target, model.mode)
        for name, value in model.xattrs:
            os.setxattr(target, name, value)
        os.utime(target, ns=(model.mtime_ns, model.mtime_ns))
