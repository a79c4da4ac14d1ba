"""Mounts that no specification can name, in the child: see `runtime.plan_provided`."""

from __future__ import annotations

import os

from corten.linux import mount as m
from corten.linux.openat2 import O_PATH
from corten.runtime.execute_mounts import attach
from corten.runtime.execute_paths import resolve
from corten.runtime.execute_root import mount_overlay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.runtime.execute_child import Child

_EINVAL = 22
_PAGE = 4096


def layers(
    child: Child,
    target: bytes,
    lowers: tuple[bytes | tuple[bytes, int], ...],
    options: tuple[bytes, ...],
    part: bytes,
    scratch: bytes,
) -> None:
    """Mount an overlay on `scratch`, and from there a part of it at `target`: a detached mount cannot be
    cloned in part before Linux 6.15. Nobody but this process sees it there."""
    top = mount_overlay(child, lowers, options, scratch)
    try:
        found = resolve(top, part)
    finally:
        os.close(top)
    _move(
        child, found, target, 0 if any(o.startswith(b"upperdir=") for o in options) else m.MOUNT_ATTR_RDONLY
    )
    m.umount2(scratch, m.MNT_DETACH)


def file(
    child: Child,
    target: bytes,
    content: bytes,
    owner: tuple[int, int, int],
    attributes: int,
    scratch: bytes,
) -> None:
    """A file in a tmpfs of its own, which is never written to a disk where the kernel can be told so."""
    top = _memory(len(content))
    place = os.open(scratch, O_PATH | os.O_CLOEXEC | os.O_DIRECTORY)
    m.move_mount(top, place)
    os.close(place)
    mode, uid, gid = owner
    fd = os.open(b"file", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=top)
    os.close(top)
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]
    os.fchown(fd, uid, gid)
    os.fchmod(fd, mode)
    _move(child, fd, target, attributes)
    m.umount2(scratch, m.MNT_DETACH)


def _move(child: Child, fd: int, target: bytes, attributes: int) -> None:
    """Attach a clone of the mount at `fd`, which is closed here."""
    tree = m.open_tree(fd, b"", m.OPEN_TREE_CLONE | m.AT_EMPTY_PATH)
    os.close(fd)
    if attributes:
        m.mount_setattr(tree, attr_set=attributes)
    attach(child, tree, target, None)
    os.close(tree)


def _memory(size: int) -> int:
    pages = size // _PAGE + 4
    options = ((b"size", b"%d" % (pages * _PAGE)), (b"nr_inodes", b"4"), (b"mode", b"0700"))
    try:
        return _tmpfs(options, noswap=True)
    except OSError as error:  # Linux 6.3, and user namespaces, do not have it
        if error.errno not in (_EINVAL, 1):
            raise
        return _tmpfs(options, noswap=False)


def _tmpfs(options: tuple[tuple[bytes, bytes], ...], *, noswap: bool) -> int:
    context = m.fsopen(b"tmpfs")
    try:
        for key, value in options:
            m.fsconfig(context, m.FSCONFIG_SET_STRING, key, value)
        if noswap:
            m.fsconfig(context, m.FSCONFIG_SET_FLAG, b"noswap")
        m.fsconfig(context, m.FSCONFIG_CMD_CREATE)
        return m.fsmount(context, m.MOUNT_ATTR_NOSUID | m.MOUNT_ATTR_NODEV)
    finally:
        os.close(context)
