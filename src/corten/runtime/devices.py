"""Device nodes of a container: the defaults, `--device`, and what a privileged container sees."""

from __future__ import annotations

import os
import stat

from corten.errors import InvalidArgument
from corten.oci.runtime_spec import Device, DeviceCgroup
from corten.oci.struct import replace

# Nodes that the specification's "Default Devices" asks for (ptmx is devpts' own, console a bind mount).
DEFAULT_DEVICES: tuple[Device, ...] = tuple(
    Device(type="c", path=f"/dev/{name}", major=major, minor=minor, file_mode=0o666, uid=0, gid=0)
    for name, major, minor in (
        ("null", 1, 3),
        ("zero", 1, 5),
        ("full", 1, 7),
        ("random", 1, 8),
        ("urandom", 1, 9),
        ("tty", 5, 0),
    )
)
DENY_ALL = DeviceCgroup(allow=False, access="rwm")
ALLOW_ALL = DeviceCgroup(allow=True, access="rwm")
# mknod of anything (opening stays forbidden), the default nodes, console, ptmx, pts.
DEFAULT_RULES: tuple[DeviceCgroup, ...] = (
    DeviceCgroup(allow=True, type="c", access="m"),
    DeviceCgroup(allow=True, type="b", access="m"),
    *(
        DeviceCgroup(allow=True, type="c", major=major, minor=minor, access="rwm")
        for major, minor in ((1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2), (136, None))
    ),
)


_DEV = "/dev"
# Directories of /dev that a container has of its own, and host-private nodes below it.
_OWN = ("pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev")


def parse_device(text: str) -> tuple[tuple[Device, ...], tuple[DeviceCgroup, ...]]:
    """`--device HOST[:CONTAINER][:PERMISSIONS]`: nodes and rules; a directory gives all in it."""
    parts = text.split(":")
    host, inside, access = parts[0], parts[0], "rwm"
    if len(parts) == 2 and _is_access(parts[1]):
        access = parts[1]
    elif len(parts) == 2:
        inside = parts[1]
    elif len(parts) == 3:
        inside, access = parts[1] or host, parts[2]
    if len(parts) > 3 or not host:
        raise InvalidArgument(f"invalid device specification: {text}")
    return map_device(host, inside, access)


def map_device(
    host: str, inside: str = "", access: str = "rwm"
) -> tuple[tuple[Device, ...], tuple[DeviceCgroup, ...]]:
    """The same from its parts, as in the API's DeviceMapping."""
    inside, access = inside or host, access or "rwm"
    if not _is_access(access):
        raise InvalidArgument(f"invalid device mode: {access}: use letters of rwm")
    if not inside.startswith("/"):
        raise InvalidArgument(f"{inside} is not an absolute path")
    try:
        real = os.path.realpath(host, strict=True)
        if os.path.isdir(real):
            nodes = tuple(
                replace(node, path=inside.rstrip("/") + node.path[len(real) :]) for node in _walk(real)
            )
        else:
            nodes = tuple(filter(None, (_node(real, inside),)))
    except OSError as error:
        raise InvalidArgument(f"{_cannot(host)}: {error.strerror}") from error
    if not nodes:
        raise InvalidArgument(f"{_cannot(host)}: not a device node")
    rules = dict.fromkeys(
        DeviceCgroup(allow=True, type=node.type, major=node.major, minor=node.minor, access=access)
        for node in nodes
    )
    return nodes, tuple(rules)


def host_devices() -> tuple[Device, ...]:
    """Every device node of the host's /dev, for `--privileged`, but what a container has of its own."""
    return tuple(node for node in _walk(_DEV) if node.path not in ("/dev/console", "/dev/ptmx"))


def parse_rule(text: str) -> DeviceCgroup:
    """`--device-cgroup-rule 'c 1:3 rwm'`; `*` is any number."""
    words = text.split()
    numbers = words[1].split(":") if len(words) == 3 else []
    well = len(numbers) == 2 and words[0] in ("a", "b", "c") and _is_access(words[2])
    if not well or not all(number == "*" or number.isdigit() for number in numbers):
        raise InvalidArgument(f"invalid device cgroup format '{text}': use 'c 1:3 rwm'")
    major, minor = (None if number == "*" else int(number) for number in numbers)
    return DeviceCgroup(allow=True, type=words[0], major=major, minor=minor, access=words[2])


def _cannot(host: str) -> str:
    return f'error gathering device information while adding device "{host}"'


def _is_access(text: str) -> bool:
    return bool(text) and len(set(text)) == len(text) and set(text) <= set("rwm")


def _walk(directory: str) -> tuple[Device, ...]:
    found: list[Device] = []
    with os.scandir(directory) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            try:
                if entry.is_dir(follow_symlinks=False):
                    if not (directory == _DEV and entry.name in _OWN):
                        found.extend(_walk(entry.path))
                elif not entry.is_symlink() and (node := _node(entry.path, entry.path)):
                    found.append(node)
            except (FileNotFoundError, PermissionError):  # unplugged meanwhile
                continue
    return tuple(found)


def _node(path: str, inside: str) -> Device | None:
    status = os.stat(path)
    if stat.S_ISBLK(status.st_mode):
        kind = "b"
    elif stat.S_ISCHR(status.st_mode):
        kind = "c"
    else:
        return None
    return Device(
        type=kind,
        path=inside,
        major=os.major(status.st_rdev),
        minor=os.minor(status.st_rdev),
        file_mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
    )
