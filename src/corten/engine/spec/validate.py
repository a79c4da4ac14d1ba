"""What a request may not say, with Docker's messages; and what it may, but with a warning."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from corten.api.container import ContainerConfig, Healthcheck
from corten.api.host_config import HostConfig, Resources
from corten.engine.restart_policy import check_policy
from corten.engine.signals import parse_signal
from corten.engine.spec.security import parse_security
from corten.errors import InvalidArgument
from corten.runtime.capabilities import normalise

if TYPE_CHECKING:
    from collections.abc import Iterable

MINIMUM_MEMORY = 6 * 1024 * 1024
_MILLISECOND = 1_000_000
_HOSTNAME = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9_.-]{0,61}[a-zA-Z0-9])?")
_IPC_SYSCTLS = frozenset(
    [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ]
)
_LOG_OPTIONS = frozenset(
    {
        "max-size",
        "max-file",
        "compress",
        "labels",
        "labels-regex",
        "env",
        "env-regex",
        "tag",
        "mode",
        "max-buffer-size",
    }
)
_RLIMITS = frozenset(
    [
        "as",
        "core",
        "cpu",
        "data",
        "fsize",
        "locks",
        "memlock",
        "msgqueue",
        "nice",
        "nofile",
        "nproc",
        "rss",
        "rtprio",
        "rttime",
        "sigpending",
        "stack",
    ]
)


def validate(config: ContainerConfig, host: HostConfig) -> list[str]:
    """InvalidArgument for the first thing that is wrong; the warnings otherwise."""
    _check_config(config)
    _check_modes(config, host)
    check_policy(host)
    parse_security(host)
    for name in host.cap_add:
        normalise(name)
    for name in host.cap_drop:
        normalise(name)
    _check_host(host)
    return check_resources(host)


def check_resources(limits: Resources) -> list[str]:
    """The limits of a create or an update."""
    warnings = _check_memory(limits)
    _check_cpu(limits)
    if limits.blkio_weight and not 10 <= limits.blkio_weight <= 1000:
        raise InvalidArgument("range of blkio weight is from 10 to 1000")
    for weight in limits.blkio_weight_device:
        if weight.weight and not 10 <= weight.weight <= 1000:
            raise InvalidArgument(
                f"range of blkio weight is from 10 to 1000, not {weight.weight} for {weight.path}"
            )
    for ulimit in limits.ulimits:
        if ulimit.name not in _RLIMITS:
            raise InvalidArgument(f"invalid ulimit type: {ulimit.name}")
        if ulimit.hard != -1 and (ulimit.soft > ulimit.hard or (ulimit.soft == -1 and ulimit.hard >= 0)):
            raise InvalidArgument(
                f"ulimit soft limit must be less than or equal to hard limit: {ulimit.soft} > {ulimit.hard}"
            )
    if limits.device_requests:
        wanted = limits.device_requests[0].driver or "gpu"
        raise InvalidArgument(
            f'could not select device driver "{wanted}" with capabilities: '
            f"{limits.device_requests[0].capabilities}"
        )
    return warnings


def _check_memory(limits: Resources) -> list[str]:
    memory, swap, warnings = limits.memory, limits.memory_swap, []
    if memory and memory < MINIMUM_MEMORY:
        raise InvalidArgument("Minimum memory limit allowed is 6MB")
    if memory < 0 or swap < -1:
        raise InvalidArgument(
            "Memory and memory-swap limits cannot be negative (-1 of memory-swap: unlimited)"
        )
    if memory > 0 and 0 < swap < memory:
        raise InvalidArgument("Minimum memoryswap limit should be larger than memory limit, see usage")
    if memory == 0 and swap > 0:
        raise InvalidArgument("You should always set the Memory limit when using Memoryswap limit, see usage")
    if limits.memory_reservation and limits.memory_reservation < MINIMUM_MEMORY:
        raise InvalidArgument("Minimum memory reservation allowed is 6MB")
    if 0 < memory < limits.memory_reservation:
        raise InvalidArgument("Minimum memory limit can not be less than memory reservation limit, see usage")
    swappiness = limits.memory_swappiness
    if swappiness is not None and not -1 <= swappiness <= 100:
        raise InvalidArgument(f"Invalid value: {swappiness}, valid memory swappiness range is 0-100")
    if limits.oom_kill_disable and memory == 0:
        warnings.append(
            "OOM killer is disabled for the container, but no memory limit is set, this can result in the "
            "system running out of resources."
        )
    return warnings


def _check_cpu(limits: Resources) -> None:
    cpus = (os.cpu_count() or 1) if limits.nano_cpus or limits.cpuset_cpus else 0
    if limits.nano_cpus:
        if limits.cpu_period:
            raise InvalidArgument("Conflicting options: Nano CPUs and CPU Period cannot both be set")
        if limits.cpu_quota:
            raise InvalidArgument("Conflicting options: Nano CPUs and CPU Quota cannot both be set")
        if limits.nano_cpus < 0 or limits.nano_cpus > cpus * 1_000_000_000:
            raise InvalidArgument(
                f"Range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available"
            )
    if limits.cpu_shares < 0:
        raise InvalidArgument(f"invalid CPU shares ({limits.cpu_shares}): value must be a positive integer")
    if limits.cpu_period and not 1000 <= limits.cpu_period <= 1_000_000:
        raise InvalidArgument(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"
        )
    if 0 < limits.cpu_quota < 1000:
        raise InvalidArgument("CPU cfs quota can not be less than 1ms (i.e. 1000)")
    if limits.cpuset_cpus:
        wanted = _parse_set(limits.cpuset_cpus, "cpus")
        available = os.sched_getaffinity(0) | set(range(cpus))
        if not wanted <= available:
            raise InvalidArgument(
                f"Requested CPUs are not available - requested {limits.cpuset_cpus}, available: 0-{cpus - 1}"
            )
    if limits.cpuset_mems:
        _parse_set(limits.cpuset_mems, "mems")


def _parse_set(text: str, what: str) -> set[int]:
    result: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        if not match or int(match[1]) > 8191 or int(match[2] or 0) > 8191:
            raise InvalidArgument(f"Invalid value {text} for cpuset {what}")
        result.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    return result


def _check_config(config: ContainerConfig) -> None:
    if config.hostname and (len(config.hostname) > 63 or not _HOSTNAME.fullmatch(config.hostname)):
        raise InvalidArgument(f"invalid hostname: {config.hostname}")
    if config.working_dir and not config.working_dir.startswith("/"):
        raise InvalidArgument(
            f"the working directory '{config.working_dir}' is invalid, it needs to be an absolute path"
        )
    for entry in config.env or ():
        if not entry or entry.startswith("="):
            raise InvalidArgument(f"invalid environment variable: {entry}")
    if config.stop_signal:
        parse_signal(config.stop_signal)
    if config.stop_timeout is not None and config.stop_timeout < -1:
        raise InvalidArgument(
            f"invalid stop timeout {config.stop_timeout}: use -1 (wait for ever) or more seconds"
        )
    if config.healthcheck is not None:
        _check_health(config.healthcheck)
    strings = [
        config.user,
        config.working_dir,
        *(config.env or ()),
        *(config.cmd or ()),
        *(config.entrypoint or ()),
    ]
    if any("\0" in text for text in strings):
        raise InvalidArgument(
            "the configuration holds a NUL character in a command, variable, user or directory"
        )


def _check_health(check: Healthcheck) -> None:
    for name, value in (
        ("Interval", check.interval),
        ("Timeout", check.timeout),
        ("StartPeriod", check.start_period),
        ("StartInterval", check.start_interval),
    ):
        if value != 0 and value < _MILLISECOND:
            raise InvalidArgument(f"{name} in Healthcheck cannot be less than 1ms")
    if check.retries < 0:
        raise InvalidArgument("Retries in Healthcheck cannot be negative")
    if check.test and check.test[0] not in ("NONE", "CMD", "CMD-SHELL", ""):
        raise InvalidArgument(f"unknown type '{check.test[0]}' in Healthcheck: use NONE, CMD or CMD-SHELL")
    if check.test and check.test[0] in ("CMD", "CMD-SHELL") and len(check.test) < 2:
        raise InvalidArgument(f"the Healthcheck of type {check.test[0]} has no command")


def _check_modes(config: ContainerConfig, host: HostConfig) -> None:
    network = host.network_mode
    if network.startswith("container:"):
        if not network.removeprefix("container:"):
            raise InvalidArgument("Invalid network mode: invalid container format container:<name|id>")
        if config.hostname:
            raise InvalidArgument("conflicting options: hostname and the network mode")
        if host.port_bindings or host.publish_all_ports:
            raise InvalidArgument("conflicting options: port publishing and the container type network mode")
        if host.dns:
            raise InvalidArgument("conflicting options: dns and the network mode")
        if host.extra_hosts:
            raise InvalidArgument("conflicting options: custom host-to-IP mapping and the network mode")
        if config.mac_address:
            raise InvalidArgument("conflicting options: mac-address and the network mode")
        if config.exposed_ports:
            raise InvalidArgument("conflicting options: port exposing and the container type network mode")
    if host.uts_mode not in ("", "host"):
        raise InvalidArgument(f"invalid UTS mode: {host.uts_mode}")
    if host.uts_mode == "host" and config.hostname:
        raise InvalidArgument("conflicting options: hostname and the UTS mode")
    _check_mode("PID", host.pid_mode, ("", "host"))
    _check_mode("IPC", host.ipc_mode, ("", "none", "private", "shareable", "host"))
    if host.cgroupns_mode not in ("", "host", "private"):
        raise InvalidArgument(f"invalid cgroup namespace mode: {host.cgroupns_mode}")
    if host.userns_mode not in ("", "host"):
        raise InvalidArgument(f"invalid USER mode: {host.userns_mode}")


def _check_mode(what: str, mode: str, plain: Iterable[str]) -> None:
    if mode in plain or (mode.startswith("container:") and len(mode) > len("container:")):
        return
    raise InvalidArgument(f"invalid {what} mode: {mode}")


def _check_host(host: HostConfig) -> None:
    if host.shm_size < 0:
        raise InvalidArgument("SHM size can not be less than 0")
    if not -1000 <= host.oom_score_adj <= 1000:
        raise InvalidArgument(f"Invalid value {host.oom_score_adj}, range for oom score adj is [-1000, 1000]")
    if host.links:
        raise InvalidArgument(
            "links are not supported: put the containers into one network and use their names"
        )
    if host.runtime not in ("", "corten", "runc"):
        raise InvalidArgument(f"unknown or invalid runtime name: {host.runtime}")
    if host.isolation not in ("", "default"):
        raise InvalidArgument(f"invalid isolation '{host.isolation}' on linux")
    if host.log_config.type not in ("", "json-file", "local", "none"):
        raise InvalidArgument(
            f"logger: no log driver named '{host.log_config.type}' is registered: use json-file, local, none"
        )
    log_limits(host)
    for name in host.sysctls:
        _check_sysctl(name, host)
    for entry in host.extra_hosts:
        name, separator, address = entry.replace("=", ":", 1).partition(":")
        if not name or not separator or not address:
            raise InvalidArgument(f'bad format for add-host: "{entry}"')
    if host.storage_opt:
        raise InvalidArgument(
            "--storage-opt is not supported: limit the writable layer's file system instead"
        )
    for device in host.devices:
        if not device.path_on_host:
            raise InvalidArgument("a device needs its path on the host")
        if not re.fullmatch(r"[rwm]{1,3}", device.cgroup_permissions or "rwm"):
            raise InvalidArgument(f"invalid device mode: {device.cgroup_permissions}")


def log_limits(host: HostConfig) -> tuple[int, int]:
    """--log-opt max-size (bytes, 0 for no limit) and max-file; InvalidArgument for what is none."""
    options = host.log_config.config
    if host.log_config.type == "none":
        return 0, 1
    for name in options:
        if name not in _LOG_OPTIONS:
            raise InvalidArgument(f"unknown log opt '{name}' for {host.log_config.type} log driver")
    text = options.get("max-size", "-1").lower()
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kmgt]?)i?b?", text)
    if not match and text != "-1":
        raise InvalidArgument(f"invalid value for max-size: '{text}' is no size such as 10m")
    size = int(float(match[1]) * 1024 ** " kmgt".index(match[2] or " ")) if match else 0
    files = options.get("max-file", "1")
    if not files.isdigit() or not 1 <= int(files) <= 1000:
        raise InvalidArgument(f"invalid value for max-file: '{files}' must be a number from 1 to 1000")
    return size, int(files)


def _check_sysctl(name: str, host: HostConfig) -> None:
    if not re.fullmatch(r"[a-z0-9_-]+([./][a-zA-Z0-9_-]+)+", name):
        raise InvalidArgument(f"invalid sysctl name '{name}'")
    if name.startswith("net."):
        if host.network_mode == "host":
            raise InvalidArgument(f"sysctl '{name}' not allowed in host network namespace")
        return
    if name in _IPC_SYSCTLS or name.startswith("fs.mqueue."):
        if host.ipc_mode == "host":
            raise InvalidArgument(f"sysctl '{name}' not allowed in host ipc namespace")
        return
    raise InvalidArgument(
        f"sysctl '{name}' is not whitelisted: only net.*, fs.mqueue.* and the IPC ones are namespaced"
    )
