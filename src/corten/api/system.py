"""The engine itself: version, information, disk usage, errors."""

from __future__ import annotations

from typing import Any

import msgspec

from corten.api.build import BuildCacheItem
from corten.api.container import ContainerSummary
from corten.api.image import ImageSummary
from corten.api.message import Message
from corten.api.volume import Volume

_field = msgspec.field

API_VERSION = "1.51"
MIN_API_VERSION = "1.40"


class ErrorMessage(msgspec.Struct, kw_only=True):
    """The body of every answer with a status of 400 or more."""

    message: str


class PlatformName(Message, kw_only=True):
    name: str = ""


class ComponentVersion(Message, kw_only=True):
    name: str
    version: str
    details: dict[str, str] = {}


class Version(Message, kw_only=True):
    """GET /version."""

    platform: PlatformName = _field(default_factory=PlatformName)
    components: list[ComponentVersion] = []
    version: str = ""
    api_version: str = API_VERSION
    min_api_version: str = _field(name="MinAPIVersion", default=MIN_API_VERSION)
    git_commit: str = ""
    go_version: str = ""
    os: str = "linux"
    arch: str = ""
    kernel_version: str = ""
    experimental: bool = False
    build_time: str = ""


class Plugins(Message, kw_only=True):
    volume: list[str] = _field(default_factory=lambda: ["local"])
    network: list[str] = _field(default_factory=lambda: ["bridge", "host", "none"])
    authorization: list[str] | None = None
    log: list[str] = _field(default_factory=lambda: ["json-file", "none"])


class RuntimeInfo(msgspec.Struct, kw_only=True):
    path: str = ""


class Commit(Message, kw_only=True):
    id: str = _field(name="ID", default="")
    expected: str = ""


class RegistryConfig(Message, kw_only=True):
    allow_nondistributable_artifacts_cidrs: list[str] = _field(
        name="AllowNondistributableArtifactsCIDRs", default_factory=list
    )
    insecure_registry_cidrs: list[str] = _field(name="InsecureRegistryCIDRs", default_factory=list)
    index_configs: dict[str, Any] = {}
    mirrors: list[str] = []


class SwarmInfo(Message, kw_only=True):
    node_id: str = _field(name="NodeID", default="")
    node_addr: str = ""
    local_node_state: str = "inactive"
    control_available: bool = False
    error: str = ""
    remote_managers: list[Any] | None = None


class Info(Message, kw_only=True):
    """GET /info."""

    id: str = _field(name="ID", default="")
    containers: int = 0
    containers_running: int = 0
    containers_paused: int = 0
    containers_stopped: int = 0
    images: int = 0
    driver: str = "overlay2"
    driver_status: list[list[str]] = []
    plugins: Plugins = _field(default_factory=Plugins)
    memory_limit: bool = True
    swap_limit: bool = True
    cpu_cfs_period: bool = _field(name="CpuCfsPeriod", default=True)
    cpu_cfs_quota: bool = _field(name="CpuCfsQuota", default=True)
    cpu_shares: bool = _field(name="CPUShares", default=True)
    cpu_set: bool = _field(name="CPUSet", default=True)
    pids_limit: bool = True
    ipv4_forwarding: bool = _field(name="IPv4Forwarding", default=True)
    bridge_nf_iptables: bool = False
    bridge_nf_ip6tables: bool = False
    debug: bool = False
    n_fd: int = 0
    oom_kill_disable: bool = False
    n_goroutines: int = 0
    system_time: str = ""
    logging_driver: str = "json-file"
    cgroup_driver: str = "cgroupfs"
    cgroup_version: str = "1"
    n_events_listener: int = 0
    kernel_version: str = ""
    operating_system: str = ""
    os_version: str = _field(name="OSVersion", default="")
    os_type: str = _field(name="OSType", default="linux")
    architecture: str = ""
    index_server_address: str = "https://index.docker.io/v1/"
    registry_config: RegistryConfig = _field(default_factory=RegistryConfig)
    n_cpu: int = _field(name="NCPU", default=0)
    mem_total: int = 0
    generic_resources: list[Any] | None = None
    docker_root_dir: str = ""
    http_proxy: str = ""
    https_proxy: str = ""
    no_proxy: str = ""
    name: str = ""
    labels: list[str] = []
    experimental_build: bool = False
    server_version: str = ""
    runtimes: dict[str, RuntimeInfo] = {}
    default_runtime: str = "corten"
    swarm: SwarmInfo = _field(default_factory=SwarmInfo)
    live_restore_enabled: bool = True
    isolation: str = ""
    init_binary: str = ""
    containerd_commit: Commit = _field(default_factory=Commit)
    runc_commit: Commit = _field(default_factory=Commit)
    init_commit: Commit = _field(default_factory=Commit)
    security_options: list[str] = []
    cdi_spec_dirs: list[str] = _field(name="CDISpecDirs", default_factory=list)
    warnings: list[str] | None = None


class ImagesDiskUsage(Message, kw_only=True):
    """The images together, as API 1.52 has it; sizes in bytes on disk."""

    active_count: int = 0
    total_count: int = 0
    reclaimable: int = 0
    total_size: int = 0


class DiskUsage(Message, kw_only=True):
    """GET /system/df."""

    layers_size: int = 0
    images: list[ImageSummary] | None = None
    images_disk_usage: ImagesDiskUsage | msgspec.UnsetType = msgspec.UNSET
    containers: list[ContainerSummary] | None = None
    volumes: list[Volume] | None = None
    build_cache: list[BuildCacheItem] | None = None


class AuthConfig(msgspec.Struct, kw_only=True):
    """POST /auth, and (base64) the header X-Registry-Auth."""

    username: str = ""
    password: str = ""
    auth: str = ""
    email: str = ""
    serveraddress: str = ""
    identitytoken: str = ""
    registrytoken: str = ""


class AuthResult(Message, kw_only=True):
    status: str
    identity_token: str = ""
