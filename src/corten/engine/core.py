"""What the engine's parts work on together: stores, launcher, network, events. Passed in, never global."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING

from corten.engine.catalog import Catalog
from corten.engine.events import EventBus
from corten.engine.paths import Paths
from corten.engine.record import Container
from corten.engine.spare_directory import SpareDirectory
from corten.engine.trash import Trash
from corten.image.store import ImageStore
from corten.launch.client import Launcher
from corten.network.controller import NetworkController
from corten.runtime.cgroup.layout import Layout
from corten.volume.store import VolumeStore

if TYPE_CHECKING:
    from corten.engine.image_mounts import ImageMountRecords


@dataclass(slots=True, kw_only=True)
class Core:
    """One per engine. `cgroup_parent` is where containers' cgroups are made ("/corten")."""

    paths: Paths
    connection: sqlite3.Connection
    catalog: Catalog
    image_mounts: ImageMountRecords
    events: EventBus
    launcher: Launcher
    images: ImageStore
    volumes: VolumeStore
    network: NetworkController
    spare_directory: SpareDirectory
    trash: Trash
    run_trash: Trash
    layout: Layout
    host_name: str
    rootless: bool = False
    cgroup_parent: str = "/corten"
    closing: bool = False

    def cgroup_path(self, container: Container) -> str:
        """The cgroup of a container, for `compile_cgroup` and `Cgroup`."""
        parent = container.host_config.cgroup_parent or self.cgroup_parent
        return f"{parent}/{container.id}"

    def publish(self, container: Container, action: str, **attributes: str) -> None:
        """An event about a container."""
        self.events.publish("container", action, container.id, container.event_attributes(**attributes))
