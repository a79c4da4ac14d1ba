"""The mounts of EROFS layers: each layer's once in an engine's life, detached, held by a descriptor.

A mount of a file makes a new superblock, with inodes and a page cache of its own. Were each container to
mount its layers for itself, it would read them from disk and keep them in memory for itself; and a start
would pay 0.15 ms for each layer. So the engine mounts a layer when it is first used, and everybody else
finds the tree at /proc/<engine>/fd/<number>/.: overlay takes its lower directories from there since Linux
6.15. No mount namespace shows these mounts, and they end with the engine and the containers that use them.

Before 6.15, overlay takes mounts of the caller's mount namespace only: whoever makes an overlay then mounts
the layers for itself (`runtime.lower`), and the engine's mount is only looked at. With loop devices these
mounts share a superblock nevertheless, because they have the same device.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

from corten.errors import CortenError
from corten.linux.erofs import open_image
from corten.linux.loop import attach
from corten.runtime.lower import Lower
from corten.snapshot.erofs.support import DETACHED, LOOP, Support

_TOMBSTONES = 1024


class LayerMounts:
    """Thread-safe. A number is not used for another layer soon after its layer has been let go."""

    def __init__(self, support: Support) -> None:
        self._support = support
        self._lock = threading.Lock()
        self._held: dict[str, tuple[int, str]] = {}
        self._gone: list[int] = []

    def path(self, name: str, directory: Path) -> str:
        """Where the layer `name`, whose image is in `directory`, can be found."""
        with self._lock:
            held = self._held.get(name)
            if held is None:
                held = self._held[name] = self._mount(directory)
        return held[1]

    def release(self, name: str) -> None:
        """Lets go of a layer; overlays that are mounted keep it."""
        with self._lock:
            held = self._held.pop(name, None)
            if held is None:
                return
            # Whoever still knows the path must not find another layer there.
            null = os.open("/dev/null", os.O_PATH | os.O_CLOEXEC)
            os.dup2(null, held[0], inheritable=False)
            os.close(null)
            self._gone.append(held[0])
            while len(self._gone) > _TOMBSTONES:
                os.close(self._gone.pop(0))

    def close(self) -> None:
        """Lets go of all."""
        with self._lock:
            for fd, _path in self._held.values():
                os.close(fd)
            for fd in self._gone:
                os.close(fd)
            self._held.clear()
            self._gone.clear()

    def __del__(self) -> None:
        self.close()

    def _mount(self, directory: Path) -> tuple[int, str]:
        image = directory / IMAGE
        data = directory / DATA
        source, device = str(image), str(data) if data.exists() else ""
        devices: list[int] = []
        try:
            if self._support.method == LOOP:
                source = _loop(image, devices)
                device = _loop(data, devices) if device else ""
            # What is read would be cached twice: for the mount, and for the file below it. Contents that
            # stand in a tar are not aligned for direct reads.
            direct = self._support.method == DETACHED and not device
            fd = open_image(os.fsencode(source), os.fsencode(device), direct=direct)
        except OSError as error:
            raise CortenError(f"cannot mount the layer in {directory}: {error}") from error
        finally:
            for opened in devices:
                os.close(opened)
        # With the dot, lstat(2) finds the directory, not the link that leads to it.
        path = f"/proc/{os.getpid()}/fd/{fd}/."
        if self._support.method == DETACHED:
            return fd, path
        lower = Lower(path)
        lower.mount = (str(directory / MOUNT_POINT), source, device)
        return fd, lower


def _loop(path: Path, devices: list[int]) -> str:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        name, device = attach(file)
    finally:
        os.close(file)
    devices.append(device)
    return name


IMAGE = "layer.erofs"
DATA = "layer.tar"
MOUNT_POINT = "mnt"
