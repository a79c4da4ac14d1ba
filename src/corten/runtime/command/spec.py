"""`spec`: a config.json to begin with."""

from __future__ import annotations

import os

from corten.errors import Conflict, InvalidArgument
from corten.oci import runtime_spec as s
from corten.runtime.command.options import Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.runtime.command.main import Context

_CAPABILITIES = ("CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE")
_MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/sys/firmware",
    "/proc/scsi",
)
_READONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def run(context: Context, arguments: list[str]) -> int:
    options = Options("spec [--bundle DIR] [--rootless]", values={"bundle": "b"}, flags={"rootless": ""})
    parsed = options.parse(arguments)
    path = os.path.join(parsed.values.get("bundle", "."), "config.json")
    import json

    document = json.dumps(json.loads(s.encode(default_spec("rootless" in parsed.flags))), indent=4).encode()
    try:
        with open(path, "xb") as file:  # noqa: PTH123
            file.write(document + b"\n")
    except FileExistsError:
        raise Conflict(f"{path} exists already: remove it first") from None
    except OSError as error:
        raise InvalidArgument(f"cannot write {path}: {error.strerror}") from error
    return 0


def default_spec(rootless: bool = False) -> s.Spec:
    """A shell in a terminal."""
    return s.Spec(
        process=s.Process(
            terminal=True,
            args=("sh",),
            env=("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"),
            capabilities=s.Capabilities(
                bounding=_CAPABILITIES, effective=_CAPABILITIES, permitted=_CAPABILITIES
            ),
            rlimits=(s.Rlimit(type="RLIMIT_NOFILE", hard=1024, soft=1024),),
            no_new_privileges=True,
        ),
        root=s.Root(readonly=True),
        hostname="corten",
        mounts=_mounts(rootless),
        linux=_linux(rootless),
    )


def _mounts(rootless: bool) -> tuple[s.Mount, ...]:
    plain = ("nosuid", "noexec", "nodev")
    dev = ("nosuid", "strictatime", "mode=755", "size=65536k")
    pts = ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", *(() if rootless else ("gid=5",)))
    shm = (*plain, "mode=1777", "size=65536k")
    mounts = [
        s.Mount(destination="/proc", type="proc", source="proc"),
        s.Mount(destination="/dev", type="tmpfs", source="tmpfs", options=dev),
        s.Mount(destination="/dev/pts", type="devpts", source="devpts", options=pts),
        s.Mount(destination="/dev/shm", type="tmpfs", source="shm", options=shm),
        s.Mount(destination="/dev/mqueue", type="mqueue", source="mqueue", options=plain),
        s.Mount(destination="/sys", type="sysfs", source="sysfs", options=(*plain, "ro")),
    ]
    if not rootless:
        options = (*plain, "relatime", "ro")
        mounts.append(s.Mount(destination="/sys/fs/cgroup", type="cgroup", source="cgroup", options=options))
    return tuple(mounts)


def _linux(rootless: bool) -> s.Linux:
    kinds = ("pid", "network", "ipc", "uts", "mount", "cgroup", *(("user",) if rootless else ()))
    uids = (s.IDMapping(container_id=0, host_id=os.geteuid(), size=1),) if rootless else ()
    gids = (s.IDMapping(container_id=0, host_id=os.getegid(), size=1),) if rootless else ()
    rules = () if rootless else (s.DeviceCgroup(allow=False, access="rwm"),)
    return s.Linux(
        resources=s.Resources(devices=rules),
        namespaces=tuple(s.Namespace(type=kind) for kind in kinds),
        uid_mappings=uids,
        gid_mappings=gids,
        masked_paths=_MASKED,
        readonly_paths=_READONLY,
    )
