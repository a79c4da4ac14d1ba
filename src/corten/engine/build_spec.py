"""The runtime specification of a RUN: a container's, with what a build gives it instead of a user."""

from __future__ import annotations

import msgspec

from corten.api.container import ContainerConfig
from corten.api.host_config import DeviceMapping, HostConfig, Ulimit
from corten.build.graph import Exec, Limits
from corten.engine.build_devices import DeviceEdits
from corten.engine.record import Container, Definition, StateRecord
from corten.engine.spec.build import Surroundings, build_spec
from corten.engine.spec.merge import DEFAULT_PATH
from corten.errors import Denied
from corten.oci.runtime_spec import ConsoleSize, Spec

HOSTNAME = "buildkitsandbox"
"""What a RUN's host is called when nobody says: the same in every build, as it may get into files."""
MOST_PROCESSES = 8192
NETWORKS = {"default": "bridge", "none": "none", "host": "host"}


def check_allowed(operation: Exec, allowed: frozenset[str]) -> None:
    """Denied for what the build was not given (`--allow`)."""
    for wanted, entitlement, what in (
        (operation.security == "insecure", "security.insecure", "--security=insecure"),
        (operation.network == "host", "network.host", "--network=host"),
    ):
        if wanted and entitlement not in allowed:
            raise Denied(f"{what} is not allowed for this build: give it --allow {entitlement}")
    for name, _required in operation.devices:
        if allowed.isdisjoint(("device", f"device={name}")):
            raise Denied(f"--device={name} is not allowed for this build: give it --allow device={name}")


def host_config(operation: Exec, edits: DeviceEdits) -> HostConfig:
    """Limits, devices, network and rights of a RUN, as those of a container."""
    limits: Limits = operation.limits
    return HostConfig(
        network_mode=NETWORKS[operation.network],
        privileged=operation.security == "insecure",
        memory=limits.memory,
        memory_swap=limits.memory_swap,
        cpu_period=limits.cpu_period,
        cpu_quota=limits.cpu_quota,
        cpu_shares=limits.cpu_shares,
        cpuset_cpus=limits.cpuset_cpus,
        cpuset_mems=limits.cpuset_mems,
        shm_size=limits.shm_size,
        pids_limit=MOST_PROCESSES,
        ulimits=[Ulimit(name=item.name, soft=item.soft, hard=item.hard) for item in limits.ulimits],
        devices=[
            DeviceMapping(path_on_host=host, path_in_container=inside, cgroup_permissions=access)
            for host, inside, access in edits.nodes
        ],
    )


def exec_spec(
    operation: Exec,
    identity: str,
    environment: tuple[str, ...],
    edits: DeviceEdits,
    around: Surroundings,
    *,
    host_name: str,
    terminal: tuple[int, int] | None = None,
) -> Spec:
    """The specification; `environment` are the variables of secrets. `terminal`: rows and columns."""
    container = Container(
        identity,
        identity,
        0,
        Definition(
            config=ContainerConfig(
                hostname=operation.hostname or ("" if operation.network == "host" else HOSTNAME),
                user=operation.user,
                working_dir=operation.directory,
                tty=terminal is not None,
            ),
            host_config=host_config(operation, edits),
            image_id="",
            path=operation.args[0],
            args=list(operation.args[1:]),
        ),
        StateRecord(),
    )
    spec = build_spec(container, around, host_name=host_name)
    assert spec.process is not None
    size = ConsoleSize(height=terminal[0], width=terminal[1]) if terminal and all(terminal) else None
    process = msgspec.structs.replace(
        spec.process,
        env=variables(operation, (*edits.environment, *environment), tty=terminal is not None),
        console_size=size,
    )
    return msgspec.structs.replace(spec, process=process)


def variables(operation: Exec, more: tuple[str, ...], *, tty: bool = False) -> tuple[str, ...]:
    """The environment: the step's own before the proxies', which are there only where it says nothing."""
    own = {item.partition("=")[0] for item in (*operation.environment, *more)}
    found = [*operation.environment, *more]
    found += [f"{name}={value}" for name, value in operation.proxy if name not in own]
    if "PATH" not in own:
        found.append(DEFAULT_PATH)
    if tty and "TERM" not in own:
        found.append("TERM=xterm")
    return tuple(found)
