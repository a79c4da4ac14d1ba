"""The engine's one entrance to the network: networks, addresses, links, published ports."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path

from corten.network.model import Endpoint, EndpointSettings, Network


class NetworkController:
    """Networks of one engine. Methods that touch the kernel are coroutines; the others answer from SQLite."""

    def __init__(self, connection: sqlite3.Connection, run_dir: Path, *, rootless: bool = False) -> None:
        raise NotImplementedError

    async def ensure_default(self) -> None:
        """Make the rows of `bridge`, `host` and `none` (no interface and no rule: these come with the first container)."""

    async def attach(self, container_id: str, pid: int, settings: EndpointSettings) -> Endpoint:
        """Connect the network namespace of process `pid` (held before its exec) and publish its ports.

        For `host` and `none` only the row is made (for `none`, `lo` is brought up). Raises Conflict (a port or
        address in use), NotFound (no such network), Unsupported (a missing tool or kernel feature); leaves
        nothing behind then.
        """
        raise NotImplementedError

    async def detach(self, container_id: str) -> None:
        """Take back everything of `attach`; also good when the container is dead, or was never attached."""

    async def recover(self, live: Mapping[str, int]) -> None:
        """At the engine's start: `live` maps running containers to the pid of their PID 1; all else is removed."""

    async def close(self, *, idle: bool) -> None:
        """Close sockets; with `idle` (no container runs) also remove the bridge and the firewall table."""

    def list(self) -> list[Network]:
        """All networks, default ones first."""
        raise NotImplementedError

    def get(self, name_or_id: str) -> Network:
        """By name, id or unique id prefix; raises NotFound."""
        raise NotImplementedError

    def endpoint(self, container_id: str) -> Endpoint | None:
        """The endpoint of a running container, or None."""
        raise NotImplementedError

    def endpoints(self, network_id: str) -> list[Endpoint]:
        """All endpoints of a network."""
        raise NotImplementedError

    async def create(self, name: str) -> Network:
        """User-defined networks are not there yet: raises Unsupported (or Conflict for a name in use)."""
        raise NotImplementedError

    async def remove(self, name_or_id: str) -> None:
        """Raises Denied for the default networks, as Docker does."""
        raise NotImplementedError

    async def prune(self) -> list[str]:
        """Names of the removed unused networks (the default ones are never removed)."""
        raise NotImplementedError
