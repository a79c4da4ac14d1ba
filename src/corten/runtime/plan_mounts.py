"""Compile root, mounts, devices and masked paths to operations."""

from __future__ import annotations

import os
import stat
from functools import lru_cache

from corten.errors import InvalidArgument
from corten.linux import mount as m
from corten.oci.runtime_spec import Device, IDMapping, Mount, Spec
from corten.runtime.cgroup import apply as cgroup
from corten.runtime.execute_usual import CGROUP_DATA, NODES, cgroup_links, device_links
from corten.runtime.mount_options import MountOptions, parse_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from corten.runtime.plan import Draft

_TYPES = {"c": stat.S_IFCHR, "u": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}


@lru_cache(1024)
def relative(path: str, what: str) -> bytes:
    """An absolute path inside the container as bytes relative to its root."""
    if not path.startswith("/"):
        raise InvalidArgument(f"{what} must be an absolute path, not {path!r}")
    if "\0" in path:
        raise InvalidArgument(f"{what} {path!r} has a zero byte in it")
    return os.fsencode(os.path.normpath(path).lstrip("/")) or b"."


def compile_mounts(draft: Draft, spec: Spec) -> None:
    """All mounts of the spec, in its order."""
    for mount in spec.mounts or ():
        compile_mount(draft, mount)


def compile_mount(draft: Draft, mount: Mount) -> None:
    """One mount."""
    target = relative_or_lenient(mount.destination)
    if target == b".":
        raise InvalidArgument(f"cannot mount over the container's root ({mount.destination!r})")
    options = parse_options(mount.options or ())
    kind = mount.type or ("bind" if options.is_bind else "")
    if kind in ("bind", "rbind") or options.is_bind:
        _bind(draft, mount, target, options, recursive=kind == "rbind" or bool(options.flags & m.MS_REC))
    elif kind == "cgroup":
        _cgroup(draft, target, options)
    elif not kind:
        raise InvalidArgument(f"the mount at {mount.destination} has no type")
    else:
        _file_system(draft, mount, kind, target, options)


def relative_or_lenient(path: str) -> bytes:
    """Mount destinations: a relative one is taken from the root, as runc does."""
    return relative("/" + path.lstrip("/"), "a mount's destination")


def _file_system(draft: Draft, mount: Mount, kind: str, target: bytes, options: MountOptions) -> None:
    if options.subpath:
        raise InvalidArgument(
            f"the {kind} at {mount.destination} cannot be mounted in part: a bind mount can"
        )
    data = os.fsencode(",".join(options.data)) or None
    attributes = options.attributes(bind=False)
    if options.copy_up:
        if kind != "tmpfs":
            raise InvalidArgument(f"tmpcopyup is for tmpfs, not for the {kind} at {mount.destination}")
        draft.add("mount_copy_up", target, options.flags, data, attributes)
        return
    source = os.fsencode(mount.source or kind)
    draft.add("mount", target, os.fsencode(kind), source, options.flags, data, attributes)


def _bind(draft: Draft, mount: Mount, target: bytes, options: MountOptions, *, recursive: bool) -> None:
    if not mount.source:
        raise InvalidArgument(f"the bind mount at {mount.destination} has no source")
    source = os.path.join(draft.bundle, mount.source)
    mappings = _mappings(draft, mount, options, source)
    below = os.fsencode(options.subpath)
    propagation = tuple(kind for kind in options.propagation if not kind & m.MS_PRIVATE)
    # The child's mount namespace is private from the start: nothing to do for private binds.
    private = not propagation
    chosen = MountOptions(
        flags=options.flags,
        cleared=options.cleared,
        propagation=propagation,
        deep_set=options.deep_set,
        deep_clear=options.deep_clear,
    ).attributes(bind=True)
    if mappings is None and ((private and not draft.opens_in_parent) or os.geteuid() != 0):
        draft.add("bind", target, os.fsencode(source), recursive, chosen, below)
        return
    # Opened by the parent: there the host's files can be reached, the tree is still the host's peer, and the
    # mount may be given an id mapping.
    slot = draft.parent("clone_tree", os.fsencode(source), recursive, mappings, below)
    if private and draft.opens_in_parent:
        on, off, shallow, deep_on, deep_off, _deep = chosen or (0, 0, 0, 0, 0, 0)
        chosen = (on, off, shallow, deep_on, deep_off, m.MS_PRIVATE)
    draft.add("bind", target, slot, recursive, chosen)


def map_text(mappings: tuple[IDMapping, ...]) -> str:
    """Mappings as /proc/<pid>/uid_map takes them."""
    return "".join(f"{item.container_id} {item.host_id} {item.size}\n" for item in mappings)


def _mappings(draft: Draft, mount: Mount, options: MountOptions, source: str) -> tuple[str, str, bool] | None:
    """(uid map, gid map, recursive) of an idmapped mount: "id on disk, id as seen from the host, count"."""
    deep = options.id_map.startswith("ridmap")
    if mount.uid_mappings or mount.gid_mappings:
        if not (mount.uid_mappings and mount.gid_mappings):
            raise InvalidArgument(f"the mount at {mount.destination} maps users or groups only: map both")
        return map_text(mount.uid_mappings), map_text(mount.gid_mappings), deep
    if not options.id_map:
        return None
    _name, _, explicit = options.id_map.partition("=")
    if explicit:
        return *_explicit_mappings(explicit, mount.destination), deep
    if draft.uid_map:
        return draft.uid_map, draft.gid_map, deep
    # Without a user namespace: the files' owner is seen as the container's user, and the other way round.
    try:
        found = os.stat(source)
    except OSError as error:
        raise InvalidArgument(f"cannot bind {source}: {error.strerror}") from error
    return f"{found.st_uid} {draft.uid} 1\n", f"{found.st_gid} {draft.gid} 1\n", deep


def _explicit_mappings(text: str, destination: str) -> tuple[str, str]:
    """crun's form: uids=DISK-HOST-SIZE[#...];gids=..."""
    found: dict[str, str] = {}
    for part in text.split(";"):
        name, _, ranges = part.partition("=")
        lines = []
        for item in ranges.split("#"):
            numbers = item.lstrip("@+").split("-")
            if name not in ("uids", "gids") or len(numbers) != 3 or not all(n.isdigit() for n in numbers):
                raise InvalidArgument(
                    f"the option idmap={text} of {destination} is not uids=A-B-SIZE;gids=A-B-SIZE"
                )
            lines.append(" ".join(numbers) + "\n")
        found[name] = "".join(lines)
    if len(found) != 2:
        raise InvalidArgument(f"the option idmap={text} of {destination} must give uids and gids")
    return found["uids"], found["gids"]


def _cgroup(draft: Draft, target: bytes, options: MountOptions) -> None:
    directories, points = _cgroup_directories(draft.cgroup)
    if not points:
        return
    unified_only = len(points) == 1 and points[0] == "/sys/fs/cgroup"
    if unified_only:
        draft.add("mount_cgroup2", target, options.flags, os.fsencode(directories[0]))
        return
    hierarchies = tuple(
        (os.fsencode(os.path.basename(point)), os.fsencode(directory))
        for directory, point in zip(directories, points, strict=True)
    )
    draft.add("mount_cgroup1", target, options.flags, hierarchies, cgroup_links(hierarchies), CGROUP_DATA)


def _cgroup_directories(plan: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(the container's directory, the mount point) of each hierarchy."""
    if plan is None:
        return _own_cgroup()
    directories: tuple[str, ...] = plan[cgroup.DIRECTORIES]
    points: tuple[str, ...] = plan[cgroup.MOUNTPOINTS]
    paired = []
    for directory in directories:
        point = max(
            (p for p in points if directory == p or directory.startswith(p + "/")), key=len, default=""
        )
        if point:
            paired.append((directory, point))
    return tuple(pair[0] for pair in paired), tuple(pair[1] for pair in paired)


def _own_cgroup() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Without a cgroup of its own, the process stays in ours."""
    paths: dict[frozenset[str], str] = {}
    with open("/proc/self/cgroup") as file:  # noqa: PTH123
        for line in file:
            _number, joined, own = line.rstrip("\n").split(":", 2)
            paths[frozenset(filter(None, joined.split(",")))] = own
    directories, points = [], []
    with open("/proc/self/mountinfo") as file:  # noqa: PTH123
        for line in file:
            before, _, after = line.partition(" - ")
            kind, _source, data = after.split(" ", 2)
            root, point = before.split(" ")[3:5]
            if kind not in ("cgroup", "cgroup2") or root != "/":
                continue
            names = frozenset(data.strip().split(",")) if kind == "cgroup" else frozenset()
            for controllers, path in paths.items():
                if (not controllers and kind == "cgroup2") or (controllers and controllers <= names):
                    directories.append(point + path.rstrip("/"))
                    points.append(point)
                    break
    return tuple(directories), tuple(points)


def compile_devices(draft: Draft, spec: Spec) -> None:
    """Nodes and links of /dev; nothing where /dev itself is the host's (bound)."""
    for mount in spec.mounts or ():
        if relative_or_lenient(mount.destination) == b"dev" and parse_options(mount.options or ()).is_bind:
            return
    linux = spec.linux
    nodes: dict[bytes, tuple[int, int, int, int, bytes]] = {}
    for name, mode, number, uid, gid, host in NODES:
        nodes[b"dev/" + name] = (mode, number, uid, gid, host)
    for device in (linux.devices if linux else None) or ():
        nodes[relative(device.path, "a device's path")] = _node(device)
    by_directory: dict[bytes, list[tuple[bytes, int, int, int, int, bytes]]] = {}
    for path, (mode, number, uid, gid, host) in nodes.items():
        directory, name_bytes = os.path.split(path)
        by_directory.setdefault(directory or b".", []).append((name_bytes, mode, number, uid, gid, host))
    for directory, items in by_directory.items():
        draft.add("make_devices", directory, tuple(items), draft.binds_devices)
    pts = any(relative_or_lenient(mount.destination) == b"dev/pts" for mount in spec.mounts or ())
    draft.add("make_links", b"dev", device_links(pts=pts))


def _node(device: Device) -> tuple[int, int, int, int, bytes]:
    if device.type not in _TYPES:
        raise InvalidArgument(f"device {device.path} has type {device.type!r}: it must be c, u, b or p")
    mode = 0o666 if device.file_mode is None else device.file_mode & 0o7777
    number = os.makedev(device.major, device.minor) if device.type != "p" else 0
    return _TYPES[device.type] | mode, number, device.uid or 0, device.gid or 0, os.fsencode(device.path)


def compile_paths(draft: Draft, spec: Spec) -> None:
    """Read-only and masked paths; none that does not exist on this kernel is looked for again."""
    linux = spec.linux
    if linux is None:
        return
    readonly = tuple(relative(path, "a read-only path") for path in linux.readonly_paths or ())
    masked = tuple(relative(path, "a masked path") for path in linux.masked_paths or ())
    if readonly:
        draft.add("make_read_only", readonly)
    if masked:
        draft.add("mask", masked)
