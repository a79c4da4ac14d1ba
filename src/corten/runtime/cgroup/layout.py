"""Which cgroup hierarchies this host has, by /proc/self/mountinfo and /proc/self/cgroup; nothing is assumed.

v1: one hierarchy for each controller (or several together) and named ones; v2: one for all; hybrid: v1 for
the controllers, and a v2 hierarchy beside them that has none (or the rest).
"""

from __future__ import annotations

from corten.errors import InvalidArgument, Unsupported
from corten.oci.struct import Struct


class Hierarchy(Struct, frozen=True):
    """One mounted hierarchy. `root`: what of it is mounted (not "/" inside of a container)."""

    mountpoint: str
    root: str
    controllers: tuple[str, ...]  # v2: those available at `mountpoint`; a named v1 one: ("name=systemd",)
    own: str  # the caller's own cgroup, a path from the hierarchy's root
    v2: bool = False

    def directory(self, name: str) -> str:
        """Where cgroup `name` is: absolute from the hierarchy's root, else from the caller's own cgroup.

        On v2 relative means beside the caller's own cgroup: a cgroup that has processes cannot hand out
        controllers to children (cgroups(7), "no internal processes").
        """
        path = name if name.startswith("/") else self._base() + "/" + name
        parts = [part for part in path.split("/") if part not in ("", ".")]
        if not parts or ".." in parts:
            raise InvalidArgument(
                f"the cgroup path {name!r} does not name a cgroup below the root of the hierarchy"
            )
        path = "/" + "/".join(parts)
        root = self.root.rstrip("/")
        if root and path.startswith(root + "/"):
            path = path[len(root) :]
        return self.mountpoint + path

    def own_directory(self) -> str:
        """The caller's own directory in this hierarchy."""
        root = self.root.rstrip("/")
        path = self.own[len(root) :] if root and self.own.startswith(root) else self.own
        return (self.mountpoint + path).rstrip("/")

    def _base(self) -> str:
        return (self.own.rpartition("/")[0] if self.v2 else self.own).rstrip("/")


class Layout(Struct, frozen=True):
    """All hierarchies. `kind` is "v1", "v2" or "hybrid"."""

    kind: str
    hierarchies: tuple[Hierarchy, ...]

    def of(self, controller: str) -> Hierarchy | None:
        """The hierarchy that has `controller` (a v1 one is preferred: there the kernel has bound it)."""
        for hierarchy in self.hierarchies:
            if controller in hierarchy.controllers:
                return hierarchy
        return None

    @property
    def unified(self) -> Hierarchy | None:
        """The v2 hierarchy, if there is one."""
        for hierarchy in self.hierarchies:
            if hierarchy.v2:
                return hierarchy
        return None

    @property
    def controllers(self) -> frozenset[str]:
        """All controllers that some hierarchy offers."""
        return frozenset(name for hierarchy in self.hierarchies for name in hierarchy.controllers)


def detect(*, mountinfo: str | None = None, cgroup: str | None = None) -> Layout:
    """The layout of this host; the arguments are the texts of the two /proc files (default: read them).

    Raises Unsupported where no cgroup file system is mounted.
    """
    mounts = _read("/proc/self/mountinfo") if mountinfo is None else mountinfo
    own = _own_paths(_read("/proc/self/cgroup") if cgroup is None else cgroup)
    found: dict[tuple[str, ...], Hierarchy] = {}
    for line in mounts.splitlines():
        hierarchy = _parse_mount(line, own)
        if hierarchy is None:
            continue
        key = ("v2",) if hierarchy.v2 else hierarchy.controllers
        current = found.get(key)
        if current is None or (_covers(hierarchy) and not _covers(current)):
            found[key] = hierarchy
    # A mount of the whole hierarchy wins above; of several equals the first, as the kernel lists them.
    hierarchies = sorted(found.values(), key=lambda hierarchy: hierarchy.v2)
    if not hierarchies:
        raise Unsupported(
            "no cgroup file system is mounted: mount one with `mount -t cgroup2 cgroup2 /sys/fs/cgroup`"
        )
    bound = any(not h.v2 and not h.controllers[0].startswith("name=") for h in hierarchies)
    has_v2 = any(h.v2 for h in hierarchies)
    return Layout(
        kind="v2" if has_v2 and not bound else "hybrid" if has_v2 else "v1", hierarchies=tuple(hierarchies)
    )


def _covers(hierarchy: Hierarchy) -> bool:
    root = hierarchy.root.rstrip("/")
    return not root or hierarchy.own == root or hierarchy.own.startswith(root + "/")


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape") as file:  # noqa: PTH123
        return file.read()


def _own_paths(text: str) -> dict[str, str]:
    """/proc/self/cgroup: `id:controllers:path` → {controller: path}; "" is v2."""
    paths: dict[str, str] = {}
    for line in text.splitlines():
        _, names, path = line.split(":", 2)
        for name in names.split(","):
            paths[name] = path.removesuffix(" (deleted)")
    return paths


def _unescape(field: str) -> str:
    """mountinfo writes space, tab, newline and backslash as octal."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(code, character)
    return field


def _parse_mount(line: str, own: dict[str, str]) -> Hierarchy | None:
    # 36 35 98:0 /root /mount/point rw,noatime master:1 - type source superoptions (proc_pid_mountinfo(5))
    left, _, right = line.partition(" - ")
    fields, rest = left.split(" "), right.split(" ")
    if len(fields) < 5 or len(rest) < 3 or rest[0] not in ("cgroup", "cgroup2"):
        return None
    root, mountpoint = _unescape(fields[3]), _unescape(fields[4])
    if rest[0] == "cgroup2":
        try:
            controllers = tuple(_read(mountpoint + "/cgroup.controllers").split())
        except OSError:
            controllers = ()
        return Hierarchy(
            mountpoint=mountpoint, root=root, controllers=controllers, own=own.get("", "/"), v2=True
        )
    names = tuple(option for option in rest[2].split(",") if option in own)
    if not names:
        return None
    return Hierarchy(mountpoint=mountpoint, root=root, controllers=names, own=own[names[0]])
