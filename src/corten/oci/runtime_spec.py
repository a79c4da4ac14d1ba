"""The OCI runtime specification 1.2 (`config.json` and the state document) as typed values.

Names are the specification's, in snake case; `decode` and `encode` speak its JSON. Unknown fields are
ignored, as the specification asks ("Extensibility"). Values are frozen: make changed copies with
`struct.replace`. Defaults are left out of the JSON, except where the specification requires the
field. https://github.com/opencontainers/runtime-spec/blob/v1.2.0/config.md
"""

from __future__ import annotations

from corten.errors import InvalidArgument
from corten.oci import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

VERSION = "1.2.0"


def _required(value: Any) -> Any:
    """A default that is written to the JSON all the same (msgspec leaves out only plain defaults)."""
    return struct.field(default_factory=lambda: value)


class _Value(struct.Struct, frozen=True, omit_defaults=True, kw_only=True, rename="camel"):
    """Base of all parts of the specification."""


class IDMapping(_Value, frozen=True):
    """A range of ids: `size` ids from `container_id` in the container are `host_id`... on the host."""

    container_id: int = struct.field(name="containerID")
    host_id: int = struct.field(name="hostID")
    size: int


class Root(_Value, frozen=True):
    path: str = _required("rootfs")
    readonly: bool = False


class Mount(_Value, frozen=True):
    destination: str
    type: str | None = None
    source: str | None = None
    options: tuple[str, ...] | None = ()
    uid_mappings: tuple[IDMapping, ...] | None = ()
    gid_mappings: tuple[IDMapping, ...] | None = ()


class ConsoleSize(_Value, frozen=True):
    height: int = 0
    width: int = 0


class User(_Value, frozen=True):
    """`username` (the specification's Windows field) may carry Docker's text "name|uid[:group|gid]".

    It is then resolved in the container's own /etc/passwd and /etc/group; `uid` and `gid` are not looked at.
    `additional_groups` (Corten's own) are names of further groups, resolved there as well.
    """

    uid: int = _required(0)
    gid: int = _required(0)
    umask: int | None = None
    additional_gids: tuple[int, ...] | None = ()
    username: str | None = None
    additional_groups: tuple[str, ...] | None = ()


class Rlimit(_Value, frozen=True):
    type: str
    soft: int
    hard: int


class Capabilities(_Value, frozen=True):
    bounding: tuple[str, ...] | None = ()
    effective: tuple[str, ...] | None = ()
    inheritable: tuple[str, ...] | None = ()
    permitted: tuple[str, ...] | None = ()
    ambient: tuple[str, ...] | None = ()


class IOPriority(_Value, frozen=True):
    class_: str = struct.field(name="class")
    priority: int = 0


class Scheduler(_Value, frozen=True):
    policy: str
    nice: int = 0
    priority: int = 0
    flags: tuple[str, ...] | None = ()
    runtime: int = 0
    deadline: int = 0
    period: int = 0


class ExecCPUAffinity(_Value, frozen=True):
    initial: str | None = None
    final: str | None = None


class Process(_Value, frozen=True):
    cwd: str = _required("/")
    args: tuple[str, ...] | None = ()
    env: tuple[str, ...] | None = ()
    terminal: bool = False
    console_size: ConsoleSize | None = None
    user: User = _required(User())
    rlimits: tuple[Rlimit, ...] | None = ()
    capabilities: Capabilities | None = None
    no_new_privileges: bool = False
    apparmor_profile: str | None = None
    oom_score_adj: int | None = None
    selinux_label: str | None = None
    io_priority: IOPriority | None = None
    scheduler: Scheduler | None = None
    exec_cpu_affinity: ExecCPUAffinity | None = struct.field(name="execCPUAffinity", default=None)


class Hook(_Value, frozen=True):
    path: str
    args: tuple[str, ...] | None = ()
    env: tuple[str, ...] | None = ()
    timeout: int | None = None


class Hooks(_Value, frozen=True):
    prestart: tuple[Hook, ...] | None = ()
    create_runtime: tuple[Hook, ...] | None = ()
    create_container: tuple[Hook, ...] | None = ()
    start_container: tuple[Hook, ...] | None = ()
    poststart: tuple[Hook, ...] | None = ()
    poststop: tuple[Hook, ...] | None = ()


class Namespace(_Value, frozen=True):
    """`type` is one of pid, network, mount, ipc, uts, user, cgroup, time; a `path` joins an existing one."""

    type: str
    path: str | None = None


class Device(_Value, frozen=True):
    """A device node to make; `type` is c, b, u or p."""

    type: str
    path: str
    major: int = 0
    minor: int = 0
    file_mode: int | None = None
    uid: int | None = None
    gid: int | None = None


class DeviceCgroup(_Value, frozen=True):
    """One rule of the device controller; no type, major or minor means all of them."""

    allow: bool
    type: str | None = None
    major: int | None = None
    minor: int | None = None
    access: str | None = None


class Memory(_Value, frozen=True):
    limit: int | None = None
    reservation: int | None = None
    swap: int | None = None
    kernel: int | None = None
    kernel_tcp: int | None = struct.field(name="kernelTCP", default=None)
    swappiness: int | None = None
    disable_oom_killer: bool | None = struct.field(name="disableOOMKiller", default=None)
    use_hierarchy: bool | None = None
    check_before_update: bool | None = None


class CPU(_Value, frozen=True):
    shares: int | None = None
    quota: int | None = None
    burst: int | None = None
    period: int | None = None
    realtime_runtime: int | None = None
    realtime_period: int | None = None
    cpus: str | None = None
    mems: str | None = None
    idle: int | None = None


class Pids(_Value, frozen=True):
    limit: int | None = None


class WeightDevice(_Value, frozen=True):
    major: int
    minor: int
    weight: int | None = None
    leaf_weight: int | None = None


class ThrottleDevice(_Value, frozen=True):
    """`rate` is bytes or operations per second on device `major`:`minor`."""

    major: int
    minor: int
    rate: int


class BlockIO(_Value, frozen=True):
    weight: int | None = None
    leaf_weight: int | None = None
    weight_device: tuple[WeightDevice, ...] | None = ()
    throttle_read_bps_device: tuple[ThrottleDevice, ...] | None = ()
    throttle_write_bps_device: tuple[ThrottleDevice, ...] | None = ()
    throttle_read_iops_device: tuple[ThrottleDevice, ...] | None = struct.field(
        name="throttleReadIOPSDevice", default=()
    )
    throttle_write_iops_device: tuple[ThrottleDevice, ...] | None = struct.field(
        name="throttleWriteIOPSDevice", default=()
    )


class Hugepage(_Value, frozen=True):
    page_size: str
    limit: int


class InterfacePriority(_Value, frozen=True):
    name: str
    priority: int


class NetworkResources(_Value, frozen=True):
    class_id: int | None = struct.field(name="classID", default=None)
    priorities: tuple[InterfacePriority, ...] | None = ()


class Rdma(_Value, frozen=True):
    hca_handles: int | None = None
    hca_objects: int | None = None


class Resources(_Value, frozen=True):
    devices: tuple[DeviceCgroup, ...] | None = ()
    memory: Memory | None = None
    cpu: CPU | None = None
    pids: Pids | None = None
    block_io: BlockIO | None = struct.field(name="blockIO", default=None)
    hugepage_limits: tuple[Hugepage, ...] | None = ()
    network: NetworkResources | None = None
    rdma: dict[str, Rdma] | None = None
    unified: dict[str, str] | None = None


class SyscallArg(_Value, frozen=True):
    index: int
    value: int
    value_two: int = 0
    op: str = "SCMP_CMP_EQ"


class Syscall(_Value, frozen=True):
    names: tuple[str, ...]
    action: str
    errno_ret: int | None = None
    args: tuple[SyscallArg, ...] | None = ()


class Seccomp(_Value, frozen=True):
    default_action: str
    default_errno_ret: int | None = None
    architectures: tuple[str, ...] | None = ()
    flags: tuple[str, ...] | None = ()
    listener_path: str | None = None
    listener_metadata: str | None = None
    syscalls: tuple[Syscall, ...] | None = ()


class TimeOffset(_Value, frozen=True):
    secs: int = 0
    nanosecs: int = 0


class Personality(_Value, frozen=True):
    domain: str
    flags: tuple[str, ...] | None = ()


class IntelRdt(_Value, frozen=True):
    clos_id: str | None = struct.field(name="closID", default=None)
    l3_cache_schema: str | None = None
    mem_bw_schema: str | None = None
    enable_cmt: bool = struct.field(name="enableCMT", default=False)
    enable_mbm: bool = struct.field(name="enableMBM", default=False)


class Linux(_Value, frozen=True):
    uid_mappings: tuple[IDMapping, ...] | None = ()
    gid_mappings: tuple[IDMapping, ...] | None = ()
    sysctl: dict[str, str] | None = None
    resources: Resources | None = None
    cgroups_path: str | None = None
    namespaces: tuple[Namespace, ...] | None = ()
    devices: tuple[Device, ...] | None = ()
    seccomp: Seccomp | None = None
    rootfs_propagation: str | None = None
    masked_paths: tuple[str, ...] | None = ()
    readonly_paths: tuple[str, ...] | None = ()
    mount_label: str | None = None
    intel_rdt: IntelRdt | None = None
    personality: Personality | None = None
    time_offsets: dict[str, TimeOffset] | None = None


class Spec(_Value, frozen=True):
    """The whole of `config.json`."""

    oci_version: str = _required(VERSION)
    process: Process | None = None
    root: Root | None = None
    hostname: str | None = None
    domainname: str | None = None
    mounts: tuple[Mount, ...] | None = ()
    hooks: Hooks | None = None
    annotations: dict[str, str] | None = None
    linux: Linux | None = None


class State(struct.Struct, frozen=True, kw_only=True, rename="camel"):
    """What `state` prints and hooks read; `status` is one of creating, created, running and stopped."""

    oci_version: str = _required(VERSION)
    id: str
    status: str
    pid: int = 0
    bundle: str
    annotations: dict[str, str] = {}


_SPEC = struct.Decoder(Spec)
_PROCESS = struct.Decoder(Process)
_RESOURCES = struct.Decoder(Resources)


def decode(data: bytes, source: str = "config.json") -> Spec:
    """The spec in `data`; InvalidArgument names `source` and the field that is wrong."""
    spec: Spec = _decode(_SPEC, data, source)
    if not spec.oci_version.startswith("1."):
        raise InvalidArgument(
            f"{source} is for version {spec.oci_version!r} of the runtime specification, not 1.x"
        )
    return spec


def decode_process(data: bytes, source: str = "process.json") -> Process:
    """The process of an `exec`, alone."""
    process: Process = _decode(_PROCESS, data, source)
    return process


def decode_resources(data: bytes, source: str = "resources.json") -> Resources:
    """The resources of an `update`, alone."""
    resources: Resources = _decode(_RESOURCES, data, source)
    return resources


def encode(value: _Value | State) -> bytes:
    """The JSON of a spec, or of any part of one."""
    return struct.encode(value)


def _decode(decoder: struct.Decoder[Any], data: bytes, source: str) -> Any:
    try:
        return decoder.decode(data)
    except (struct.DecodeError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"cannot read {source}: {error}") from error
