"""What a walk saw of a file: enough to tell later whether it is still the same, and small, for there may be
hundreds of thousands."""

from __future__ import annotations

import os
import stat
import struct

_KEY = struct.Struct("<QQqqq")
_pack = _KEY.pack


def stat_key(status: os.stat_result) -> bytes:
    """40 bytes that are others as soon as the file is another, or anything of it has changed."""
    return _pack(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def changed_at(key: bytes) -> int:
    """The later one of a file's mtime and ctime, in nanoseconds since 1970."""
    _device, _inode, _size, mtime, ctime = _KEY.unpack(key)
    latest: int = max(mtime, ctime)
    return latest


class SeenFile:
    """A file called `name` in some directory. `mode` has the type's bits; `key` is its stat key; `device` the
    number of a device."""

    __slots__ = ("device", "gid", "key", "mode", "name", "nlink", "uid")

    def __init__(self, name: str, status: os.stat_result) -> None:
        self.name = name
        self.mode = status.st_mode
        self.nlink = status.st_nlink
        self.uid = status.st_uid
        self.gid = status.st_gid
        self.device = status.st_rdev
        self.key = _pack(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)

    @property
    def is_regular(self) -> bool:
        return self.mode & 0o170000 == stat.S_IFREG

    @property
    def inode(self) -> bytes:
        """Device and inode: the same for all names of one file."""
        return self.key[:16]

    @property
    def size(self) -> int:
        """In bytes."""
        size: int = _KEY.unpack(self.key)[2]
        return size

    @property
    def mtime_ns(self) -> int:
        """Since 1970."""
        time: int = _KEY.unpack(self.key)[3]
        return time

    def is_still(self, status: os.stat_result) -> bool:
        """Whether a file with this status is the one that was seen, as it was."""
        return status.st_mode == self.mode and stat_key(status) == self.key
