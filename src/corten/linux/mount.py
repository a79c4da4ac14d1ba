"""mount(2), umount2(2), pivot_root(2) and the mount API by file descriptors (Linux 5.2, 5.12)."""

from __future__ import annotations

import ctypes

from corten.linux.syscall import NUMBER, failure, libc, raw

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_SYNCHRONOUS = 16
MS_REMOUNT = 32
MS_MANDLOCK = 64
MS_DIRSYNC = 128
MS_NOSYMFOLLOW = 256
MS_NOATIME = 1024
MS_NODIRATIME = 2048
MS_BIND = 4096
MS_MOVE = 8192
MS_REC = 16384
MS_SILENT = 32768
MS_POSIXACL = 1 << 16
MS_UNBINDABLE = 1 << 17
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20
MS_RELATIME = 1 << 21
MS_I_VERSION = 1 << 23
MS_STRICTATIME = 1 << 24
MS_LAZYTIME = 1 << 25

MNT_FORCE = 1
MNT_DETACH = 2
UMOUNT_NOFOLLOW = 8

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_SYMLINK_NOFOLLOW = 0x100
AT_NO_AUTOMOUNT = 0x800
AT_RECURSIVE = 0x8000
OPEN_TREE_CLONE = 1
OPEN_TREE_CLOEXEC = 0x80000
FSOPEN_CLOEXEC = 1
FSMOUNT_CLOEXEC = 1
FSCONFIG_SET_FLAG = 0
FSCONFIG_SET_STRING = 1
FSCONFIG_SET_BINARY = 2
FSCONFIG_SET_PATH = 3
FSCONFIG_SET_FD = 5
FSCONFIG_CMD_CREATE = 6
FSCONFIG_CMD_RECONFIGURE = 7
MOVE_MOUNT_F_EMPTY_PATH = 4
MOVE_MOUNT_T_EMPTY_PATH = 0x40

MOUNT_ATTR_RDONLY = 1
MOUNT_ATTR_NOSUID = 2
MOUNT_ATTR_NODEV = 4
MOUNT_ATTR_NOEXEC = 8
MOUNT_ATTR__ATIME = 0x70
MOUNT_ATTR_RELATIME = 0
MOUNT_ATTR_NOATIME = 0x10
MOUNT_ATTR_STRICTATIME = 0x20
MOUNT_ATTR_NODIRATIME = 0x80
MOUNT_ATTR_IDMAP = 0x100000
MOUNT_ATTR_NOSYMFOLLOW = 0x200000
ATTRIBUTES = (
    (MS_RDONLY, MOUNT_ATTR_RDONLY),
    (MS_NOSUID, MOUNT_ATTR_NOSUID),
    (MS_NODEV, MOUNT_ATTR_NODEV),
    (MS_NOEXEC, MOUNT_ATTR_NOEXEC),
    (MS_NODIRATIME, MOUNT_ATTR_NODIRATIME),
    (MS_NOSYMFOLLOW, MOUNT_ATTR_NOSYMFOLLOW),
)
"""The flags of mount(2) that are attributes of a mount; those about access times exclude each other."""


class MountAttr(ctypes.Structure):
    """`struct mount_attr { __u64 attr_set, attr_clr, propagation, userns_fd; }` of mount_setattr(2)."""

    _fields_ = [
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    ]


_int, _uint, _ulong, _char_p, _void_p = (
    ctypes.c_int,
    ctypes.c_uint,
    ctypes.c_ulong,
    ctypes.c_char_p,
    ctypes.c_void_p,
)
_mount = libc("mount", _char_p, _char_p, _char_p, _ulong, _char_p, blocking=True)
_umount2 = libc("umount2", _char_p, _int, blocking=True)
_pivot_root = raw("pivot_root", _char_p, _char_p)
_open_tree = raw("open_tree", _int, _char_p, _uint)
_move_mount = raw("move_mount", _int, _char_p, _int, _char_p, _uint)
_fsopen = raw("fsopen", _char_p, _uint)
_fsconfig = raw("fsconfig", _int, _uint, _char_p, _char_p, _int, blocking=True)
_fsmount = raw("fsmount", _int, _uint, _uint)
_mount_setattr = raw("mount_setattr", _int, _char_p, _uint, ctypes.POINTER(MountAttr), ctypes.c_size_t)


def mount(
    source: bytes | None, target: bytes, type: bytes | None = None, flags: int = 0, data: bytes | None = None
) -> None:
    """mount(2)."""
    if _mount(source, target, type, flags, data) != 0:
        raise failure("mount", source or type or b"none", target)


def umount2(target: bytes, flags: int = 0) -> None:
    """umount2(2)."""
    if _umount2(target, flags) != 0:
        raise failure("umount2", target)


def pivot_root(new_root: bytes, put_old: bytes) -> None:
    """pivot_root(2)."""
    if _pivot_root(NUMBER["pivot_root"], new_root, put_old) != 0:
        raise failure("pivot_root", new_root, put_old)


def open_tree(directory: int, path: bytes, flags: int) -> int:
    """open_tree(2); with OPEN_TREE_CLONE the descriptor is a new, detached mount."""
    fd = _open_tree(NUMBER["open_tree"], directory, path, flags | OPEN_TREE_CLOEXEC)
    if fd < 0:
        raise failure("open_tree", path or directory)
    return fd


def move_mount(mount_fd: int, target_fd: int, target: bytes = b"") -> None:
    """Attach the detached mount `mount_fd` at `target` below `target_fd` (or on `target_fd` itself)."""
    flags = MOVE_MOUNT_F_EMPTY_PATH | (0 if target else MOVE_MOUNT_T_EMPTY_PATH)
    if _move_mount(NUMBER["move_mount"], mount_fd, b"", target_fd, target, flags) != 0:
        raise failure("move_mount", mount_fd, target or target_fd)


def fsopen(type: bytes) -> int:
    """fsopen(2): a context in which a file system of `type` is configured."""
    fd = _fsopen(NUMBER["fsopen"], type, FSOPEN_CLOEXEC)
    if fd < 0:
        raise failure("fsopen", type)
    return fd


def fsconfig(
    context: int, command: int, key: bytes | None = None, value: bytes | None = None, aux: int = 0
) -> None:
    """fsconfig(2); the kernel's own words, when it logged any to the context, are in the error."""
    if _fsconfig(NUMBER["fsconfig"], context, command, key, value, aux) != 0:
        error = failure("fsconfig", key or b"create", value or b"")
        message = _context_message(context)
        if message and error.errno is not None:
            error = OSError(error.errno, f"{error.strerror} ({message})", error.filename)
        raise error


def fsconfig_options(context: int, options: Iterable[bytes]) -> None:
    """fsconfig(2) for each of "key=value" or "key"."""
    for option in options:
        key, separator, value = option.partition(b"=")
        if separator:
            fsconfig(context, FSCONFIG_SET_STRING, key, value)
        else:
            fsconfig(context, FSCONFIG_SET_FLAG, key)


def fsmount(context: int, attributes: int = 0) -> int:
    """fsmount(2): the configured file system as a detached mount."""
    fd = _fsmount(NUMBER["fsmount"], context, FSMOUNT_CLOEXEC, attributes)
    if fd < 0:
        raise failure("fsmount", context)
    return fd


def mount_setattr(
    directory: int,
    path: bytes = b"",
    *,
    attr_set: int = 0,
    attr_clr: int = 0,
    propagation: int = 0,
    userns_fd: int = 0,
    recursive: bool = False,
) -> None:
    """mount_setattr(2) on `path` below `directory`, or on `directory` itself."""
    flags = (0 if path else AT_EMPTY_PATH) | (AT_RECURSIVE if recursive else 0)
    attributes = MountAttr(attr_set, attr_clr, propagation, userns_fd)
    if _mount_setattr(NUMBER["mount_setattr"], directory, path, flags, attributes, 32) != 0:
        raise failure("mount_setattr", path or directory)


def attributes_of(flags: int) -> int:
    """The `ATTRIBUTES` that stand for these flags of mount(2)."""
    return sum(attribute for flag, attribute in ATTRIBUTES if flags & flag)


def _context_message(context: int) -> str:
    """What the kernel logged to a file system context ("e overlay: ..."), without the severity."""
    from os import read

    try:
        return read(context, 4096).decode("utf-8", "replace")[2:].strip()
    except OSError:
        return ""
