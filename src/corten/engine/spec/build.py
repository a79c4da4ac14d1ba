"""The runtime specification of a container, with Docker's defaults. Static parts are made once, at import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from corten.api.host_config import HostConfig
from corten.engine.record import Container, MountRecord
from corten.engine.spec.merge import environment
from corten.engine.spec.resources import build_resources, rlimits
from corten.engine.spec.security import (
    MASKED_PATHS,
    READONLY_PATHS,
    SecurityOptions,
    apparmor_available,
    capability_sets,
    no_seccomp,
    parse_security,
    seccomp_filter,
)
from corten.oci.runtime_spec import (
    ConsoleSize,
    Device,
    DeviceCgroup,
    Linux,
    Mount,
    Namespace,
    Process,
    Root,
    Spec,
    User,
)
from corten.runtime.devices import (
    ALLOW_ALL,
    DEFAULT_DEVICES,
    DEFAULT_RULES,
    DENY_ALL,
    host_devices,
    parse_device,
    parse_rule,
)
from corten.runtime.execute_usual import SYSCTLS
from corten.runtime.mount_options import SUBPATH
from corten.runtime.plan_provided import LayeredMount, ProvidedMount, SharedMount
from corten.volume.driver import VolumeMount

SHM_SIZE = 64 * 1024 * 1024

_PROC = Mount(destination="/proc", type="proc", source="proc", options=("nosuid", "noexec", "nodev"))
_PROC_HOST = Mount(
    destination="/proc", type="bind", source="/proc", options=("rbind", "nosuid", "noexec", "nodev")
)
_DEV = Mount(
    destination="/dev",
    type="tmpfs",
    source="tmpfs",
    options=("nosuid", "strictatime", "mode=755", "size=65536k"),
)
_PTS = Mount(
    destination="/dev/pts",
    type="devpts",
    source="devpts",
    options=("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
)
_SYS = Mount(destination="/sys", type="sysfs", source="sysfs", options=("nosuid", "noexec", "nodev", "ro"))
_SYS_RW = Mount(destination="/sys", type="sysfs", source="sysfs", options=("nosuid", "noexec", "nodev", "rw"))
_SYS_HOST = Mount(
    destination="/sys", type="bind", source="/sys", options=("rbind", "nosuid", "noexec", "nodev", "ro")
)
_CGROUP = Mount(
    destination="/sys/fs/cgroup", type="cgroup", source="cgroup", options=("ro", "nosuid", "noexec", "nodev")
)
_CGROUP_RW = Mount(
    destination="/sys/fs/cgroup", type="cgroup", source="cgroup", options=("rw", "nosuid", "noexec", "nodev")
)
_MQUEUE = Mount(
    destination="/dev/mqueue", type="mqueue", source="mqueue", options=("nosuid", "noexec", "nodev")
)
_MQUEUE_HOST = Mount(
    destination="/dev/mqueue", type="bind", source="/dev/mqueue", options=("rbind", "nosuid")
)

_ROOTLESS_SYSCTLS = {"net.ipv4.ip_unprivileged_port_start": "0"}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a spec depends on outside of the container's own record.

    `directory`: the container's data directory. `files`: destination → source of resolv.conf, hostname and
    hosts. `peers`: "net", "pid", "ipc" → the pid of the container that is joined. `volumes`: name → its
    mount. `images`: image mounts' lower directories by destination, topmost first. `empty`: an empty
    directory of the host, which image mounts need.
    """

    directory: str
    cgroup: str
    files: Mapping[str, str] = field(default_factory=dict)
    peers: Mapping[str, int] = field(default_factory=dict)
    volumes: Mapping[str, VolumeMount] = field(default_factory=dict)
    images: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    empty: str = ""
    rootless: bool = False


def hostname_of(container: Container, host_name: str) -> str:
    """Its host name: what was asked for, the host's with its UTS or network namespace, or the short id."""
    if container.config.hostname:
        return container.config.hostname
    if container.host_config.uts_mode == "host" or container.host_config.network_mode == "host":
        return host_name
    return container.short_id


def build_spec(container: Container, around: Surroundings, *, host_name: str) -> Spec:
    """Everything that the runtime needs to know about `container`."""
    config, host = container.config, container.host_config
    security = parse_security(host)
    hostname = hostname_of(container, host_name)
    devices, rules = _devices(host, rootless=around.rootless)
    masked, readonly = _paths(host, security)
    own_uts = host.uts_mode != "host"
    process = _process(container, hostname, security)
    capabilities = process.capabilities.bounding if process.capabilities else ()
    unfiltered = security.seccomp == "unconfined" or host.privileged or no_seccomp()
    return Spec(
        root=Root(path="rootfs", readonly=host.readonly_rootfs),
        hostname=hostname if own_uts else None,
        domainname=config.domainname or None if own_uts else None,
        mounts=_mounts(container, around),
        annotations=host.annotations or None,
        process=process,
        linux=Linux(
            namespaces=_namespaces(host, around),
            resources=build_resources(host, rules),
            cgroups_path=around.cgroup,
            devices=devices,
            sysctl=_sysctls(host, rootless=around.rootless),
            seccomp=None if unfiltered else seccomp_filter(security.seccomp, capabilities or ()),
            masked_paths=masked,
            readonly_paths=readonly,
            rootfs_propagation=_propagation(container.definition.mounts),
        ),
    )


def _process(container: Container, hostname: str, security: SecurityOptions) -> Process:
    config, host = container.config, container.host_config
    size = host.console_size
    apparmor = security.apparmor
    if not apparmor and apparmor_available() and not host.privileged:
        apparmor = "corten-default"
    return Process(
        args=(container.definition.path, *container.definition.args),
        cwd=config.working_dir or "/",
        env=tuple(environment(config, hostname)),
        terminal=config.tty,
        console_size=ConsoleSize(height=size[0], width=size[1])
        if config.tty and len(size) == 2 and any(size)
        else None,
        user=User(
            # Without a user: root, with the groups that the image gives it.
            username=config.user or "0",
            additional_gids=tuple(int(group) for group in host.group_add if group.isdigit()),
            additional_groups=tuple(group for group in host.group_add if not group.isdigit()),
        ),
        rlimits=rlimits(host),
        capabilities=capability_sets(tuple(host.cap_add), tuple(host.cap_drop), host.privileged),
        no_new_privileges=security.no_new_privileges,
        apparmor_profile=None if apparmor in ("", "unconfined") else apparmor,
        oom_score_adj=host.oom_score_adj or None,
    )


def _devices(host: HostConfig, *, rootless: bool) -> tuple[tuple[Device, ...], tuple[DeviceCgroup, ...]]:
    if host.privileged:
        return (*DEFAULT_DEVICES, *host_devices()), (ALLOW_ALL,)
    if not host.devices and not host.device_cgroup_rules:
        return DEFAULT_DEVICES, _STATIC_RULES
    nodes, rules = list(DEFAULT_DEVICES), list(_STATIC_RULES)
    for mapping in host.devices:
        inside = mapping.path_in_container or mapping.path_on_host
        made, allowed = parse_device(f"{mapping.path_on_host}:{inside}:{mapping.cgroup_permissions or 'rwm'}")
        nodes += made
        rules += allowed
    rules += [parse_rule(text) for text in host.device_cgroup_rules]
    return tuple(nodes), tuple(rules)


_STATIC_RULES = (DENY_ALL, *DEFAULT_RULES)


def _paths(host: HostConfig, security: SecurityOptions) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if host.privileged or security.system_paths_unconfined:
        return (), ()
    masked = MASKED_PATHS if host.masked_paths is None else tuple(host.masked_paths)
    readonly = READONLY_PATHS if host.readonly_paths is None else tuple(host.readonly_paths)
    return masked, readonly


def _sysctls(host: HostConfig, *, rootless: bool) -> dict[str, str] | None:
    mode = host.network_mode
    private = mode != "host" and not mode.startswith("container:")
    # In a user namespace the range may not name groups that do not exist there: Docker leaves it alone, too.
    own = (_ROOTLESS_SYSCTLS if rootless else SYSCTLS) if private else {}
    return {**own, **host.sysctls} if host.sysctls else own or None


def _namespaces(host: HostConfig, around: Surroundings) -> tuple[Namespace, ...]:
    result = [Namespace(type="mount")]
    for kind, mode, name in (
        ("network", host.network_mode, "net"),
        ("pid", host.pid_mode, "pid"),
        ("ipc", host.ipc_mode, "ipc"),
    ):
        if mode.startswith("container:"):
            result.append(Namespace(type=kind, path=f"/proc/{around.peers[name]}/ns/{name}"))
        elif mode != "host":
            result.append(Namespace(type=kind))
    if host.uts_mode != "host":
        result.append(Namespace(type="uts"))
    if host.cgroupns_mode != "host" and not (host.privileged and not host.cgroupns_mode):
        result.append(Namespace(type="cgroup"))
    return tuple(result)


def _propagation(mounts: list[MountRecord]) -> str | None:
    """A shared or slave bind needs a root that lets it through."""
    kinds = {mount.propagation for mount in mounts}
    if kinds & {"shared", "rshared"}:
        return "shared"
    if kinds & {"slave", "rslave"}:
        return "slave"
    return None


def _mounts(container: Container, around: Surroundings) -> tuple[Mount, ...]:
    host = container.host_config
    # sysfs and proc belong to network and pid namespaces: a user namespace may not mount the host's anew.
    sys_bound = around.rootless and (host.network_mode == "host")
    proc_bound = around.rootless and host.pid_mode == "host"
    result = [
        _PROC_HOST if proc_bound else _PROC,
        _DEV,
        _PTS,
        _SYS_HOST if sys_bound else _SYS_RW if host.privileged else _SYS,
        _CGROUP_RW if host.privileged else _CGROUP,
        # A host that has not mounted its queues: the new mount shows them, for the namespace is the host's.
        _MQUEUE_HOST if host.ipc_mode == "host" and Path("/dev/mqueue").is_dir() else _MQUEUE,
    ]
    taken = {mount.destination for mount in container.definition.mounts}
    if host.ipc_mode != "none" and "ipc" not in around.peers and "/dev/shm" not in taken:
        result.append(_shm(host))
    result = [mount for mount in result if mount.destination not in taken]
    result += [
        Mount(destination=destination, type="bind", source=source, options=("rbind", "rprivate"))
        for destination, source in around.files.items()
        if destination not in taken
    ]
    mounts = container.definition.mounts
    result += [_mount(record, around) for record in mounts[: _first_image(mounts)]]
    return tuple(result)


def later_mounts(container: Container, around: Surroundings) -> tuple[Mount | ProvidedMount, ...]:
    """What no specification can name: the shared memory of a container that is joined, and mounts of images,
    with what comes after the first of them, as it may lie below."""
    mounts = container.definition.mounts
    shared: list[ProvidedMount] = []
    if "ipc" in around.peers and not any(mount.destination == "/dev/shm" for mount in mounts):
        shared.append(SharedMount(destination="/dev/shm", pid=around.peers["ipc"]))
    return (*shared, *_with_images(mounts, around))


def _with_images(mounts: list[MountRecord], around: Surroundings) -> tuple[Mount | ProvidedMount, ...]:
    return tuple(
        LayeredMount(
            destination=record.destination,
            lowers=around.images[record.destination],
            scratch=around.empty,
            empty=around.empty,
            part=record.subpath,
        )
        if record.type == "image"
        else _mount(record, around)
        for record in mounts[_first_image(mounts) :]
    )


def _first_image(mounts: list[MountRecord]) -> int:
    """Where the first mount of an image is; the number of all when there is none."""
    return next((at for at, record in enumerate(mounts) if record.type == "image"), len(mounts))


def _shm(host: HostConfig) -> Mount:
    if host.ipc_mode == "host":
        return Mount(destination="/dev/shm", type="bind", source="/dev/shm", options=("rbind",))
    return Mount(
        destination="/dev/shm",
        type="tmpfs",
        source="shm",
        options=("nosuid", "noexec", "nodev", "mode=1777", f"size={host.shm_size or SHM_SIZE}"),
    )


def _part(record: MountRecord) -> tuple[str, ...]:
    """The option that binds a part of the source; the runtime resolves it beneath the source."""
    return (SUBPATH + record.subpath,) if record.subpath else ()


def _mount(record: MountRecord, around: Surroundings) -> Mount:
    access = "rw" if record.rw else "ro"
    if record.type == "tmpfs":
        options = (*record.options, *(() if record.rw else ("ro",)))
        return Mount(destination=record.destination, type="tmpfs", source="tmpfs", options=options)
    extra = ("idmap",) if record.id_map else ()
    if record.type == "volume":
        volume = around.volumes[record.name]
        return Mount(
            destination=record.destination,
            type=volume.type,
            source=volume.source,
            options=(
                *volume.options,
                access,
                *(("rprivate",) if volume.type == "bind" else ()),
                *extra,
                *_part(record),
            ),
        )
    return Mount(
        destination=record.destination,
        type="bind",
        source=record.source,
        options=(
            "bind" if record.non_recursive else "rbind",
            access,
            record.propagation or "rprivate",
            *extra,
        ),
    )
