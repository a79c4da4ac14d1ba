"""HostConfig: what the host gives to a container and takes from it (limits, mounts, namespaces, security)."""

from __future__ import annotations

import msgspec

from corten.api.message import Message


class LogConfig(Message, kw_only=True):
    type: str = ""
    config: dict[str, str] = {}


class RestartPolicy(Message, kw_only=True):
    name: str = ""
    maximum_retry_count: int = 0


class PortBinding(Message, kw_only=True):
    host_ip: str = ""
    host_port: str = ""


class ThrottleDevice(Message, kw_only=True):
    """A rate (bytes or operations per second) for one block device."""

    path: str
    rate: int = 0


class WeightDevice(Message, kw_only=True):
    path: str
    weight: int = 0


class Ulimit(Message, kw_only=True):
    name: str
    soft: int = 0
    hard: int = 0


class DeviceMapping(Message, kw_only=True):
    path_on_host: str
    path_in_container: str = ""
    cgroup_permissions: str = "rwm"


class DeviceRequest(Message, kw_only=True):
    driver: str = ""
    count: int = 0
    device_ids: list[str] = msgspec.field(name="DeviceIDs", default_factory=list)
    capabilities: list[list[str]] = []
    options: dict[str, str] = {}


class BindOptions(Message, kw_only=True):
    propagation: str = ""
    non_recursive: bool = False
    create_mountpoint: bool = False
    read_only_non_recursive: bool = False
    read_only_force_recursive: bool = False
    #: Corten's own: files written in the container belong to the owner of the source (idmapped mount).
    id_map: bool = False


class DriverConfig(Message, kw_only=True):
    name: str = ""
    options: dict[str, str] = {}


class VolumeOptions(Message, kw_only=True):
    no_copy: bool = False
    labels: dict[str, str] = {}
    driver_config: DriverConfig | None = None
    subpath: str = ""


class TmpfsOptions(Message, kw_only=True):
    size_bytes: int = 0
    mode: int = 0
    options: list[list[str]] = []


class ImageOptions(Message, kw_only=True):
    subpath: str = ""


class Mount(Message, kw_only=True):
    """An entry of `--mount`: type is bind, volume, tmpfs or image."""

    type: str = ""
    source: str = ""
    target: str = ""
    read_only: bool = False
    consistency: str = ""
    bind_options: BindOptions | None = None
    volume_options: VolumeOptions | None = None
    tmpfs_options: TmpfsOptions | None = None
    image_options: ImageOptions | None = None


class Resources(Message, kw_only=True):
    """Limits of a container; zero, empty or None is "no limit of its own"."""

    cpu_shares: int = 0
    memory: int = 0
    nano_cpus: int = 0
    cgroup_parent: str = ""
    blkio_weight: int = 0
    blkio_weight_device: list[WeightDevice] = []
    blkio_device_read_bps: list[ThrottleDevice] = []
    blkio_device_write_bps: list[ThrottleDevice] = []
    blkio_device_read_iops: list[ThrottleDevice] = msgspec.field(
        name="BlkioDeviceReadIOps", default_factory=list
    )
    blkio_device_write_iops: list[ThrottleDevice] = msgspec.field(
        name="BlkioDeviceWriteIOps", default_factory=list
    )
    cpu_period: int = 0
    cpu_quota: int = 0
    cpu_realtime_period: int = 0
    cpu_realtime_runtime: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    devices: list[DeviceMapping] = []
    device_cgroup_rules: list[str] = []
    device_requests: list[DeviceRequest] = []
    kernel_memory_tcp: int = msgspec.field(name="KernelMemoryTCP", default=0)
    memory_reservation: int = 0
    memory_swap: int = 0
    memory_swappiness: int | None = None
    oom_kill_disable: bool | None = None
    pids_limit: int | None = None
    ulimits: list[Ulimit] = []
    cpu_count: int = 0
    cpu_percent: int = 0


class HostConfig(Resources, kw_only=True):
    binds: list[str] = []
    container_id_file: str = msgspec.field(name="ContainerIDFile", default="")
    log_config: LogConfig = msgspec.field(default_factory=LogConfig)
    network_mode: str = ""
    port_bindings: dict[str, list[PortBinding] | None] = {}
    restart_policy: RestartPolicy = msgspec.field(default_factory=RestartPolicy)
    auto_remove: bool = False
    volume_driver: str = ""
    volumes_from: list[str] = []
    console_size: list[int] = []
    annotations: dict[str, str] = {}
    cap_add: list[str] = []
    cap_drop: list[str] = []
    cgroupns_mode: str = ""
    dns: list[str] = []
    dns_options: list[str] = []
    dns_search: list[str] = []
    extra_hosts: list[str] = []
    group_add: list[str] = []
    ipc_mode: str = ""
    cgroup: str = ""
    links: list[str] = []
    oom_score_adj: int = 0
    pid_mode: str = ""
    privileged: bool = False
    publish_all_ports: bool = False
    readonly_rootfs: bool = False
    security_opt: list[str] = []
    storage_opt: dict[str, str] = {}
    tmpfs: dict[str, str] = {}
    uts_mode: str = msgspec.field(name="UTSMode", default="")
    userns_mode: str = ""
    shm_size: int = 0
    sysctls: dict[str, str] = {}
    runtime: str = ""
    isolation: str = ""
    mounts: list[Mount] = []
    #: None is Docker's default list; an empty list is "mask nothing" (`systempaths=unconfined`).
    masked_paths: list[str] | None = None
    readonly_paths: list[str] | None = None
    init: bool | None = None
    #: Corten's own: the writable layer is gone at every restart (`--volatile`).
    volatile: bool = False


class ContainerUpdate(Resources, kw_only=True):
    """POST /containers/{id}/update: only the fields that are set (not zero) change."""

    restart_policy: RestartPolicy | None = None


class UpdateResult(Message, kw_only=True):
    warnings: list[str] = []
