"""Docker's port grammar: `-p`, `--expose`, and the maps of the API. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from corten.network.model import PortBinding


def parse_publish(spec: str) -> list[PortBinding]:
    """``[[ip:][host[-end]]:]container[-end][/proto]`` as bindings; raises InvalidArgument with Docker's words."""
    raise NotImplementedError


def parse_expose(spec: str) -> list[str]:
    """``80``, ``80-90/udp`` as keys of ExposedPorts."""
    raise NotImplementedError


def bindings_of(port_bindings: Mapping[str, Sequence[Any] | None]) -> tuple[PortBinding, ...]:
    """HostConfig.PortBindings (values have HostIp/HostPort, as dict or attributes host_ip/host_port) as bindings."""
    raise NotImplementedError


def publish_all(exposed: Sequence[str], bound: Sequence[PortBinding]) -> tuple[PortBinding, ...]:
    """-P: a random host port for each exposed port that has no binding yet."""
    raise NotImplementedError


def port_map(
    bindings: Sequence[PortBinding], exposed: Sequence[str] = ()
) -> dict[str, list[dict[str, str]] | None]:
    """NetworkSettings.Ports: ``{"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}], "81/tcp": None}``."""
    raise NotImplementedError
