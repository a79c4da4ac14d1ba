"""Compile a runtime spec into a `Plan`: every decision is taken here, none between clone and exec."""

from __future__ import annotations

import os
from functools import partial

from corten.errors import InvalidArgument, Unsupported
from corten.linux import namespace as n
from corten.oci.runtime_spec import Hook, Mount, Namespace, Process, Spec
from corten.oci.struct import Struct
from corten.oci.struct import encode as to_json
from corten.runtime.lower import Lower
from corten.runtime.operations import Plan
from corten.runtime.plan_mounts import (
    compile_devices,
    compile_mount,
    compile_mounts,
    compile_paths,
    map_text,
    relative,
)
from corten.runtime.plan_process import compile_finish, compile_identity
from corten.runtime.plan_provided import ProvidedMount, compile_provided

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from corten.runtime.operations import Operation

__all__ = ["Directory", "Overlay", "Plan", "compile_exec", "compile_plan"]

SIGKILL = 9


class Directory(Struct, frozen=True, kw_only=True):
    """A root file system that is a directory (an OCI bundle's)."""

    path: str
    readonly: bool = False


class Overlay(Struct, frozen=True, kw_only=True):
    """A root file system that PID 1 mounts in its own mount namespace; `lowers` has the topmost layer first.

    A layer that is a `runtime.lower.Lower` is mounted first, there as well. `mountpoint` is any existing
    directory (nothing is visible there on the host); the parent of `upper` by default.
    """

    lowers: tuple[str, ...]
    upper: str
    work: str
    volatile: bool = False
    readonly: bool = False
    mountpoint: str | None = None


class Draft:
    """A plan in the making."""

    def __init__(self, bundle: str, cgroup: Any, seccomp_cache: str | None = None) -> None:
        self.bundle = bundle
        self.seccomp_cache = seccomp_cache
        self.cgroup = cgroup
        self.uid_map = ""
        self.gid_map = ""
        self.uid = 0
        self.gid = 0
        self.setgroups = _once("setgroups", _setgroups_allowed)
        self.may_share = True
        self.opens_in_parent = False
        self.binds_devices = False
        self.settings: dict[str, Any] = {}
        self.warnings: list[str] = []
        self._parent: list[Operation] = []
        self._child: list[Operation] = []
        self._slots = 0

    def add(self, name: str, *arguments: Any) -> None:
        """One more operation of the child."""
        self._child.append((name, *arguments))

    def parent(self, name: str, *arguments: Any) -> int:
        """One more operation of the parent; the slot of the descriptor that it leaves."""
        self._parent.append((name, *arguments))
        if name == "born_in":
            return -1
        self._slots += 1
        return self._slots - 1

    def private_layer(self, mountpoint: str, source: str, device: str) -> tuple[bytes, int]:
        """A layer that the parent opens: a container's cgroup lets nobody in it open the host's block
        devices.
        """
        return os.fsencode(mountpoint), self.parent("open_layer", os.fsencode(source), os.fsencode(device))

    def finish(self) -> Plan:
        return Plan(self.settings, tuple(self._parent), tuple(self._child), tuple(self.warnings))


def compile_plan(
    spec: Spec,
    *,
    root: Directory | Overlay,
    cgroup: Any = None,
    container_id: str,
    bundle: str,
    init: bool = False,
    hold: bool = False,
    no_pivot: bool = False,
    new_keyring: bool = True,
    preserve_fds: int = 0,
    death_signal: int = SIGKILL,
    seccomp_cache: str | None = None,
    more_mounts: tuple[Mount | ProvidedMount, ...] = (),
) -> Plan:
    """The plan that makes container `container_id` from `spec`; InvalidArgument or Unsupported when it
    cannot.

    `cgroup` is a `CgroupPlan` (or None: the process stays in its parent's cgroup). With `init`, PID 1 is a
    small init of ours that runs the command as its child, reaps and forwards signals. With `hold`, the
    process waits for the start byte before it runs the command (`execute.spawn`'s `start_fd`).
    `death_signal` is sent to the process when its parent dies (0: none). `seccomp_cache`: a directory where
    compiled filters are kept. `more_mounts` come after those of the specification.
    """
    process = spec.process
    if process is None:
        raise InvalidArgument("the specification has no process")
    draft = Draft(bundle, cgroup, seccomp_cache)
    draft.uid, draft.gid = process.user.uid, process.user.gid
    namespaces = _namespaces(spec)
    draft.settings.update(cgroup=cgroup, joins=False, id=container_id)
    states = _states(spec, container_id, bundle)
    draft.add("start", death_signal)
    _compile_namespaces(draft, spec, namespaces)
    _compile_setup(draft, spec, namespaces)
    hooks = spec.hooks
    if hooks is not None and (hooks.prestart or hooks.create_runtime):
        both = _hooks((*(hooks.prestart or ()), *(hooks.create_runtime or ())))
        draft.settings["runtime_hooks"] = (both, *states["creating"])
        draft.add("runtime_hooks")
    if "mount" in namespaces and namespaces["mount"] is None:
        _compile_root(draft, spec, root, process, more_mounts, no_pivot=no_pivot)
        if hooks is not None and hooks.create_container:
            draft.add("container_hooks", _hooks(hooks.create_container), *states["creating"])
        draft.add("move_root" if no_pivot else "pivot")
    else:
        _compile_chroot(draft, spec, root)
    if new_keyring:
        draft.add("new_keyring", b"_ses." + container_id.encode())
    compile_identity(draft, process)
    if hold:
        draft.add("hold")
    if hooks is not None and hooks.start_container:
        draft.add("container_hooks", _hooks(hooks.start_container), *states["created"])
    if hooks is not None and hooks.poststart:
        draft.settings["poststart_hooks"] = (_hooks(hooks.poststart), *states["running"])
    compile_finish(draft, process, spec, init=init, preserve_fds=preserve_fds)
    draft.settings["shares"] = draft.may_share and _is_alone(namespaces) and hooks is None and not init
    return draft.finish()


def _is_alone(namespaces: dict[str, str | None]) -> bool:
    """What needs no word from the parent until exec may share its memory, see `linux.vfork`: nobody but the
    child may be in its pid namespace, or could look into it. setns(2) into a time namespace forbids sharing.
    """
    return namespaces.get("pid", "") is None and "user" not in namespaces and "time" not in namespaces


def compile_exec(
    process: Process,
    *,
    container_pid: int,
    spec: Spec,
    cgroup: Any = None,
    preserve_fds: int = 0,
    container_start: int = 0,
    death_signal: int = SIGKILL,
    chroot: bool = False,
    seccomp_cache: str | None = None,
) -> Plan:
    """The plan of one more process in the running container whose PID 1 is `container_pid`.

    `spec` is the container's (its namespaces, seccomp filter and mount label count); `process` is taken as it
    is: fill capabilities, no_new_privileges, rlimits and labels from `spec.process` before the call.
    `container_start` (field 22 of its stat) guards against a reused number.
    """
    draft = Draft("/", cgroup, seccomp_cache)
    draft.uid, draft.gid = process.user.uid, process.user.gid
    namespaces = _namespaces(spec)
    draft.settings.update(cgroup=cgroup, joins=True, id="", clone_flags=0, namespaces=(), shares=False)
    draft.add("start", death_signal)
    through_user = "user" in namespaces
    if through_user:
        draft.setgroups = _setgroups_allowed(container_pid)
    born = "pid" in namespaces and not through_user
    slot = draft.parent("open_container", container_pid, container_start, born)
    root_slot = draft.parent("open_container_root", container_pid) if chroot else -1
    flags = 0
    for kind in namespaces:
        if kind != "pid" or through_user:
            flags |= n.NAMESPACES[kind][0]
    if through_user:
        # Its rights over the other namespaces come with the user namespace: a process in between joins all.
        draft.settings["joined_first"] = flags
    elif flags:
        draft.add("join_namespaces", slot, flags)
    if chroot:
        draft.add("leave_root", root_slot)
    if process.oom_score_adj is not None:
        draft.add("set_oom_score", str(process.oom_score_adj).encode(), True)
    size = process.console_size
    draft.add("exec_console", size.height if size else 0, size.width if size else 0)
    draft.add("install_stdio")
    compile_identity(draft, process)
    compile_finish(draft, process, spec, init=False, preserve_fds=preserve_fds)
    # It is not dumpable until it executes, so nobody in there may look at it, unless with CAP_SYS_PTRACE.
    caps = spec.process.capabilities if spec.process else None
    traces = caps is None or "CAP_SYS_PTRACE" in (*(caps.bounding or ()), *(caps.effective or ()))
    alone = draft.may_share and not traces and "user" not in namespaces and "time" not in namespaces
    draft.settings["shares"] = alone
    return draft.finish()


_own: dict[str, bool] = {}


def _once(name: str, ask: Callable[[], bool]) -> bool:
    """What a process that compiles plans asks of itself: its user namespace does not change any more."""
    if name not in _own:
        _own[name] = ask()
    return _own[name]


def _setgroups_allowed(process: int | str = "self") -> bool:
    try:
        with open(f"/proc/{process}/setgroups") as file:  # noqa: PTH123
            return file.read().strip() != "deny"
    except OSError:
        return True


def _namespaces(spec: Spec) -> dict[str, str | None]:
    """kind: path to join, or None for a new one."""
    result: dict[str, str | None] = {}
    for item in (spec.linux.namespaces if spec.linux else None) or ():
        _check_namespace(item, result)
        result[item.type] = item.path or None
    return result


def _check_namespace(item: Namespace, seen: dict[str, str | None]) -> None:
    if item.type not in n.NAMESPACES:
        raise InvalidArgument(
            f"there is no namespace {item.type!r}: it must be one of {', '.join(n.NAMESPACES)}"
        )
    if item.type in seen:
        raise InvalidArgument(f"the namespace {item.type} is there twice")


def _compile_namespaces(draft: Draft, spec: Spec, namespaces: dict[str, str | None]) -> None:
    flags = 0
    user_joined = namespaces.get("user") is not None
    later: list[tuple[str, str]] = []
    for kind, path in namespaces.items():
        flag, name = n.NAMESPACES[kind]
        if path is None:
            if kind not in ("cgroup", "time"):
                flags |= flag
        elif kind in ("user", "mount"):
            later.append((kind, path))
        else:
            draft.parent("born_in", kind, flag, path, f"/proc/self/ns/{_own_name(name)}")
    draft.settings["clone_flags"] = flags
    draft.settings["namespaces"] = tuple(namespaces)
    if user_joined and flags:
        # What is new must belong to the joined user namespace: it is made from inside it.
        draft.settings["clone_flags"] = flags & n.CLONE_NEWPID
    for kind, path in sorted(later, reverse=True):
        slot = draft.parent("open_namespace", kind, path)
        draft.add("join_namespaces", slot, n.NAMESPACES[kind][0])
        if kind == "user":
            draft.add("take_root")
    if user_joined and flags & ~n.CLONE_NEWPID:
        draft.add("unshare", flags & ~n.CLONE_NEWPID)
    if "user" in namespaces and not user_joined:
        _compile_user(draft, spec)
    if "user" in namespaces:
        draft.binds_devices = True
        # An ordinary user's rights begin in the user namespace: the child opens by itself.
        draft.opens_in_parent = os.geteuid() == 0
    if "cgroup" in namespaces and namespaces["cgroup"] is None:
        draft.add("unshare_cgroup")
    if "time" in namespaces and namespaces["time"] is None:
        offsets = (spec.linux.time_offsets if spec.linux else None) or {}
        lines = [f"{clock} {offset.secs} {offset.nanosecs}\n" for clock, offset in offsets.items()]
        draft.add("unshare_time", "".join(lines).encode())


def _own_name(name: str) -> str:
    return {"pid": "pid_for_children", "time": "time_for_children"}.get(name, name)


def _compile_user(draft: Draft, spec: Spec) -> None:
    linux = spec.linux
    uids, gids = (linux.uid_mappings if linux else None) or (), (linux.gid_mappings if linux else None) or ()
    if not uids or not gids:
        raise InvalidArgument("a new user namespace needs uidMappings and gidMappings")
    draft.uid_map, draft.gid_map = map_text(uids), map_text(gids)
    draft.settings.update(uid_map=draft.uid_map, gid_map=draft.gid_map)
    if os.geteuid() != 0 and len(gids) == 1 and gids[0].size == 1 and gids[0].host_id == os.getegid():
        draft.setgroups = False
    draft.add("become_root", draft.setgroups)


def _compile_setup(draft: Draft, spec: Spec, namespaces: dict[str, str | None]) -> None:
    """What does not depend on the root file system."""
    process, linux = spec.process, spec.linux
    assert process is not None
    if process.oom_score_adj is not None:
        draft.add("set_oom_score", str(process.oom_score_adj).encode(), True)
    if "network" in namespaces and namespaces["network"] is None:
        draft.add("interface_up", b"lo")
    for name, value, operation in (
        ("hostname", spec.hostname, "set_hostname"),
        ("domainname", spec.domainname, "set_domainname"),
    ):
        if value:
            if "uts" not in namespaces:
                raise InvalidArgument(f"a {name} needs a uts namespace")
            draft.add(operation, os.fsencode(value))
    for name, value in ((linux.sysctl if linux else None) or {}).items():
        draft.add("write_proc", _sysctl(name, namespaces), os.fsencode(value))
    if linux is not None and linux.intel_rdt is not None:
        raise Unsupported("intelRdt is not implemented: leave it out of the specification")


_IPC_SYSCTLS = {
    f"kernel.{name}"
    for name in ("msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced")
}


def _sysctl(name: str, namespaces: dict[str, str | None]) -> bytes:
    """The path below /proc of a sysctl that belongs to one of the container's own namespaces."""
    dotted = name.replace("/", ".") if "." not in name.split("/", 1)[0] else name
    if name.startswith(("net.", "net/")):
        owner = "network"
    elif dotted in _IPC_SYSCTLS or dotted.startswith("fs.mqueue."):
        owner = "ipc"
    elif dotted in ("kernel.hostname", "kernel.domainname"):
        owner = "uts"
    elif dotted.startswith("user."):
        owner = "user"
    else:
        raise InvalidArgument(f"sysctl {name} is the host's: it has no namespace of its own")
    if owner not in namespaces:
        raise InvalidArgument(f"sysctl {name} needs a {owner} namespace of the container's own")
    # The first separator decides, as sysctl(8) has it: net.ipv4.conf.eth0/1.forwarding.
    if "/" in name and ("." not in name or name.index("/") < name.index(".")):
        path = name
    else:
        path = name.translate(str.maketrans("./", "/."))
    parts = path.split("/")
    if ".." in parts or "" in parts:
        raise InvalidArgument(f"there is no sysctl {name!r}")
    return b"sys/" + os.fsencode(path)


def _compile_root(
    draft: Draft,
    spec: Spec,
    root: Directory | Overlay,
    process: Process,
    more_mounts: tuple[Mount | ProvidedMount, ...],
    *,
    no_pivot: bool,
) -> None:
    linux = spec.linux
    draft.add("propagate")
    if isinstance(root, Overlay):
        _compile_overlay(draft, root)
    else:
        path = os.fsencode(os.path.join(draft.bundle, root.path))
        # In a user namespace, root may not be allowed to reach the bundle: the parent opens it.
        slot = draft.parent("clone_tree", path, True, None) if draft.opens_in_parent else -1
        draft.add("bind_root", path, slot)
    compile_mounts(draft, spec)
    for mount in more_mounts:
        if isinstance(mount, Mount):
            compile_mount(draft, mount)
        else:
            compile_provided(draft, mount, user_namespace=_overlay_marks_are_users(draft))
    compile_devices(draft, spec)
    cwd = relative(process.cwd or "/", "the working directory")
    if cwd != b".":
        draft.add("make_directory", cwd)
    size = process.console_size
    draft.add("console", size.height if size else 0, size.width if size else 0)
    draft.add("install_stdio")
    compile_paths(draft, spec)
    if root.readonly or (spec.root is not None and spec.root.readonly):
        draft.add("read_only_root")
    propagation = linux.rootfs_propagation if linux else None
    if propagation:
        draft.add("root_propagation", propagation)


def _compile_overlay(draft: Draft, root: Overlay) -> None:
    if not root.lowers:
        raise InvalidArgument("an overlay needs at least one layer below")
    options = [b"upperdir=" + os.fsencode(root.upper), b"workdir=" + os.fsencode(root.work)]
    if root.volatile:
        options.append(b"volatile")
    # An upper directory becomes a layer: what is in it has to stand for itself.
    options += [
        name + b"=off"
        for name in (b"redirect_dir", b"metacopy")
        if _once(name.decode(), partial(_is_on, name))
    ]
    if _overlay_marks_are_users(draft):
        options.append(b"userxattr")
    mountpoint = os.fsencode(root.mountpoint or os.path.dirname(root.upper))
    lowers = tuple(
        draft.private_layer(*path.mount) if isinstance(path, Lower) else os.fsencode(path)
        for path in root.lowers
    )
    draft.add("mount_overlay", lowers, tuple(options), mountpoint)


def _overlay_marks_are_users(draft: Draft) -> bool:
    return bool(draft.uid_map) or _once("user namespace", _in_user_namespace)


def _is_on(name: bytes) -> bool:
    """Whether the kernel's overlay has this by default."""
    try:
        with open(b"/sys/module/overlay/parameters/" + name) as file:  # noqa: PTH123
            return file.read().strip() == "Y"
    except OSError:
        return False


def _in_user_namespace() -> bool:
    """Are we root of a user namespace only? Then overlay keeps its marks in user.* attributes."""
    try:
        with open("/proc/self/uid_map") as file:  # noqa: PTH123
            return file.read().split() != ["0", "0", "4294967295"]
    except OSError:
        return False


def _compile_chroot(draft: Draft, spec: Spec, root: Directory | Overlay) -> None:
    """No mount namespace of its own: nothing may be mounted, the root is changed only."""
    if isinstance(root, Overlay) or spec.mounts:
        raise InvalidArgument("mounts need a new mount namespace: add {type: mount} to linux.namespaces")
    draft.add("change_root", os.fsencode(os.path.join(draft.bundle, root.path)))
    draft.add("install_stdio")


def _hooks(hooks: tuple[Hook, ...]) -> tuple[Any, ...]:
    result = []
    for hook in hooks:
        if not os.path.isabs(hook.path):
            raise InvalidArgument(f"the path of a hook must be absolute, not {hook.path!r}")
        environment = tuple(tuple(item.partition("=")[::2]) for item in hook.env or ())
        result.append((hook.path, tuple(hook.args or ()), environment, hook.timeout or 0))
    return tuple(result)


compile_hooks = _hooks


def _states(spec: Spec, container_id: str, bundle: str) -> dict[str, tuple[bytes, bytes]]:
    """The state document for each status, cut where the pid goes: hooks get it without any JSON in
    their way.
    """
    head = b'{"ociVersion":' + to_json(spec.oci_version) + b',"id":' + to_json(container_id)
    tail = b',"bundle":' + to_json(bundle) + b',"annotations":' + to_json(spec.annotations or {}) + b"}"
    return {
        status: (head + b',"status":"' + status.encode() + b'","pid":', tail)
        for status in ("creating", "created", "running", "stopped")
    }
