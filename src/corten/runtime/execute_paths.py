"""Paths below a root that may belong to an adversary: resolved and made there, never above it."""

from __future__ import annotations

import os

from corten.linux.openat2 import O_PATH, RESOLVE_IN_ROOT, RESOLVE_NO_SYMLINKS, openat2

_LINKS = 40


def resolve(root: int, path: bytes, *, symlinks: bool = True) -> int:
    """An O_PATH descriptor of `path` (relative bytes, or b".") below the directory `root`."""
    return openat2(root, path, O_PATH, RESOLVE_IN_ROOT if symlinks else RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS)


def ensure(root: int, path: bytes, *, directory: bool = True, symlinks: bool = True) -> int:
    """As `resolve`, but what is missing is made: directories 0755, the last component a file when asked."""
    try:
        return resolve(root, path, symlinks=symlinks)
    except FileNotFoundError:
        return _make(root, path, directory, symlinks, _LINKS)


def _make(root: int, path: bytes, directory: bool, symlinks: bool, links: int) -> int:
    """Make `path`, component by component. A dangling symbolic link is followed, inside the root."""
    components = [part for part in path.split(b"/") if part not in (b"", b".")]
    done = b"."
    for index, name in enumerate(components):
        last = index == len(components) - 1
        here = done + b"/" + name
        try:
            fd = resolve(root, here, symlinks=symlinks)
        except FileNotFoundError:
            parent = resolve(root, done, symlinks=symlinks)
            try:
                fd = _make_one(root, parent, done, name, directory or not last, symlinks, links)
            finally:
                os.close(parent)
        if last:
            return fd
        os.close(fd)
        done = here
    return resolve(root, path, symlinks=symlinks)


def _make_one(
    root: int, parent: int, parent_path: bytes, name: bytes, directory: bool, symlinks: bool, links: int
) -> int:
    if name == b"..":
        return resolve(root, parent_path + b"/..", symlinks=symlinks)
    try:
        if directory:
            os.mkdir(name, 0o755, dir_fd=parent)
        else:
            flags = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_WRONLY
            os.close(os.open(name, flags, 0o644, dir_fd=parent))
    except FileExistsError:
        if links == 0 or not symlinks:
            raise
        target = os.readlink(name, dir_fd=parent)
        base = target.lstrip(b"/") if target.startswith(b"/") else parent_path + b"/" + target
        return _make(root, base, directory, symlinks, links - 1)
    return resolve(root, parent_path + b"/" + name, symlinks=symlinks)
