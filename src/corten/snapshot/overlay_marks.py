"""How overlayfs writes down deletions in a layer's directory (kernel:
Documentation/filesystems/overlayfs.rst).

A whiteout is a character device 0:0; where even that may not be made (user namespaces before Linux 5.8), an
empty file with the xattr `overlay.whiteout` in a directory whose `overlay.opaque` is "x" (Linux 6.7). An
opaque directory has the xattr `overlay.opaque` = "y". Xattrs are in `trusted.`, or in `user.` where the
former may not be set (mount option userxattr).
"""

from __future__ import annotations

import os
import stat
import tempfile
from dataclasses import dataclass

WHITEOUT_DEVICE = os.makedev(0, 0)
WHITEOUT_PREFIX = b".wh."
OPAQUE_NAME = b".wh..wh..opq"
META_PREFIX = b".wh..wh."


@dataclass(frozen=True, slots=True)
class Marks:
    """`prefix` is `trusted.overlay.` or `user.overlay.`; `device_whiteouts` says that char 0:0 can be
    made."""

    prefix: str
    device_whiteouts: bool

    @property
    def opaque(self) -> str:
        """The name of the xattr of opaque directories."""
        return self.prefix + "opaque"

    @property
    def whiteout(self) -> str:
        """The name of the xattr of whiteouts that are files."""
        return self.prefix + "whiteout"


def probe(directory: str) -> Marks:
    """What this process may use in `directory`'s file system."""
    with tempfile.TemporaryDirectory(dir=directory, prefix=".probe-") as trial:
        try:
            os.setxattr(trial, "trusted.overlay.opaque", b"y")
            prefix = "trusted.overlay."
        except OSError:
            prefix = "user.overlay."
        try:
            os.mknod(f"{trial}/w", stat.S_IFCHR, WHITEOUT_DEVICE)
            devices = True
        except OSError:
            devices = False
    return Marks(prefix, devices)


def is_opaque(path: str) -> bool:
    """Whether a directory hides what is below it."""
    for prefix in ("trusted.overlay.", "user.overlay."):
        try:
            if os.getxattr(path, prefix + "opaque", follow_symlinks=False) == b"y":
                return True
        except OSError:
            continue
    return False
