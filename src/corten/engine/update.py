"""`update`: other limits and another restart policy, of a running container as well."""

from __future__ import annotations

import asyncio

import msgspec

from corten.api.host_config import ContainerUpdate, HostConfig, Resources
from corten.engine.cgroups import container_cgroup
from corten.engine.core import Core
from corten.engine.record import Container
from corten.engine.restart_policy import check_policy
from corten.engine.spec.resources import build_resources
from corten.engine.spec.validate import check_resources
from corten.engine.state import Status
from corten.errors import Conflict, InvalidArgument

_FIXED = ("cgroup_parent", "devices", "device_cgroup_rules", "device_requests", "ulimits")


async def update(core: Core, container: Container, request: ContainerUpdate) -> list[str]:
    """Changes what is set in `request`; a limit that the kernel refuses changes nothing."""
    async with container.lock:
        if container.state.status in (Status.REMOVING, Status.DEAD):
            raise Conflict(f"container {container.id} is marked for removal and cannot be updated")
        host = merged(container.host_config, request)
        warnings = check_resources(host)
        check_policy(host)
        if container.state.status.has_process and host != container.host_config:
            cgroup = container_cgroup(core, container)
            if cgroup is not None:
                limits = _changed(host, request)
                resources = msgspec.structs.replace(build_resources(limits, ()), devices=())
                warnings += await asyncio.to_thread(cgroup.update, resources)
        container.definition.host_config = host
        container.spec = None
        core.catalog.save_definition(container)
        core.publish(container, "update")
        return warnings


def merged(host: HostConfig, request: ContainerUpdate) -> HostConfig:
    """`host` with what `request` sets. A new memory limit needs a swap limit that is not below it."""
    changes: dict[str, object] = {}
    for name in Resources.__struct_fields__:
        value = getattr(request, name)
        if value and name in _FIXED:
            raise InvalidArgument(f"{name} of a container cannot be changed after its creation")
        if value or (name == "pids_limit" and value is not None):
            changes[name] = value
    if request.nano_cpus and (host.cpu_quota or host.cpu_period):
        raise InvalidArgument(
            "Conflicting options: Nano CPUs cannot be updated as CPU Quota or Period has already been set"
        )
    if host.nano_cpus and (request.cpu_quota or request.cpu_period) and not request.nano_cpus:
        raise InvalidArgument(
            "Conflicting options: CPU Quota or Period cannot be updated as NanoCPUs has already been set"
        )
    if request.memory and not request.memory_swap and 0 < host.memory_swap < request.memory:
        raise Conflict(
            "Memory limit should be smaller than already set memoryswap limit, "
            "update the memoryswap at the same time"
        )
    if request.restart_policy is not None and request.restart_policy.name:
        if host.auto_remove and request.restart_policy.name != "no":
            raise Conflict("Restart policy cannot be updated because AutoRemove is enabled for the container")
        changes["restart_policy"] = request.restart_policy
    return msgspec.structs.replace(host, **changes)


def _changed(host: HostConfig, request: ContainerUpdate) -> HostConfig:
    """Only the limits that the request names, with the values that they have together with the others."""
    kept = {name for name in Resources.__struct_fields__ if getattr(request, name)}
    if kept & {"memory", "memory_swap"}:
        kept |= {"memory", "memory_swap"}
    return HostConfig(**{name: getattr(host, name) for name in kept})
