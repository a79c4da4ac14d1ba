"""The engine: owns containers, images, networks and volumes of one data directory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from corten.engine.paths import Paths

if TYPE_CHECKING:
    from corten.engine.containers import ContainerService
    from corten.engine.events import EventBus
    from corten.engine.execs import ExecService
    from corten.engine.images import ImageService
    from corten.engine.networks import NetworkService
    from corten.engine.system import SystemService
    from corten.engine.volumes import VolumeService
    from corten.launch.client import Launcher


class Engine:
    """One engine. Its facets are attributes; `close` leaves containers running."""

    paths: Paths
    containers: ContainerService
    execs: ExecService
    images: ImageService
    volumes: VolumeService
    networks: NetworkService
    events: EventBus
    system: SystemService

    @classmethod
    async def start(cls, paths: Paths, *, launcher: Launcher | None = None) -> Engine:
        """Takes the lock, opens the database, finds what runs, and finishes what a dead engine left half-done.

        `launcher`: one that was started already (before heavy imports); the engine closes it at its end.
        Conflict when another engine has the same directories.
        """
        raise NotImplementedError

    async def close(self) -> None:
        """Lets go of everything; containers keep running."""
        raise NotImplementedError
