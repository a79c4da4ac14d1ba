"""From a container's record to a running process: spec, plan, launch, network."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corten.api.host_config import HostConfig
from corten.engine.core import Core
from corten.engine.mount_points import MountPoints
from corten.engine.record import Container
from corten.engine.spec.build import Surroundings, build_spec, hostname_of, later_mounts
from corten.engine.spec.validate import log_limits
from corten.errors import Conflict, CortenError, NotFound
from corten.launch.client import LaunchRequest, Monitor
from corten.network.files import host_mark, hostname_file, hosts_file, resolv_conf
from corten.network.model import EndpointSettings
from corten.network.ports import bindings_of, publish_all
from corten.runtime.cgroup.compile import compile_cgroup, usual_directories
from corten.runtime.plan import Overlay, Plan, compile_plan

if TYPE_CHECKING:
    from corten.api.host_config import HostConfig
    from corten.oci.runtime_spec import Spec

_ABANDON_SECONDS = 5.0


class Launching:
    """Builds specs and plans, and brings their processes up."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._lowers: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._mount_points = MountPoints(core.paths.mount_points)
        self._resolv: dict[tuple[object, ...], str] = {}
        self._resolv_mark: object = None

    def spec(self, container: Container) -> Spec:
        """The container's runtime specification, for surroundings as they are now."""
        return build_spec(container, self._surroundings(container), host_name=self._core.host_name)

    async def launch(self, container: Container) -> Monitor:
        """Starts the process of `container`; returns when it has exec'ed.

        Raises StartError and the like; nothing of the attempt stays then.
        """
        core = self._core
        core.images.uses.now(container.definition.image_id)
        directory = core.paths.container(container.id)
        needs_network = needs_endpoint(container)
        # The monitor gets ready, on another processor, while the plan is worked out.
        monitor = await self._send(container, hold=needs_network)
        try:
            plan = self._plan(container, directory, hold=needs_network)
        except BaseException:
            await monitor.withdraw()
            raise
        monitor.give(plan)
        try:
            if needs_network:
                pid = await monitor.created()
                try:
                    await self._connect(container, pid, directory)
                except (FileNotFoundError, ProcessLookupError):
                    # Its process died while it set itself up: the monitor knows why.
                    await monitor.start()
                    raise
            await monitor.start()
        except BaseException:
            if needs_network:
                await _abandon(monitor)
                await core.network.detach(container.id)
            monitor.close()
            raise
        return monitor

    def _plan(self, container: Container, directory: Path, *, hold: bool) -> Plan:
        around = self._surroundings(container)
        spec = build_spec(container, around, host_name=self._core.host_name)
        container.spec = spec
        return compile_plan(
            spec,
            root=Overlay(
                lowers=self.lowers(container),
                upper=f"{directory}/upper",
                work=f"{directory}/work",
                volatile=is_volatile(container.host_config),
                readonly=container.host_config.readonly_rootfs,
                # Not their parent, the default: hosts and the like are bound from there.
                mountpoint=f"{directory}/upper",
            ),
            cgroup=self.cgroup_plan(spec),
            container_id=container.id,
            bundle=str(directory),
            init=bool(container.host_config.init),
            hold=hold,
            more_mounts=later_mounts(container, around),
        )

    def cgroup_plan(self, spec: Spec) -> Any:
        """The cgroup of the container that `spec` describes."""
        linux = spec.linux
        assert linux is not None and linux.resources is not None and linux.cgroups_path is not None
        return compile_cgroup(
            linux.cgroups_path,
            linux.resources,
            layout=self._core.layout,
            best_effort=self._core.rootless,
        )

    async def _send(self, container: Container, *, hold: bool) -> Monitor:
        core, config = self._core, container.config
        stdio = container.stdio
        size, files = log_limits(container.host_config)
        request = LaunchRequest(
            container_id=container.id,
            run_dir=core.paths.container_run(container.id),
            log_path=None
            if stdio or container.host_config.log_config.type == "none"
            else log_path(core, container),
            stdio="fds" if stdio else "monitor",
            files=self._files(container, core.paths.container(container.id)),
            tty=config.tty,
            open_stdin=config.open_stdin,
            stdin_once=config.stdin_once,
            hold=hold,
            log_max_size=size,
            log_max_file=files,
            attachments=tuple(client.attachment for client in container.pending),
            cgroup=() if core.rootless else usual_directories(core.cgroup_path(container), core.layout),
        )
        container.stdio = None
        fds = (stdio.stdin, stdio.stdout, stdio.stderr) if stdio else ()
        try:
            return await core.launcher.launch(request, fds)
        finally:
            for client in container.pending:
                client.close_fd()
            if stdio is not None:
                stdio.close()

    async def _connect(self, container: Container, pid: int, directory: Path) -> None:
        endpoint = await self._core.network.attach(container.id, pid, endpoint_settings(container))
        if endpoint.address:
            # In place: the container has bind-mounted this very file already.
            _write(
                directory / "hosts",
                hosts_file(
                    hostname=hostname_of(container, self._core.host_name),
                    domainname=container.config.domainname,
                    address=endpoint.address,
                    extra_hosts=container.host_config.extra_hosts,
                    gateway=self._core.network.host_gateway,
                ),
            )

    def lowers(self, container: Container) -> tuple[str, ...]:
        """The layer directories of the container's image, topmost first, above them that of mount points."""
        chain = container.definition.chain
        found = self._lowers.get(chain)
        if found is None or not os.path.isdir(found[0]):
            found = self._core.images.lowers(self._core.images.of_container(container.definition.image_id))
            if chain and os.path.isdir(found[0]):
                found = self._mount_points.over(chain, found)
            if len(self._lowers) > 256:
                self._lowers.clear()
            self._lowers[chain] = found
        return found

    def forget_layers(self) -> None:
        """Layers were made again: where they were, they may not be found any more."""
        self._lowers.clear()

    def forget_images(self) -> None:
        """Images were removed: what belongs to no layer any more goes, too."""
        self._lowers.clear()
        self._mount_points.prune(self._core.images.snapshotter.walk())

    def _files(self, container: Container, directory: Path) -> tuple[tuple[str, bytes], ...]:
        """hostname, resolv.conf and hosts, unless another container's are used."""
        host = container.host_config
        if host.network_mode.startswith("container:"):
            return ()
        hostname = hostname_of(container, self._core.host_name)
        texts = {
            "hostname": hostname_file(hostname),
            "resolv.conf": self._resolv_conf(host),
            "hosts": hosts_file(
                hostname=hostname,
                domainname=container.config.domainname,
                extra_hosts=host.extra_hosts,
                gateway=self._core.network.host_gateway if host.extra_hosts else "",
            ),
        }
        return tuple((f"{directory}/{name}", text.encode()) for name, text in texts.items())

    def _resolv_conf(self, host: HostConfig) -> str:
        mark = host_mark()
        key = (host.network_mode == "host", *map(tuple, (host.dns, host.dns_search, host.dns_options)))
        if self._resolv_mark != mark:
            self._resolv.clear()
            self._resolv_mark = mark
        found = self._resolv.get(key)
        if found is None:
            found = self._resolv[key] = resolv_conf(
                dns=host.dns,
                search=host.dns_search,
                options=host.dns_options,
                host_network=host.network_mode == "host",
                forwarder=self._core.network.forwarder,
            )
        return found

    def _surroundings(self, container: Container) -> Surroundings:
        core, host = self._core, container.host_config
        directory = core.paths.container(container.id)
        peers: dict[str, int] = {}
        for kind, mode, what in (
            ("net", host.network_mode, "network"),
            ("pid", host.pid_mode, "PID namespace"),
            ("ipc", host.ipc_mode, "IPC namespace"),
        ):
            if mode.startswith("container:"):
                peer = self._peer(mode, what)
                peers[kind] = peer.state.pid
                if kind == "ipc" and peer.host_config.ipc_mode not in ("shareable", "host"):
                    raise Conflict(
                        f"cannot join IPC of a non-shareable container {peer.short_id} "
                        "(hint: use IpcMode:shareable for the donor container)"
                    )
        files_of = directory
        if host.network_mode.startswith("container:"):
            files_of = core.paths.container(host.network_mode.removeprefix("container:"))
        files = {f"/etc/{name}": f"{files_of}/{name}" for name in ("resolv.conf", "hostname", "hosts")}
        mounts = container.definition.mounts
        images = self._image_mounts(container)
        if images:
            core.paths.empty.mkdir(mode=0o700, exist_ok=True)
        return Surroundings(
            directory=str(directory),
            cgroup=core.cgroup_path(container),
            files=files,
            peers=peers,
            volumes={m.name: core.volumes.mount(m.name) for m in mounts if m.type == "volume"},
            images=images,
            empty=str(core.paths.empty),
            rootless=core.rootless,
        )

    def _image_mounts(self, container: Container) -> Mapping[str, tuple[str, ...]]:
        return {
            mount.destination: self._core.images.lowers(self._core.images.of_container(mount.image_id))
            for mount in container.definition.mounts
            if mount.type == "image"
        }

    def _peer(self, mode: str, what: str) -> Container:
        peer = self._core.catalog.find(mode.removeprefix("container:"))
        if peer is None:
            raise NotFound(f"No such container: {mode.removeprefix('container:')}")
        if not peer.state.status.has_process:
            raise Conflict(f"cannot join {what} of a non running container: {peer.id}")
        return peer


async def _abandon(monitor: Monitor) -> None:
    """Ends a container that may still hold: it would wait for ever, with its client's descriptors."""
    try:
        await monitor.kill(signal.SIGKILL)
    except CortenError:
        pass  # there is no process (any more)
    try:
        await asyncio.wait_for(monitor.gone(), _ABANDON_SECONDS)
    except TimeoutError:
        pass


def is_volatile(host_config: HostConfig) -> bool:
    """Whether the writable layer is gone with the container or its run anyway: then nothing of it is synced.

    Overlay else syncs the whole file system below it whenever a container ends.
    """
    return host_config.volatile or host_config.auto_remove


def needs_endpoint(container: Container) -> bool:
    """Whether the container gets an endpoint of its own (none, host and another's network need no work)."""
    mode = container.host_config.network_mode
    return mode not in ("none", "host") and not mode.startswith("container:")


def endpoint_settings(container: Container) -> EndpointSettings:
    """What the container asks of its network."""
    host, config = container.host_config, container.config
    ports = bindings_of(host.port_bindings)
    if host.publish_all_ports:
        ports = (*ports, *publish_all(list(config.exposed_ports or ()), ports))
    endpoints = container.definition.endpoints
    asked = endpoints.get(host.network_mode) or (
        endpoints.get("default") if host.network_mode == "bridge" else None
    )
    return EndpointSettings(
        network=host.network_mode,
        ports=tuple(ports),
        mac_address=(asked.mac_address if asked else "") or config.mac_address,
        ipv4_address=asked.ipam_config.ipv4_address if asked and asked.ipam_config else "",
        aliases=tuple(asked.aliases or ()) if asked else (),
    )


def log_path(core: Core, container: Container) -> Path:
    return core.paths.container(container.id) / "log"


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
