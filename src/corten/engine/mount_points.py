"""The files and directories that every container is given mounts at, made once for an image.

An image without them (busybox has no /proc, hardly any has /etc/hosts) would get them made by each
container in its writable layer: 0.5 ms, and a `diff` that tells of files which nobody wrote. So there is
one more layer between the image's and the container's own, as Docker's `-init` layer::

    mount-points/<chain-id>/{proc,sys,dev,etc/hosts,…}   what the image of this chain lacks of them

A directory of the image that gains a file by it (/etc) appears there with the image's own attributes,
because the topmost layer's are what overlayfs shows.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

from corten.oci.digest import hex_of
from corten.snapshot.lookup import find_below
from corten.snapshot.tree import remove_tree

_DIRECTORIES = (b"dev", b"proc", b"sys")
_FILES = (b"etc/hostname", b"etc/hosts", b"etc/resolv.conf")
_OVERLAY = ("trusted.overlay.", "user.overlay.")


class MountPoints:
    """The layers of mount points beneath `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def over(self, chain: Sequence[str], lowers: tuple[str, ...]) -> tuple[str, ...]:
        """`lowers` (of `chain`, topmost first), with the layer of their mount points on top if one is
        needed."""
        directory = self._root / hex_of(chain[-1])
        try:
            if not directory.is_dir():
                self._make(directory, [os.fsencode(lower) for lower in lowers])
            empty = not os.listdir(directory)
        except OSError:
            return lowers  # the container makes them itself
        return lowers if empty else (str(directory), *lowers)

    def prune(self, chain_ids: Iterable[str]) -> None:
        """Removes the layers of all chains but these; what a killed process left half-made, too."""
        kept = {hex_of(chain_id) for chain_id in chain_ids}
        try:
            names = os.listdir(self._root)
        except FileNotFoundError:
            return
        for name in names:
            if name not in kept:
                remove_tree(str(self._root / name))

    def _make(self, directory: Path, lowers: Sequence[bytes]) -> None:
        self._root.mkdir(mode=0o711, exist_ok=True)
        half_made = self._root / f".{secrets.token_hex(8)}"
        half_made.mkdir(mode=0o755)
        try:
            new = os.fsencode(half_made)
            for path in _DIRECTORIES:
                if _missing(path, lowers):
                    os.mkdir(new + b"/" + path, 0o755)
            for path in _FILES:
                if _missing(path, lowers) and _parent(new, path.rpartition(b"/")[0], lowers):
                    os.close(os.open(new + b"/" + path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
            for parent in {path.rpartition(b"/")[0] for path in _FILES}:
                below = find_below(parent, lowers)
                if below is not None and os.path.isdir(new + b"/" + parent):
                    _like(below, new + b"/" + parent)
            try:
                half_made.rename(directory)
            except OSError:
                if not directory.is_dir():  # else another start was quicker
                    raise
                remove_tree(str(half_made))
        except BaseException:
            remove_tree(str(half_made))
            raise


def _missing(path: bytes, lowers: Sequence[bytes]) -> bool:
    return find_below(path, lowers) is None


def _parent(new: bytes, parent: bytes, lowers: Sequence[bytes]) -> bool:
    """Makes `parent` in the new layer; false when the image has something else than a directory there."""
    found = find_below(parent, lowers)
    if found is not None and not stat.S_ISDIR(os.lstat(found).st_mode):
        return False
    if not os.path.isdir(new + b"/" + parent):
        os.mkdir(new + b"/" + parent, 0o755)
    return True


def _like(source: bytes, target: bytes) -> None:
    """Gives the directory `target` the owner, mode, extended attributes and times of `source`."""
    status = os.lstat(source)
    os.chown(target, status.st_uid, status.st_gid)
    os.chmod(target, stat.S_IMODE(status.st_mode))
    for name in os.listxattr(source, follow_symlinks=False):
        if not name.startswith(_OVERLAY):
            os.setxattr(target, name, os.getxattr(source, name, follow_symlinks=False))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
