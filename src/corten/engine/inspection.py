"""What `docker inspect` shows of a container."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from corten.api.container import (
    ContainerInspect,
    ContainerState,
    GraphDriver,
    Health,
    MountPoint,
    NetworkSettings,
    Port,
    PortMapping,
)
from corten.api.network import EndpointSettings
from corten.engine.core import Core
from corten.engine.launching import Launching, log_path
from corten.engine.record import Container, MountRecord
from corten.engine.spec.build import hostname_of
from corten.engine.state import Status
from corten.engine.timestamp import rfc3339
from corten.errors import CortenError
from corten.network.model import Endpoint
from corten.network.ports import port_map
from corten.volume.usage import disk_usage


class Inspection:
    """Looks at one container."""

    def __init__(self, core: Core, launching: Launching) -> None:
        self._core = core
        self._launching = launching

    async def inspect(self, container: Container, *, size: bool) -> ContainerInspect:
        core, definition = self._core, container.definition
        directory = core.paths.container(container.id)
        files = directory
        if container.host_config.network_mode.startswith("container:"):
            files = core.paths.container(container.host_config.network_mode.removeprefix("container:"))
        result = ContainerInspect(
            id=container.id,
            created=rfc3339(container.created),
            path=definition.path,
            args=definition.args,
            state=state_of(container),
            image=definition.image_id,
            resolv_conf_path=str(files / "resolv.conf"),
            hostname_path=str(files / "hostname"),
            hosts_path=str(files / "hosts"),
            log_path=""
            if container.host_config.log_config.type == "none"
            else str(log_path(core, container)),
            name="/" + container.name,
            restart_count=container.state.restart_count,
            exec_ids=list(container.execs) or None,
            host_config=container.host_config,
            graph_driver=GraphDriver(name="overlay2", data=self._graph(container)),
            mounts=mount_points(core, container),
            config=self._config(container),
            network_settings=network_settings(core, container),
        )
        if size:
            result.size_rw, result.size_root_fs = await self.sizes(container)
        return result

    async def sizes(self, container: Container) -> tuple[int, int]:
        """Bytes of the writable layer, and of it together with the image."""
        own = await asyncio.to_thread(disk_usage, self._core.paths.container(container.id) / "upper")
        try:
            image = self._core.images.of_container(container.definition.image_id).size
        except CortenError:
            image = 0
        return own, own + image

    def _graph(self, container: Container) -> dict[str, str]:
        directory = self._core.paths.container(container.id)
        try:
            lowers = ":".join(self._launching.lowers(container))
        except CortenError:
            lowers = ""
        return {
            "LowerDir": lowers,
            "MergedDir": str(directory / "merged"),
            "UpperDir": str(directory / "upper"),
            "WorkDir": str(directory / "work"),
        }

    def _config(self, container: Container) -> Any:
        config = container.config
        hostname = config.hostname
        if not container.host_config.network_mode.startswith("container:"):
            hostname = hostname_of(container, self._core.host_name)
        return msgspec.structs.replace(config, hostname=hostname, env=config.env or [])


def state_of(container: Container) -> ContainerState:
    state = container.state
    status = state.status
    result = ContainerState(
        status=status.value,
        running=status.has_process or status is Status.RESTARTING,
        paused=status is Status.PAUSED,
        restarting=status is Status.RESTARTING,
        oom_killed=state.oom_killed,
        dead=status is Status.DEAD,
        pid=state.pid,
        exit_code=state.exit_code,
        error=state.error,
        started_at=rfc3339(state.started_at),
        finished_at=rfc3339(state.finished_at),
    )
    if state.health is not None:
        health = state.health
        result.health = Health(status=health.status, failing_streak=health.failing_streak, log=health.log)
    return result


def mount_points(core: Core, container: Container) -> list[MountPoint]:
    """The mounts that inspect and ps show (all but --tmpfs)."""
    return [_mount_point(core, mount) for mount in container.definition.mounts if mount.origin != "tmpfs"]


def _mount_point(core: Core, mount: MountRecord) -> MountPoint:
    result = MountPoint(
        type=mount.type,
        source=mount.source,
        destination=mount.destination,
        mode=mount.mode,
        rw=mount.rw,
        propagation=mount.propagation,
    )
    if mount.type == "volume":
        result.name, result.driver = mount.name, mount.driver
        volume = core.volumes.find(mount.name)
        if volume is not None:
            result.source = str(core.volumes.mountpoint(volume))
    return result


def network_settings(core: Core, container: Container) -> NetworkSettings:
    mode = container.host_config.network_mode
    if mode.startswith("container:"):
        return NetworkSettings()
    endpoint = core.network.endpoint(container.id)
    exposed = list(container.config.exposed_ports or ())
    result = NetworkSettings(networks=endpoints_of(core, container))
    if container.state.status.has_process:
        result.sandbox_id = container.id
        result.sandbox_key = f"/proc/{container.state.pid}/ns/net"
        bindings = endpoint.ports if endpoint else ()
        result.ports = {
            key: None
            if bound is None
            else [PortMapping(host_ip=b["HostIp"], host_port=b["HostPort"]) for b in bound]
            for key, bound in port_map(bindings, exposed).items()
        }
    if endpoint is not None and mode == "bridge":
        result.endpoint_id = endpoint.endpoint_id
        result.gateway = endpoint.gateway
        result.ip_address = endpoint.address
        result.ip_prefix_len = endpoint.prefix
        result.mac_address = endpoint.mac_address
    return result


def endpoints_of(core: Core, container: Container) -> dict[str, EndpointSettings]:
    """Network name → how the container is connected to it."""
    mode = container.host_config.network_mode
    if mode.startswith("container:"):
        return {}
    try:
        network = core.network.get(mode)
    except CortenError:
        return {}
    asked = container.definition.endpoints.get(mode) or container.definition.endpoints.get("default")
    settings = EndpointSettings(network_id=network.id)
    if asked is not None:
        settings = msgspec.structs.replace(asked, network_id=network.id)
    endpoint = core.network.endpoint(container.id)
    if endpoint is not None:
        _fill(settings, endpoint)
    return {network.name: settings}


def _fill(settings: EndpointSettings, endpoint: Endpoint) -> None:
    settings.endpoint_id = endpoint.endpoint_id
    settings.gateway = endpoint.gateway
    settings.ip_address = endpoint.address
    settings.ip_prefix_len = endpoint.prefix
    settings.mac_address = endpoint.mac_address


def ports_of(core: Core, container: Container) -> list[Port]:
    """The ports of a running container as ps lists them."""
    if not container.state.status.has_process:
        return []
    endpoint = core.network.endpoint(container.id)
    result: list[Port] = []
    published = set()
    for binding in endpoint.ports if endpoint else ():
        published.add(binding.key)
        result.append(
            Port(
                ip=binding.host_ip or "0.0.0.0",
                private_port=binding.container_port,
                public_port=binding.host_port,
                type=binding.protocol,
            )
        )
    for key in container.config.exposed_ports or ():
        port, _, protocol = key.partition("/")
        if key not in published and port.isdigit():
            result.append(Port(private_port=int(port), type=protocol or "tcp"))
    return result
