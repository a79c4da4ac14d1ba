"""Finding a path in a stack of layer directories as overlay would: whiteouts, opaque directories, files
that hide."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

from corten.snapshot.overlay_marks import WHITEOUT_DEVICE, is_opaque


def find_below(path: bytes, lowers: Sequence[bytes]) -> bytes | None:
    """The full name of the topmost file `path` (relative) in `lowers` (topmost first) that is not hidden,
    or None.

    No link on the way is followed.
    """
    parts = path.split(b"/") if path else []
    for lower in lowers:
        here = lower
        opaque = False
        for position, part in enumerate(parts, 1):
            here = here + b"/" + part
            try:
                status = os.lstat(here)
            except FileNotFoundError:
                break
            if stat.S_ISDIR(status.st_mode):
                opaque = opaque or is_opaque(os.fsdecode(here))
            elif position < len(parts) or is_whiteout(status, here):
                return None
        else:
            return here
        if opaque:
            return None
    return None


def names_below(path: bytes, lowers: Sequence[bytes]) -> set[bytes]:
    """The names in the merged directory `path` of `lowers`."""
    names: set[bytes] = set()
    for lower in lowers:
        try:
            found = os.listdir(lower + b"/" + path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        names.update(found)
    prefix = path + b"/" if path else b""
    return {name for name in names if find_below(prefix + name, lowers) is not None}


def is_whiteout(status: os.stat_result, path: bytes) -> bool:
    if stat.S_ISCHR(status.st_mode):
        return status.st_rdev == WHITEOUT_DEVICE
    if stat.S_ISREG(status.st_mode) and not status.st_size:
        for prefix in ("trusted.overlay.", "user.overlay."):
            try:
                os.getxattr(path, prefix + "whiteout", follow_symlinks=False)
                return True
            except OSError:
                continue
    return False
