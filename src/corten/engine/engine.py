"""The engine: owns containers, images, networks and volumes of one data directory."""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import sqlite3
import time
from collections.abc import Sequence

from corten.build.solve.keeping import kept_by_records
from corten.content import ContentStore
from corten.engine import rootless
from corten.engine.builds import BuildService
from corten.engine.catalog import Catalog
from corten.engine.cgroups import remove_parent
from corten.engine.containers import ContainerService
from corten.engine.core import Core
from corten.engine.disk_budget import DiskBudget, configured_limit
from corten.engine.events import EventBus
from corten.engine.execs import ExecService
from corten.engine.health import Health
from corten.engine.image_mounts import ImageMountRecords, ImageMounts
from corten.engine.images import ImageService
from corten.engine.launching import Launching
from corten.engine.lifecycle import Lifecycle
from corten.engine.networks import NetworkService
from corten.engine.paths import Paths
from corten.engine.recovery import Recovery
from corten.engine.removal import Removal
from corten.engine.snapshots import open_snapshotter
from corten.engine.spare_directory import SpareDirectory
from corten.engine.store import open_database
from corten.engine.system import SystemService
from corten.engine.trash import Trash
from corten.engine.volumes import VolumeService
from corten.errors import Conflict
from corten.image.model import ContainerUse
from corten.image.store import ImageStore
from corten.launch.client import Launcher
from corten.network.controller import NetworkController
from corten.runtime.cgroup.layout import detect
from corten.volume.store import VolumeStore


class Engine:
    """One engine. Its facets are attributes; `close` leaves containers running."""

    def __init__(self, core: Core, lock: list[int]) -> None:
        """Use `start`."""
        self._core = core
        self._locks = lock
        self.paths = core.paths
        self.events = core.events
        launching = Launching(core)
        self._health = Health(core)
        self._lifecycle = Lifecycle(core, launching, self._health)
        removal = Removal(core, self._lifecycle)
        self.execs = ExecService(core, launching)
        self._health.run = self.execs.run_check
        removal.forget_execs = self.execs.forget
        self.containers = ContainerService(core, launching, self._lifecycle, removal)
        self.images = ImageService(core)
        self.volumes = VolumeService(core)
        self.networks = NetworkService(core)
        self.builds = BuildService(core)
        self.system = SystemService(core, self.containers, self.images, self.volumes, self.builds)
        self.system.fsck.repaired = launching.forget_layers
        self.images.removed = launching.forget_images
        self.image_mounts = ImageMounts(core, core.image_mounts)
        self.image_mounts.list()  # forgets those that are gone
        self.disk_budget = DiskBudget(core, configured_limit())

    @classmethod
    async def start(cls, paths: Paths, *, launcher: Launcher | None = None) -> Engine:
        """Takes the lock, opens the database, finds what runs, finishes what a dead engine left half-done.

        `launcher`: one that was started already (before heavy imports); the engine closes it at its end.
        Conflict when another engine has the same directories.
        """
        paths.make()
        lock = take_lock(paths)
        connection: sqlite3.Connection | None = None
        try:
            connection = open_database(paths.database)
            own_launcher = launcher or await Launcher.start(run_dir=paths.run)
            try:
                core = _core(paths, connection, own_launcher)
                core.catalog.load()
                engine = cls(core, lock)
                recovery = Recovery(core, engine._lifecycle)
                await recovery.run()
                engine.images.removed()
                await engine.builds.recover()
                core.spare_directory.fill()
                recovery.begin_restarts()
                engine.disk_budget.begin()
            except BaseException:
                if launcher is None:
                    await own_launcher.close()
                raise
        except BaseException:
            if connection is not None:
                connection.close()
            for descriptor in lock:
                os.close(descriptor)
            raise
        return engine

    async def close(self) -> None:
        """Lets go of everything; containers keep running."""
        core = self._core
        core.closing = True
        await self.disk_budget.close()
        await self.builds.close()
        tasks = []
        for container in core.catalog:
            self._health.end(container)
            for task in (container.supervisor, container.restart_task):
                if task is not None:
                    task.cancel()
                    tasks.append(task)
            for client in container.pending:
                client.drop()
        await asyncio.gather(*tasks, return_exceptions=True)
        running = False
        for container in core.catalog:
            if container.monitor is not None:
                running = True
                container.monitor.close()
                container.monitor = None
        self.execs.close()
        await core.network.close(idle=not running)
        await core.launcher.close()
        if not running:
            remove_parent(core)
        core.spare_directory.close()
        await core.trash.close()
        await core.run_trash.close()
        core.images.close()
        core.connection.close()
        self.paths.pid.unlink(missing_ok=True)
        for descriptor in self._locks:
            os.close(descriptor)


def _locks(descriptor: int) -> bool:
    """Who looks whether a lock is free (`autostart.is_free`) has it for a moment."""
    for _ in range(50):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(0.002)
    return False


def take_lock(paths: Paths) -> list[int]:
    """Locks both directories, for as long as the descriptors live; Conflict when another engine has them.

    The run directory's last: the kernel closes what has ended in this order, so that who finds that one free
    finds both.
    """
    held: list[int] = []
    for path in (paths.root / "engine.lock", paths.lock):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not _locks(descriptor):
            for other in (descriptor, *held):
                os.close(other)
            raise Conflict(
                f"another engine is using {path.parent}: stop it first, or set CORTEN_ROOT and CORTEN_RUN "
                "to directories of its own"
            ) from None
        held.append(descriptor)
    paths.pid.write_text(f"{os.getpid()}\n", encoding="ascii")
    return held


class _ContainerUsers:
    """Tells the image store which containers use an image."""

    def __init__(self, catalog: Catalog, mounts: ImageMountRecords) -> None:
        self._catalog = catalog
        self._mounts = mounts

    def of_image(self, image_id: str) -> Sequence[ContainerUse]:
        return [
            ContainerUse(container.id, container.state.status.has_process)
            for container in self._catalog
            if container.definition.image_id == image_id
            or any(
                mount.type == "image" and mount.image_id == image_id for mount in container.definition.mounts
            )
        ] + self._mounts.of_image(image_id)


def _core(paths: Paths, connection: sqlite3.Connection, launcher: Launcher) -> Core:
    catalog = Catalog(connection)
    mounts = ImageMountRecords(connection)
    is_rootless = rootless.is_rootless()
    images = ImageStore(
        connection,
        ContentStore(paths.content),
        open_snapshotter(paths.snapshots),
        users=_ContainerUsers(catalog, mounts),
    )
    images.registrar.keepers.append(lambda: kept_by_records(paths.build / "cache.db"))
    return Core(
        paths=paths,
        connection=connection,
        catalog=catalog,
        image_mounts=mounts,
        events=EventBus(),
        launcher=launcher,
        images=images,
        volumes=VolumeStore(connection, paths.volumes, paths.trash),
        network=NetworkController(connection, paths.run, rootless=is_rootless),
        spare_directory=SpareDirectory(paths.spare_directory),
        trash=Trash(paths.trash),
        run_trash=Trash(paths.run_trash),
        layout=detect(),
        host_name=socket.gethostname(),
        rootless=is_rootless,
        cgroup_parent="corten" if is_rootless else "/corten",
    )
