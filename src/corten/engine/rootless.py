"""An ordinary user's engine: its own user and mount namespace, entered once, before anything else.

user_namespaces(7), newuidmap(1), subuid(5). Inside, the process is root: uid 0 is the user, and the ids from
1 on are the user's ranges of /etc/subuid. Containers outlive the engine and live in that namespace; the next
engine must therefore join it rather than make another (a sibling namespace has no power over them).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from corten.engine import delegation
from corten.engine.paths import Paths
from corten.errors import Unsupported
from corten.linux.namespace import CLONE_NEWNS, CLONE_NEWUSER, setns, unshare
from corten.linux.prctl import PR_SET_DUMPABLE, prctl

APPARMOR_SWITCH = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
APPARMOR_REMEDY = (
    "echo kernel.apparmor_restrict_unprivileged_userns=0 | sudo tee /etc/sysctl.d/60-corten.conf"
    " && sudo sysctl --system"
)
_MEMORY = "rootless-namespace"


@dataclass(frozen=True)
class Rootless:
    """How this engine came to be root in a user namespace."""

    uid: int  # the user's ids outside
    gid: int
    single_id: bool  # only uid 0 and gid 0 exist inside
    note: str  # one sentence for the log and `corten info`, "" when all is well


_entered: Rootless | None = None
_delegated: Path | None = None


def enter_if_needed(paths: Paths | None = None) -> Rootless | None:
    """Enter the user namespace when the caller is not root; None when it is root.

    Call it first in the process: single-threaded, before the launcher. The run directory of `paths` (default:
    from the environment) remembers the namespace, so that the next engine joins the one in which containers
    still run. Sets CORTEN_ROOT and CORTEN_RUN to the user's directories, for inside, the user is root and the
    defaults would be root's. Raises Unsupported.
    """
    global _entered, _delegated  # facts about this process, as its uid is
    if os.geteuid() == 0:
        return None
    paths = paths or Paths.from_environment()
    os.environ["CORTEN_ROOT"], os.environ["CORTEN_RUN"] = str(paths.root), str(paths.run)
    uid, gid = os.geteuid(), os.getegid()
    paths.run.mkdir(mode=0o700, parents=True, exist_ok=True)
    if paths.run.stat().st_uid != uid:
        raise Unsupported(
            f"the run directory {paths.run} belongs to another user: set CORTEN_RUN to one of your own"
        )
    if delegation.enter_scope():
        _delegated = delegation.divide()
    holder = _living_namespace(paths.run / _MEMORY, uid)
    if holder is not None:
        _join(holder)
        single = _single_id()
    else:
        single = _make(uid, gid)
    _become_root(single)
    _remember(paths.run / _MEMORY)
    note = ""
    if single:
        note = (
            "only one user id exists in containers, for newuidmap or the user's range in /etc/subuid"
            " is missing: files"
            " that belong to other users in an image belong to root in its containers; `corten doctor`"
            " names the remedy"
        )
    _entered = Rootless(uid, gid, single, note)
    return _entered


def current() -> Rootless | None:
    """What `enter_if_needed` found in this process (None: root, or not entered)."""
    return _entered


def is_rootless() -> bool:
    """True inside a user namespace that is not the host's initial one."""
    return _id_map("uid") != [(0, 0, 4294967295)]


def delegated_cgroup() -> Path | None:
    """The cgroup v2 directory that this user may divide among containers, or None: then no limit can be
    kept.
    """
    return _delegated


@dataclass(frozen=True)
class IdRange:
    """One line of /etc/subuid or /etc/subgid that counts for the user."""

    start: int
    count: int


def ranges_of(kind: str, uid: int, name: str) -> list[IdRange]:
    """The user's ranges; `kind` is "uid" or "gid". Lines name the user or his uid."""
    path = Path(f"/etc/sub{kind}")
    found = []
    try:
        text = path.read_text()
    except OSError:
        return []
    for line in text.splitlines():
        owner, _, rest = line.partition(":")
        start, _, count = rest.partition(":")
        if owner in (name, str(uid)) and start.isdigit() and count.isdigit() and int(count):
            found.append(IdRange(int(start), int(count)))
    return found


def user_name(uid: int) -> str:
    """The user's name, or his uid as text where he has none."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def mapping(own: int, ranges: list[IdRange]) -> list[str]:
    """Arguments of newuidmap/newgidmap: the user is 0 inside, his ranges follow from 1 on."""
    arguments = ["0", str(own), "1"]
    inside = 1
    for piece in ranges:
        arguments += [str(inside), str(piece.start), str(piece.count)]
        inside += piece.count
    return arguments


def mapping_tools() -> tuple[str, str] | None:
    """newuidmap and newgidmap, or None."""
    found = [
        shutil.which(name) or shutil.which(name, path="/usr/bin:/bin") for name in ("newuidmap", "newgidmap")
    ]
    return (found[0], found[1]) if found[0] and found[1] else None


def _make(uid: int, gid: int) -> bool:
    """New user and mount namespace; True when only one id could be mapped."""
    name = user_name(uid)
    tools = mapping_tools()
    uids, gids = ranges_of("uid", uid, name), ranges_of("gid", uid, name)
    # The helper is born outside: newuidmap is set-uid root and must run in the parent's namespace.
    helper = None
    if tools and uids and gids:
        helper = _start_helper(tools, mapping(uid, uids), mapping(gid, gids))
    try:
        unshare(CLONE_NEWUSER | CLONE_NEWNS)
    except OSError as error:
        if helper is not None:
            helper.cancel()
        raise Unsupported(_why_not(error)) from error
    if helper is not None:
        reason = helper.run()
        if not reason:
            return False
        print(f"corten: {reason}; going on with a single user id", file=sys.stderr)
    try:
        _write_self("setgroups", "deny")
        _write_self("uid_map", f"0 {uid} 1")
        _write_self("gid_map", f"0 {gid} 1")
    except OSError as error:
        raise Unsupported(_why_not(error)) from error
    return True


@dataclass
class _Helper:
    """A child that stays outside and calls newuidmap and newgidmap on this process when told to."""

    pid: int
    order: int
    answer: int

    def run(self) -> str:
        """The mapping is made: "" or what failed."""
        os.write(self.order, b"g")
        os.close(self.order)
        text = b""
        while piece := os.read(self.answer, 4096):
            text += piece
        os.close(self.answer)
        os.waitpid(self.pid, 0)
        return text.decode(errors="replace").strip()

    def cancel(self) -> None:
        """Ends it without doing anything."""
        os.close(self.order)
        os.close(self.answer)
        os.waitpid(self.pid, 0)


def _start_helper(tools: tuple[str, str], uid_map: list[str], gid_map: list[str]) -> _Helper:
    target = str(os.getpid())
    order_read, order = os.pipe()
    answer, answer_write = os.pipe()
    pid = os.fork()
    if pid:
        os.close(order_read)
        os.close(answer_write)
        return _Helper(pid, order, answer)
    status = 1
    try:
        os.close(order)
        os.close(answer)
        if os.read(order_read, 1):
            for tool, arguments in zip(tools, (uid_map, gid_map), strict=True):
                done = subprocess.run([tool, target, *arguments], capture_output=True, text=True, check=False)
                if done.returncode:
                    os.write(answer_write, f"{Path(tool).name} failed: {done.stderr.strip()}".encode())
                    break
        status = 0
    except BaseException as error:
        os.write(answer_write, f"cannot map user ids: {error}".encode())
    finally:
        os._exit(status)


def _become_root(single: bool) -> None:
    if not single:
        os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    # The change of uid made /proc/self root's (outside): without this no later engine could join, nor we
    # write there.
    prctl(PR_SET_DUMPABLE, 1)


def _join(pid: int) -> None:
    try:
        for kind, flag in (("user", CLONE_NEWUSER), ("mnt", CLONE_NEWNS)):
            handle = os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
            try:
                setns(handle, flag)
            finally:
                os.close(handle)
            if kind == "user":
                mnt_base = f"/proc/{pid}/ns/mnt"
                if not Path(mnt_base).exists():
                    raise ProcessLookupError(pid)
    except OSError as error:
        raise Unsupported(
            f"cannot join the user namespace of the containers that still run (process {pid}):"
            f" {error.strerror};"
            " stop them or end that process, and try again"
        ) from error


def _living_namespace(memory: Path, uid: int) -> int | None:
    """A process in the namespaces that an earlier engine remembered, or None."""
    try:
        remembered = memory.read_text().split()
    except OSError:
        return None
    if len(remembered) != 2:
        return None
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            if os.stat(f"/proc/{name}").st_uid == uid and remembered == _namespaces(name):
                return int(name)
        except OSError:
            continue
    return None


def _remember(memory: Path) -> None:
    draft = memory.with_suffix(".new")
    draft.write_text(" ".join(_namespaces("self")) + "\n")
    draft.replace(memory)


def _namespaces(process: str) -> list[str]:
    return [str(os.stat(f"/proc/{process}/ns/{kind}").st_ino) for kind in ("user", "mnt")]


def _single_id() -> bool:
    return sum(count for _, _, count in _id_map("uid")) == 1


def _id_map(kind: str) -> list[tuple[int, int, int]]:
    lines = Path(f"/proc/self/{kind}_map").read_text().splitlines()
    return [(int(a), int(b), int(c)) for a, b, c in (line.split() for line in lines)]


def _write_self(name: str, text: str) -> None:
    Path(f"/proc/self/{name}").write_text(text)


def read_switch(path: str) -> str:
    """A sysctl's value, or "" where the kernel has no such switch."""
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _why_not(error: OSError) -> str:
    """The sentence for a user namespace that could not be made, with the one command that mends it."""
    what = "cannot make a user namespace for an ordinary user"
    if read_switch(str(APPARMOR_SWITCH)) == "1":
        return f"{what}: AppArmor forbids it on this host; allow it with: {APPARMOR_REMEDY}"
    if read_switch("/proc/sys/kernel/unprivileged_userns_clone") == "0":
        return (
            f"{what}: the kernel forbids it; allow it with: sudo sysctl -w kernel.unprivileged_userns_clone=1"
        )
    if read_switch("/proc/sys/user/max_user_namespaces") == "0":
        remedy = "sudo sysctl -w user.max_user_namespaces=65536"
        return f"{what}: their number is limited to 0; mend it with: {remedy}"
    return f"{what}: {error.strerror}; run corten as root, or ask the administrator for user namespaces"
