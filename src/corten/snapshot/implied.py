"""Directories that a layer uses without describing them: they look like the same directory in the layers
below."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

from corten.snapshot.lookup import find_below


def complete(root: str, implied: Sequence[bytes], lowers: Sequence[str]) -> None:
    """Gives each of the `implied` directories beneath `root` the owner, mode, xattrs and time of the
    topmost one below it (`lowers`, topmost first); without one, root's, 0755 and the beginning of time
    (deterministic)."""
    top = os.fsencode(root)
    below = [os.fsencode(lower) for lower in lowers]
    for path in sorted(implied, reverse=True):  # children first: their changes touch their parents' times
        target = os.path.join(top, path) if path else top
        model = find_below(path, below)
        if model is None or not stat.S_ISDIR(os.lstat(model).st_mode):
            os.chown(target, 0, 0)
            os.chmod(target, 0o755)
            os.utime(target, ns=(0, 0))
            continue
        status = os.lstat(model)
        os.chown(target, status.st_uid, status.st_gid)
        os.chmod(target, stat.S_IMODE(status.st_mode))
        for name in os.listxattr(model, follow_symlinks=False):
            if not name.startswith(("trusted.overlay.", "user.overlay.")):
                os.setxattr(target, name, os.getxattr(model, name, follow_symlinks=False))
        os.utime(target, ns=(status.st_mtime_ns, status.st_mtime_ns))
