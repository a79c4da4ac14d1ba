"""The root file system, in the child: overlay or directory, and the change of root."""

from __future__ import annotations

import os

from corten.errors import StartError
from corten.linux import mount as m
from corten.linux.openat2 import O_PATH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.runtime.execute_child import Child

_PAGE = 4000  # mount(2) takes one page of options


_PROPAGATION = {
    "private": m.MS_PRIVATE,
    "slave": m.MS_SLAVE,
    "shared": m.MS_SHARED,
    "unbindable": m.MS_UNBINDABLE,
}


def propagation(child: Child) -> None:
    """Before anything is mounted: no mount made here shows on the host, none of the host's here.

    Mounts that are to share with the host were cloned by the parent before.
    """
    m.mount(None, b"/", None, m.MS_PRIVATE | m.MS_REC, None)


def directory(child: Child, path: bytes, slot: int) -> None:
    """Make a mount of the bundle's root directory; `slot` has it when the parent opened it."""
    if slot >= 0:
        child.root = child.slots[slot]
        m.move_mount(child.root, m.AT_FDCWD, b"/")
        return
    m.mount(path, path, None, m.MS_BIND | m.MS_REC, None)
    child.root = os.open(path, O_PATH | os.O_CLOEXEC | os.O_DIRECTORY)


def overlay(
    child: Child,
    layers: tuple[bytes | tuple[bytes, int], ...],
    options: tuple[bytes, ...],
    mountpoint: bytes,
) -> None:
    """Mount the overlay that becomes the root, at `mountpoint`."""
    child.root = mount_overlay(child, layers, options, mountpoint)


def mount_overlay(
    child: Child,
    layers: tuple[bytes | tuple[bytes, int], ...],
    options: tuple[bytes, ...],
    mountpoint: bytes,
) -> int:
    """Mount an overlay; its root directory. `options` are "key=value" or "key". Layers go in one by one
    (Linux 6.7).

    A layer is a directory, or (mount point, slot) of an EROFS image that the parent has opened.
    """
    lowers = tuple([layer if isinstance(layer, bytes) else _attach_layer(child, *layer) for layer in layers])
    try:
        fd = _overlay_by_context(lowers, options)
    except OSError as error:
        # Linux 6.5 does not know the key; before, overlay takes any key, and refuses the text they make.
        if error.errno != 22:
            raise
        fd = -1
    if fd < 0:
        _overlay_classic(lowers, options, mountpoint)
        return os.open(mountpoint, O_PATH | os.O_CLOEXEC | os.O_DIRECTORY)
    target = os.open(mountpoint, O_PATH | os.O_CLOEXEC | os.O_DIRECTORY)
    m.move_mount(fd, target)
    os.close(target)
    return fd


def _attach_layer(child: Child, mountpoint: bytes, slot: int) -> bytes:
    target = os.open(mountpoint, O_PATH | os.O_CLOEXEC | os.O_DIRECTORY)
    m.move_mount(child.slots[slot], target)
    os.close(target)
    return mountpoint


def _overlay_by_context(lowers: tuple[bytes, ...], options: tuple[bytes, ...]) -> int:
    context = m.fsopen(b"overlay")
    m.fsconfig(context, m.FSCONFIG_SET_STRING, b"source", b"overlay")
    for lower in lowers:
        m.fsconfig(context, m.FSCONFIG_SET_STRING, b"lowerdir+", lower)
    m.fsconfig_options(context, options)
    m.fsconfig(context, m.FSCONFIG_CMD_CREATE)
    fd = m.fsmount(context)
    os.close(context)
    return fd


def _overlay_classic(lowers: tuple[bytes, ...], options: tuple[bytes, ...], mountpoint: bytes) -> None:
    """Before Linux 6.7: one page of text. Names relative to the layers' common directory make it fit."""
    base = os.path.commonpath(lowers) if len(lowers) > 1 else os.path.dirname(lowers[0])
    names = [os.path.relpath(lower, base) for lower in lowers]
    escaped = b":".join(
        name.replace(b"\\", b"\\\\").replace(b":", b"\\:").replace(b",", b"\\,") for name in names
    )
    data = b",".join([b"lowerdir=" + escaped, *options])
    if len(data) > _PAGE:
        raise StartError(
            f"cannot mount an overlay of {len(lowers)} layers: their names take {len(data)} bytes and this "
            "kernel takes one page; Linux 6.7 has no such limit"
        )
    before = os.open(b".", O_PATH | os.O_CLOEXEC)
    os.chdir(base)
    m.mount(b"overlay", mountpoint, b"overlay", 0, data)
    os.fchdir(before)
    os.close(before)


def readonly(child: Child) -> None:
    """Make the root mount read-only, when everything below it is in place."""
    m.mount_setattr(child.root, attr_set=m.MOUNT_ATTR_RDONLY)


def root_propagation(child: Child, name: str) -> None:
    """Give the root mount the propagation that the specification asks for."""
    recursive = name.startswith("r")
    if name.removeprefix("r") not in _PROPAGATION:
        raise StartError(
            f"there is no rootfsPropagation {name!r}: it must be private, slave, shared or unbindable"
        )
    m.mount_setattr(child.root, propagation=_PROPAGATION[name.removeprefix("r")], recursive=recursive)


def pivot(child: Child) -> None:
    """Make the root mount the root, and detach the old one with all that is below it."""
    os.fchdir(child.root)
    m.pivot_root(b".", b".")
    m.umount2(b".", m.MNT_DETACH)
    os.chdir(b"/")


def change_root(child: Child, path: bytes) -> None:
    """Without a mount namespace of its own: chroot."""
    os.chdir(path)
    os.chroot(b".")


def move_root(child: Child) -> None:
    """Where pivot_root is impossible (the host's root is the initramfs): move the mount over / and chroot."""
    os.fchdir(child.root)
    m.mount(b"/proc/self/fd/%d" % child.root, b"/", None, m.MS_MOVE, None)
    os.chroot(b".")
    os.chdir(b"/")
