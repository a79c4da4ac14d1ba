"""Copy a directory's content into a fresh tmpfs (tmpcopyup), by descriptors, in the child."""

from __future__ import annotations

import os
import stat

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


def copy_tree(source: int, target: int) -> None:
    """Copy everything in directory `source` to directory `target` (both may be O_PATH): owners,
    modes, times.
    """
    reading = os.open(b".", _FLAGS | os.O_DIRECTORY, dir_fd=source)
    try:
        for name in os.listdir(reading):
            _copy_entry(reading, target, name)
    finally:
        os.close(reading)
    _copy_attributes(os.fstat(source), target)


def _copy_entry(source: int, target: int, name: str) -> None:
    found = os.stat(name, dir_fd=source, follow_symlinks=False)
    kind = stat.S_IFMT(found.st_mode)
    if kind == stat.S_IFDIR:
        os.mkdir(name, 0o700, dir_fd=target)
        below = os.open(name, _FLAGS | os.O_DIRECTORY, dir_fd=source)
        fresh = os.open(name, _FLAGS | os.O_DIRECTORY, dir_fd=target)
        try:
            copy_tree(below, fresh)
        finally:
            os.close(below)
            os.close(fresh)
    elif kind == stat.S_IFLNK:
        os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
        os.chown(name, found.st_uid, found.st_gid, dir_fd=target, follow_symlinks=False)
    elif kind == stat.S_IFREG:
        _copy_file(source, target, name, found)
    else:
        os.mknod(name, found.st_mode, found.st_rdev, dir_fd=target)
        os.chown(name, found.st_uid, found.st_gid, dir_fd=target, follow_symlinks=False)


def _copy_file(source: int, target: int, name: str, found: os.stat_result) -> None:
    reading = os.open(name, _FLAGS, dir_fd=source)
    writing = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=target)
    try:
        offset = 0
        while sent := os.sendfile(writing, reading, offset, 1 << 20):
            offset += sent
        _copy_attributes(found, writing)
    finally:
        os.close(reading)
        os.close(writing)


def _copy_attributes(found: os.stat_result, target: int) -> None:
    path = f"/proc/self/fd/{target}"
    os.chown(path, found.st_uid, found.st_gid)
    os.chmod(path, stat.S_IMODE(found.st_mode))
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
