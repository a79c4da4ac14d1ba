"""A read-only view of an image's layers at a path of the host."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from corten.errors import Unsupported
from corten.linux import mount as m
from corten.linux.erofs import open_image
from corten.runtime.lower import private_mounts

_ALL_USERS = ["0", "0", "4294967295"]  # not in a user namespace, where overlay's marks are others
ATTRIBUTES = m.MOUNT_ATTR_RDONLY | m.MOUNT_ATTR_NOSUID | m.MOUNT_ATTR_NODEV


def mount_image(lowers: Sequence[str], target: str, source: str, empty: Path) -> None:
    """Mounts `lowers` (topmost first) at the directory `target`; `source` is what mount(8) shows. Set-user-id
    bits and devices have no effect there. `empty` is an empty directory, which stays: an overlay has two
    layers at least. Unsupported."""
    try:
        fd = detached_image(lowers, source, empty)
        try:
            target_fd = os.open(target, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                m.move_mount(fd, target_fd)
            finally:
                os.close(target_fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise Unsupported(f"cannot mount the image at {target}: {error}") from error


def detached_image(lowers: Sequence[str], source: str, empty: Path) -> int:
    """The descriptor of a mount as `mount_image` makes it, which is attached nowhere. OSError."""
    empty.mkdir(exist_ok=True, mode=0o700)
    mounted: list[str] = []
    try:
        layers = []
        for lower, (point, image, device) in zip(lowers, private_mounts(lowers), strict=True):
            layers.append(point or str(lower))
            if point:
                mounted.append(_mount_layer(point, image, device))
        return _overlay([*layers, str(empty)], source)
    finally:
        for point in mounted:  # the overlay has clones of them
            m.umount2(os.fsencode(point), m.MNT_DETACH)


def unmount_image(target: str, *, force: bool) -> None:
    """OSError, EBUSY for one that somebody uses; with `force` it goes when the last user does."""
    m.umount2(os.fsencode(target), m.UMOUNT_NOFOLLOW | (m.MNT_DETACH if force else 0))


def mounted_at() -> dict[str, str]:
    """The source of what is mounted in this mount namespace, by mount point; the uppermost of several."""
    found = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split(" ")
        found[_plain(fields[4])] = _plain(fields[fields.index("-") + 2])
    return found


def _plain(text: str) -> str:
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, char)
    return text


def _mount_layer(point: str, image: str, device: str) -> str:
    fd = open_image(os.fsencode(image), os.fsencode(device))
    target = os.open(point, os.O_PATH | os.O_CLOEXEC | os.O_DIRECTORY)
    try:
        m.move_mount(fd, target)
    finally:
        os.close(target)
        os.close(fd)
    return point


def _overlay(layers: Sequence[str], source: str) -> int:
    context = m.fsopen(b"overlay")
    try:
        m.fsconfig(context, m.FSCONFIG_SET_STRING, b"source", os.fsencode(source))
        for layer in layers:
            m.fsconfig(context, m.FSCONFIG_SET_STRING, b"lowerdir+", os.fsencode(layer))
        if Path("/proc/self/uid_map").read_text().split() != _ALL_USERS:
            m.fsconfig(context, m.FSCONFIG_SET_FLAG, b"userxattr")
        m.fsconfig(context, m.FSCONFIG_CMD_CREATE)
        return m.fsmount(context, ATTRIBUTES)
    finally:
        os.close(context)
