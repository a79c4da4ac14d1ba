"""Containers: creation, inspection, lists, and the answers of the single operations."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from corten.api.host_config import HostConfig
from corten.api.message import Message
from corten.api.network import EndpointSettings, NetworkingConfig

_field = msgspec.field


class Healthcheck(Message, kw_only=True):
    """Durations are nanoseconds; `test` is [] (inherit), ["NONE"], ["CMD", …] or ["CMD-SHELL", text]."""

    test: list[str] = []
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class ContainerConfig(Message, kw_only=True):
    """What runs in the container: the part that does not depend on the host. None inherits from the image."""

    hostname: str = ""
    domainname: str = ""
    user: str = ""
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    exposed_ports: dict[str, Any] | None = None
    tty: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    env: list[str] | None = None
    cmd: list[str] | None = None
    healthcheck: Healthcheck | None = None
    args_escaped: bool = False
    image: str = ""
    volumes: dict[str, Any] | None = None
    working_dir: str = ""
    entrypoint: list[str] | None = None
    network_disabled: bool = False
    mac_address: str = ""
    on_build: list[str] | None = None
    labels: dict[str, str] | None = None
    stop_signal: str = ""
    stop_timeout: int | None = None
    shell: list[str] | None = None


class ContainerCreate(ContainerConfig, kw_only=True):
    """POST /containers/create: the config, with the host's and the networks' parts inside."""

    host_config: HostConfig = _field(default_factory=HostConfig)
    networking_config: NetworkingConfig = _field(default_factory=NetworkingConfig)


class ContainerCreated(Message, kw_only=True):
    id: str
    warnings: list[str] = []


class HealthLogEntry(Message, kw_only=True):
    start: str
    end: str
    exit_code: int
    output: str


class Health(Message, kw_only=True):
    """Status is none, starting, healthy or unhealthy."""

    status: str
    failing_streak: int = 0
    log: list[HealthLogEntry] = []


class ContainerState(Message, kw_only=True):
    """Status is created, running, paused, restarting, removing, exited or dead; times are RFC 3339."""

    status: str
    running: bool = False
    paused: bool = False
    restarting: bool = False
    oom_killed: bool = _field(name="OOMKilled", default=False)
    dead: bool = False
    pid: int = 0
    exit_code: int = 0
    error: str = ""
    started_at: str = "0001-01-01T00:00:00Z"
    finished_at: str = "0001-01-01T00:00:00Z"
    health: Health | UnsetType = UNSET


class MountPoint(Message, kw_only=True):
    """A mount of a container as inspect and ps show it."""

    type: str
    name: str | UnsetType = UNSET
    source: str = ""
    destination: str = ""
    driver: str | UnsetType = UNSET
    mode: str = ""
    rw: bool = _field(name="RW", default=True)
    propagation: str = ""


class PortMapping(Message, kw_only=True):
    host_ip: str = ""
    host_port: str = ""


class NetworkSettings(Message, kw_only=True):
    """The default bridge's endpoint is repeated at the top, as old clients expect it."""

    bridge: str = ""
    sandbox_id: str = _field(name="SandboxID", default="")
    sandbox_key: str = ""
    hairpin_mode: bool = False
    ports: dict[str, list[PortMapping] | None] = {}
    endpoint_id: str = _field(name="EndpointID", default="")
    gateway: str = ""
    global_ipv6_address: str = _field(name="GlobalIPv6Address", default="")
    global_ipv6_prefix_len: int = _field(name="GlobalIPv6PrefixLen", default=0)
    ip_address: str = _field(name="IPAddress", default="")
    ip_prefix_len: int = _field(name="IPPrefixLen", default=0)
    ipv6_gateway: str = _field(name="IPv6Gateway", default="")
    mac_address: str = ""
    networks: dict[str, EndpointSettings] = {}


class GraphDriver(Message, kw_only=True):
    name: str = "overlay2"
    data: dict[str, str] | None = None


class ContainerInspect(Message, kw_only=True):
    """GET /containers/{id}/json."""

    id: str
    created: str
    path: str = ""
    args: list[str] = []
    state: ContainerState
    image: str
    resolv_conf_path: str = ""
    hostname_path: str = ""
    hosts_path: str = ""
    log_path: str = ""
    name: str
    restart_count: int = 0
    driver: str = "overlay2"
    platform: str = "linux"
    mount_label: str = ""
    process_label: str = ""
    app_armor_profile: str = ""
    exec_ids: list[str] | None = _field(name="ExecIDs", default=None)
    host_config: HostConfig
    graph_driver: GraphDriver = _field(default_factory=GraphDriver)
    size_rw: int | UnsetType = UNSET
    size_root_fs: int | UnsetType = UNSET
    mounts: list[MountPoint] = []
    config: ContainerConfig
    network_settings: NetworkSettings = _field(default_factory=NetworkSettings)


class Port(Message, kw_only=True):
    """A port in the list; public_port and ip are absent when the port is not published."""

    ip: str | UnsetType = _field(name="IP", default=UNSET)
    private_port: int
    public_port: int | UnsetType = UNSET
    type: str = "tcp"


class SummaryHostConfig(Message, kw_only=True):
    network_mode: str = "default"


class SummaryNetworkSettings(Message, kw_only=True):
    networks: dict[str, EndpointSettings] = {}


class ContainerSummary(Message, kw_only=True):
    """An entry of GET /containers/json; `created` is in seconds, `status` is "Up 3 minutes" and the like."""

    id: str
    names: list[str]
    image: str
    image_id: str = _field(name="ImageID", default="")
    command: str = ""
    created: int = 0
    ports: list[Port] = []
    size_rw: int | UnsetType = UNSET
    size_root_fs: int | UnsetType = UNSET
    labels: dict[str, str] = {}
    state: str = ""
    status: str = ""
    host_config: SummaryHostConfig = _field(default_factory=SummaryHostConfig)
    network_settings: SummaryNetworkSettings = _field(default_factory=SummaryNetworkSettings)
    mounts: list[MountPoint] = []


class WaitError(Message, kw_only=True):
    message: str


class WaitResult(Message, kw_only=True):
    """POST /containers/{id}/wait."""

    status_code: int
    error: WaitError | UnsetType = UNSET


class Top(Message, kw_only=True):
    """GET /containers/{id}/top: a title per column, a list of columns per process."""

    titles: list[str]
    processes: list[list[str]]


class Change(Message, kw_only=True):
    """An entry of GET /containers/{id}/changes; kind is 0 (modified), 1 (added) or 2 (deleted)."""

    path: str
    kind: int


class PathStat(msgspec.Struct, kw_only=True, rename="camel"):
    """X-Docker-Container-Path-Stat (base64 of this as JSON); `mode` is Go's os.FileMode, not Unix's."""

    name: str
    size: int
    mode: int
    mtime: str
    link_target: str = ""


class ContainersPruned(Message, kw_only=True):
    containers_deleted: list[str] | None = None
    space_reclaimed: int = 0


class CommitResult(Message, kw_only=True):
    id: str
