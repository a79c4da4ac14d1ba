"""`image mount`: read-only views of images at paths of the host, written down before they are made.

A mount outlives the engine; a record without its mount (the machine went down, or the engine in between) is
forgotten when it is next looked at. An image that is mounted is in use.
"""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
from pathlib import Path

import msgspec

from corten.engine.core import Core
from corten.engine.store import execute
from corten.engine.timestamp import now
from corten.errors import Conflict, InvalidArgument, NotFound, Unsupported
from corten.image.model import ContainerUse
from corten.snapshot.image_mount import mount_image, mounted_at, unmount_image


class ImageMount(msgspec.Struct, rename="pascal", frozen=True):
    """One view. `created` in nanoseconds since 1970."""

    path: str
    image: str
    name: str
    created: int


class ImageMountRecords:
    """What is written down; those whose mount is gone are left out."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.execute(
            "CREATE TABLE IF NOT EXISTS image_mounts (path TEXT PRIMARY KEY, image TEXT NOT NULL, "
            "name TEXT NOT NULL, created INTEGER NOT NULL) WITHOUT ROWID"
        )
        rows = connection.execute("SELECT path, image, name, created FROM image_mounts")
        self._known = {row[0]: ImageMount(*row) for row in rows}

    def add(self, mount: ImageMount) -> None:
        execute(
            self._connection,
            "INSERT OR REPLACE INTO image_mounts VALUES (?,?,?,?)",
            (mount.path, mount.image, mount.name, mount.created),
        )
        self._known[mount.path] = mount

    def remove(self, path: str) -> None:
        execute(self._connection, "DELETE FROM image_mounts WHERE path = ?", (path,))
        self._known.pop(path, None)

    def all(self) -> list[ImageMount]:
        return sorted(self._known.values(), key=lambda mount: mount.path)

    def of_image(self, image_id: str) -> list[ContainerUse]:
        """As users of the image, for who wants to remove it."""
        return [ContainerUse(mount.path, True, mount=True) for mount in self.all() if mount.image == image_id]


class ImageMounts:
    """Makes and removes the views."""

    def __init__(self, core: Core, records: ImageMountRecords) -> None:
        self._core = core
        self._records = records
        self._lock = asyncio.Lock()

    def list(self) -> list[ImageMount]:
        """Those that are there; what is gone is forgotten."""
        there = mounted_at()
        for mount in self._records.all():
            if there.get(mount.path) != _source(mount.image):
                self._records.remove(mount.path)
        return self._records.all()

    async def mount(self, ref: str, path: str) -> ImageMount:
        """At an empty directory. Unsupported for an ordinary user's engine."""
        core = self._core
        if core.rootless:
            raise Unsupported(
                "an image can only be mounted by root's engine: an ordinary user's has a mount namespace of "
                "its own, where nobody else would see it; 'corten image browse' needs no mount"
            )
        image = core.images.resolve(ref)
        target = _directory(path, core.paths.root)
        async with self._lock:
            if any(mount.path == target for mount in self.list()):
                raise Conflict(f"an image is mounted at {target} already: unmount it first")
            if os.listdir(target):
                raise Conflict(f"cannot mount at {target}: the directory is not empty")
            mount = ImageMount(target, image.id, ref, now())
            with core.images.taking(image.id):
                self._records.add(mount)
            try:
                await asyncio.to_thread(self._make, image.id, target)
            except BaseException:
                self._records.remove(target)
                raise
        core.events.publish("image", "mount", image.id, {"name": ref, "path": target})
        return mount

    def _make(self, image_id: str, target: str) -> None:
        images = self._core.images
        lowers = images.lowers(images.of_container(image_id))
        mount_image(lowers, target, _source(image_id), self._core.paths.empty)

    async def unmount(self, path: str, *, force: bool = False) -> None:
        """NotFound; Conflict when somebody uses it, unless `force`."""
        target = os.path.realpath(path)
        async with self._lock:
            mount = next((mount for mount in self.list() if mount.path == target), None)
            if mount is None:
                raise NotFound(f"no image is mounted at {path}")
            try:
                await asyncio.to_thread(unmount_image, target, force=force)
            except OSError as error:
                if error.errno == errno.EBUSY:
                    raise Conflict(
                        f"cannot unmount {target}: a process uses it; end it, or say --force"
                    ) from error
                raise Conflict(f"cannot unmount {target}: {error.strerror}") from error
            self._records.remove(target)
        self._core.events.publish("image", "unmount", mount.image, {"name": mount.name, "path": target})


def _source(image_id: str) -> str:
    return f"corten:{image_id[7:19]}"


def _directory(path: str, root: Path) -> str:
    if not path.startswith("/"):
        raise InvalidArgument(f"cannot mount at {path!r}: the path must be absolute")
    target = os.path.realpath(path)
    if not os.path.isdir(target):
        raise NotFound(f"cannot mount at {path}: it is no directory; make it first")
    if Path(target).is_relative_to(root):
        raise InvalidArgument(f"cannot mount at {path}: that is the engine's own directory")
    return target
