"""The daemon's whole table of routes."""

from __future__ import annotations

from corten.daemon import (
    absent,
    archive,
    build,
    container_streams,
    containers,
    events,
    execs,
    extension,
    image_transfer,
    images,
    networks,
    system,
    volumes,
)
from corten.daemon.routing import Router

ROUTER = Router(
    containers.routes,
    container_streams.routes,
    archive.routes,
    execs.routes,
    images.routes,
    build.routes,
    image_transfer.routes,
    volumes.routes,
    networks.routes,
    events.routes,
    system.routes,
    extension.routes,
    absent.routes,
)
