"""Creating a container: validate, resolve, write down. Nothing runs and nothing is mounted."""

from __future__ import annotations

import asyncio
import os
import secrets
from pathlib import Path
from typing import Any

import msgspec

from corten.api.container import ContainerConfig, ContainerCreate
from corten.api.host_config import HostConfig
from corten.engine import rootless
from corten.engine.core import Core
from corten.engine.disk import disk_error
from corten.engine.names import generate_name
from corten.engine.record import Container, Definition, MountRecord, StateRecord
from corten.engine.results import Created, StdioFds
from corten.engine.spec.merge import command, merge
from corten.engine.spec.mounts import Resolved, resolve_mounts
from corten.engine.spec.resources import block_io
from corten.engine.spec.validate import validate
from corten.engine.store import transaction
from corten.engine.timestamp import now
from corten.errors import InvalidArgument, NotFound
from corten.image.model import Image
from corten.network.ports import bindings_of
from corten.volume.populate import populate

_CONFIG_FIELDS = tuple(ContainerConfig.__struct_fields__)


class Creation:
    """Makes containers."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._spare = core.spare_directory

    async def create(self, request: ContainerCreate, name: str | None, stdio: StdioFds | None) -> Created:
        """See `ContainerService.create`."""
        core = self._core
        identity = secrets.token_hex(32)
        if name is not None:
            name = name.removeprefix("/")
        else:
            name = generate_name(lambda candidate: core.catalog.named(candidate) is not None)
        core.catalog.reserve(name)
        try:
            return await self._create(request, identity, name, stdio)
        finally:
            core.catalog.release(name)

    async def _create(
        self, request: ContainerCreate, identity: str, name: str, stdio: StdioFds | None
    ) -> Created:
        core = self._core
        if not request.image:
            raise InvalidArgument("no image given: a container is made from an image")
        image = core.images.resolve(request.image)
        config = merge(_config_of(request), image.config.run)
        host = self._settle(request.host_config, config)
        warnings = validate(config, host)
        block_io(host)
        limited = host.memory or host.nano_cpus or host.pids_limit
        if core.rootless and limited and rootless.delegated_cgroup() is None:
            warnings.append(
                "limits of a rootless container need cgroup v2 with delegation: they are not kept here"
            )
        try:
            self._check_network(config, host, request)
            resolved = resolve_mounts(
                config,
                host,
                find=core.catalog.resolve,
                new_name=lambda: secrets.token_hex(32),
                image_id=lambda ref: core.images.resolve(ref).id,
            )
        except NotFound as error:
            # Only a missing image is a 404 here: the docker command pulls it then.
            raise InvalidArgument(error.message) from error
        path, args = command(config)
        definition = Definition(
            config=config,
            host_config=host,
            endpoints=dict(request.networking_config.endpoints_config),
            image_id=image.id,
            chain=image.chain,
            mounts=resolved.mounts,
            path=path,
            args=args,
        )
        container = Container(identity, name, now(), definition, StateRecord())
        container.stdio = stdio
        await self._make(container, resolved, image)
        core.publish(container, "create")
        return Created(identity, tuple(warnings))

    async def _make(self, container: Container, resolved: Resolved, image: Image) -> None:
        """Directories, volumes and the row; on failure nothing of them stays."""
        core = self._core
        directory = core.paths.container(container.id)
        made: list[str] = []
        try:
            self._spare.become(directory)
            with core.images.taking(image.id):
                if resolved.mounts:
                    with transaction(core.connection):
                        self._make_volumes(container, resolved, made)
                        core.catalog.add(container)
                else:
                    core.catalog.add(container)
            if resolved.mounts:
                await self._fill(container.definition.mounts, image)
        except BaseException as error:
            if container.id in core.catalog:
                core.catalog.delete(container)
            for name in made:
                core.volumes.abandon(name)
            core.trash.discard(directory)
            if isinstance(error, OSError):
                raise disk_error(error, f"create container {container.name}") from error
            raise
        for name in made:
            core.events.publish("volume", "create", name, {"driver": "local"})

    def _make_volumes(self, container: Container, resolved: Resolved, made: list[str]) -> None:
        """Makes volumes that do not exist yet (their names go to `made`), and missing sources of -v."""
        for record in resolved.mounts:
            if record.type == "volume":
                driver, options, labels = resolved.drivers.get(record.name, (record.driver, {}, {}))
                existing = self._core.volumes.find(record.name)
                if existing is not None and record.name not in resolved.drivers:
                    continue
                _, new = self._core.volumes.create(
                    record.name, driver=driver, options=options, labels=labels, anonymous=record.anonymous
                )
                if new:
                    made.append(record.name)
            elif record.type == "bind" and record.origin == "bind":
                source = Path(record.source)
                if not source.exists():
                    try:
                        source.mkdir(parents=True, exist_ok=True)
                    except OSError as error:
                        raise InvalidArgument(
                            f"error while creating mount source path '{source}': {error.strerror}"
                        ) from error

    async def _fill(self, mounts: list[MountRecord], image: Image) -> None:
        """First use of a volume: it gets what the image has at that place."""
        core = self._core
        for record in mounts:
            if record.type != "volume" or record.no_copy or record.origin == "from":
                continue
            mount = core.volumes.mount(record.name)
            if not mount.directory or os.listdir(mount.source):
                continue
            lowers = core.images.lowers(image)
            await asyncio.to_thread(populate, lowers, record.destination, Path(mount.source))

    def _settle(self, host: HostConfig, config: ContainerConfig) -> HostConfig:
        """`host` with the defaults that inspect shows, and with references to containers as full ids."""
        network = host.network_mode
        if config.network_disabled:
            network = "none"
        elif network in ("", "default"):
            network = "bridge"
        changes: dict[str, Any] = {
            "network_mode": self._full_id(network),
            "pid_mode": self._full_id(host.pid_mode),
            "ipc_mode": self._full_id(host.ipc_mode) or "private",
            "cgroupns_mode": host.cgroupns_mode or ("host" if host.privileged else "private"),
            "shm_size": host.shm_size or 64 * 1024 * 1024,
        }
        if host.memory and host.memory_swap == 0:
            changes["memory_swap"] = host.memory * 2
        if not host.restart_policy.name:
            changes["restart_policy"] = msgspec.structs.replace(host.restart_policy, name="no")
        if not host.log_config.type:
            changes["log_config"] = msgspec.structs.replace(host.log_config, type="json-file")
        return msgspec.structs.replace(host, **changes)

    def _full_id(self, mode: str) -> str:
        if not mode.startswith("container:") or mode == "container:":
            return mode
        try:
            return "container:" + self._core.catalog.resolve(mode.removeprefix("container:")).id
        except NotFound as error:
            raise InvalidArgument(error.message) from error

    def _check_network(self, config: ContainerConfig, host: HostConfig, request: ContainerCreate) -> None:
        mode = host.network_mode
        if mode.startswith("container:"):
            return
        network = self._core.network.get(mode)
        for name in request.networking_config.endpoints_config:
            if name != "default":
                self._core.network.get(name)
        if len(request.networking_config.endpoints_config) > 1:
            raise InvalidArgument("a container can be in one network only so far: connect it to one")
        bindings_of(host.port_bindings)
        if config.mac_address and network.driver in ("host", "null"):
            raise InvalidArgument("conflicting options: mac-address and the network mode")


def _config_of(request: ContainerCreate) -> ContainerConfig:
    return ContainerConfig(**{name: getattr(request, name) for name in _CONFIG_FIELDS})
