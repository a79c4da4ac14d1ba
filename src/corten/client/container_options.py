"""From Python's keyword arguments to the body of `POST /containers/create`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from corten.client.units import parse_bytes, parse_duration

# A size in bytes, or as Docker's flags have it: "64m".
Size = int | str
# {"data": "/data"} or {"/host/dir": ("/dir", "ro")}
Volumes = Mapping[str, str | tuple[str, str]]
# {80: 8080}, {"53/udp": ("127.0.0.1", 5353)}, {80: None} for any free port
Ports = Mapping[int | str, int | tuple[str, int] | None]


class ContainerOptions(TypedDict, total=False):
    """The options of `run` and `create`. All are optional; the names are those of the command's flags."""

    name: str
    environment: Mapping[str, str]
    workdir: str
    user: str
    entrypoint: str | Sequence[str]
    hostname: str
    labels: Mapping[str, str]
    volumes: Volumes
    tmpfs: Mapping[str, str]
    ports: Ports
    network: str
    dns: Sequence[str]
    extra_hosts: Mapping[str, str]
    memory: Size
    memory_swap: Size
    memory_reservation: Size
    cpus: float
    cpuset_cpus: str
    pids_limit: int
    shm_size: Size
    ulimits: Mapping[str, int | tuple[int, int]]
    cap_add: Sequence[str]
    cap_drop: Sequence[str]
    security_opt: Sequence[str]
    devices: Sequence[str]
    sysctls: Mapping[str, str]
    privileged: bool
    read_only: bool
    init: bool
    volatile: bool
    pid: str
    ipc: str
    restart: str
    stop_signal: str
    stop_timeout: int
    health_command: str
    health_interval: str
    tty: bool
    stdin: bool
    auto_remove: bool


_TOP = {
    "workdir": "WorkingDir",
    "user": "User",
    "hostname": "Hostname",
    "stop_signal": "StopSignal",
    "stop_timeout": "StopTimeout",
    "tty": "Tty",
    "stdin": "OpenStdin",
}
_HOST = {
    "network": "NetworkMode",
    "cpuset_cpus": "CpusetCpus",
    "pids_limit": "PidsLimit",
    "privileged": "Privileged",
    "read_only": "ReadonlyRootfs",
    "init": "Init",
    "volatile": "Volatile",
    "pid": "PidMode",
    "ipc": "IpcMode",
    "auto_remove": "AutoRemove",
}
_HOST_LISTS = {"dns": "Dns", "cap_add": "CapAdd", "cap_drop": "CapDrop", "security_opt": "SecurityOpt"}
_HOST_SIZES = {
    "memory": "Memory",
    "memory_swap": "MemorySwap",
    "memory_reservation": "MemoryReservation",
    "shm_size": "ShmSize",
}


def command_list(command: str | Sequence[str] | None) -> list[str] | None:
    """A command as a list; text is split as a shell would."""
    if isinstance(command, str):
        import shlex

        return shlex.split(command)
    return None if command is None else list(command)


def size(value: Size, name: str) -> int:
    """Bytes."""
    return value if isinstance(value, int) else parse_bytes(value, name)


def body(image: str, command: str | Sequence[str] | None, options: ContainerOptions) -> dict[str, Any]:
    """The request; an unknown option is a TypeError, as for any Python function."""
    request: dict[str, Any] = {"Image": image}
    host: dict[str, Any] = {}
    if (words := command_list(command)) is not None:
        request["Cmd"] = words
    for name, value in options.items():
        if name in _TOP:
            request[_TOP[name]] = value
        elif name in _HOST:
            host[_HOST[name]] = value
        elif name in _HOST_LISTS:
            host[_HOST_LISTS[name]] = list(value)  # type: ignore[call-overload]
        elif name in _HOST_SIZES:
            host[_HOST_SIZES[name]] = size(value, name)  # type: ignore[arg-type]
        elif name != "name" and name not in ContainerOptions.__annotations__:
            raise TypeError(f"unexpected keyword argument {name!r}")
    _fill_request(request, options)
    _fill_host(request, host, options)
    request["HostConfig"] = host
    return request


def _fill_request(request: dict[str, Any], options: ContainerOptions) -> None:
    if "environment" in options:
        request["Env"] = [f"{key}={value}" for key, value in options["environment"].items()]
    if "labels" in options:
        request["Labels"] = dict(options["labels"])
    if "entrypoint" in options:
        entrypoint = options["entrypoint"]
        request["Entrypoint"] = [entrypoint] if isinstance(entrypoint, str) else list(entrypoint)
    if "health_command" in options:
        check: dict[str, Any] = {"Test": ["CMD-SHELL", options["health_command"]]}
        if "health_interval" in options:
            check["Interval"] = parse_duration(options["health_interval"], "health_interval")
        request["Healthcheck"] = check


def _fill_host(request: dict[str, Any], host: dict[str, Any], options: ContainerOptions) -> None:
    if "volumes" in options:
        host["Binds"] = [_bind(source, target) for source, target in options["volumes"].items()]
    if "tmpfs" in options:
        host["Tmpfs"] = dict(options["tmpfs"])
    if "ports" in options:
        request["ExposedPorts"], host["PortBindings"] = _ports(options["ports"])
    if "extra_hosts" in options:
        host["ExtraHosts"] = [f"{name}:{address}" for name, address in options["extra_hosts"].items()]
    if "cpus" in options:
        host["NanoCpus"] = round(options["cpus"] * 1e9)
    if "ulimits" in options:
        host["Ulimits"] = [
            {"Name": name, "Soft": pair[0], "Hard": pair[1]}
            for name, limit in options["ulimits"].items()
            for pair in [limit if isinstance(limit, tuple) else (limit, limit)]
        ]
    if "devices" in options:
        host["Devices"] = [
            {"PathOnHost": source, "PathInContainer": target or source, "CgroupPermissions": mode or "rwm"}
            for source, target, mode in (_three(text) for text in options["devices"])
        ]
    if "sysctls" in options:
        host["Sysctls"] = dict(options["sysctls"])
    if "restart" in options:
        name, _, count = options["restart"].partition(":")
        host["RestartPolicy"] = {"Name": name, "MaximumRetryCount": int(count or 0)}


def _three(text: str) -> tuple[str, str, str]:
    source, _, rest = text.partition(":")
    target, _, mode = rest.partition(":")
    return source, target, mode


def _bind(source: str, target: str | tuple[str, str]) -> str:
    if source.startswith((".", "~")):
        source = os.path.abspath(os.path.expanduser(source))
    return f"{source}:{target}" if isinstance(target, str) else f"{source}:{target[0]}:{target[1]}"


def _ports(ports: Ports) -> tuple[dict[str, Any], dict[str, list[dict[str, str]]]]:
    exposed: dict[str, Any] = {}
    bindings: dict[str, list[dict[str, str]]] = {}
    for inside, outside in ports.items():
        port = str(inside) if "/" in str(inside) else f"{inside}/tcp"
        address, number = outside if isinstance(outside, tuple) else ("", outside)
        exposed[port] = {}
        bindings[port] = [{"HostIp": address, "HostPort": "" if number is None else str(number)}]
    return exposed, bindings
