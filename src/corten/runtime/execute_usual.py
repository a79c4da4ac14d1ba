"""The /dev of nearly every container, made in advance (see `execute_ahead`): file systems that are mounted
nowhere yet, with the usual nodes and links, for the child to attach.

Docker's and Corten's own default is meant; whatever a plan wants otherwise, it gets made when it is wanted.
"""

from __future__ import annotations

import os
import stat

from corten.linux import mount as m

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.runtime.operations import Operation

_TMPFS = b"tmpfs"
_OPERATIONS: tuple[Operation, ...] = (
    ("mount", b"dev", _TMPFS, _TMPFS, m.MS_NOSUID | m.MS_STRICTATIME, b"mode=755,size=65536k", None),
    (
        "mount",
        b"dev/pts",
        b"devpts",
        b"devpts",
        m.MS_NOSUID | m.MS_NOEXEC,
        b"newinstance,ptmxmode=0666,mode=0620,gid=5",
        None,
    ),
    (
        "mount",
        b"dev/mqueue",
        b"mqueue",
        b"mqueue",
        m.MS_NOSUID | m.MS_NODEV | m.MS_NOEXEC,
        None,
        None,
    ),
    (
        "mount",
        b"dev/shm",
        _TMPFS,
        b"shm",
        m.MS_NOSUID | m.MS_NODEV | m.MS_NOEXEC,
        b"mode=1777,size=67108864",
        None,
    ),
)
_ATTRIBUTES = (
    (m.MS_NOSUID, m.MOUNT_ATTR_NOSUID),
    (m.MS_NODEV, m.MOUNT_ATTR_NODEV),
    (m.MS_NOEXEC, m.MOUNT_ATTR_NOEXEC),
    (m.MS_STRICTATIME, m.MOUNT_ATTR_STRICTATIME),
)
NODES = tuple(
    (name, stat.S_IFCHR | 0o666, os.makedev(major, minor), 0, 0, b"/dev/" + name)
    for name, major, minor in (
        (b"null", 1, 3),
        (b"zero", 1, 5),
        (b"full", 1, 7),
        (b"random", 1, 8),
        (b"urandom", 1, 9),
        (b"tty", 5, 0),
    )
)
"""The specification's default devices: name, mode with type, number, uid, gid, path on the host."""


def make() -> dict[bytes, int]:
    """Where each is to be attached, and its descriptor. mqueue is of the IPC namespace that this process is
    in. OSError where this user, or this kernel, cannot."""
    made: dict[bytes, int] = {}
    mask = os.umask(0)
    try:
        for _mount, target, type, source, flags, data, _attributes in _OPERATIONS:
            made[target] = _file_system(type, source, flags, data)
        top = made[b"dev"]
        for operation in _OPERATIONS[1:]:
            os.mkdir(operation[1].removeprefix(b"dev/"), 0o755, dir_fd=top)
        for name, mode, number, *_rest in NODES:
            os.mknod(name, mode, number, dir_fd=top)
    except BaseException:
        discard(made)
        raise
    finally:
        os.umask(mask)
    return made


def fits(operations: tuple[Operation, ...]) -> bool:
    """Whether a child that does `operations` mounts just these."""
    places = {operation[1] for operation in _OPERATIONS}
    mounts = [operation for operation in operations if operation[0] == "mount" and operation[1] in places]
    return len(mounts) == len(_OPERATIONS) and all(operation in mounts for operation in _OPERATIONS)


def discard(made: dict[bytes, int]) -> None:
    """Let go of what nobody attaches."""
    while made:
        os.close(made.popitem()[1])


def _file_system(type: bytes, source: bytes, flags: int, data: bytes | None) -> int:
    context = m.fsopen(type)
    try:
        m.fsconfig(context, m.FSCONFIG_SET_STRING, b"source", source)
        m.fsconfig_options(context, data.split(b",") if data else ())
        m.fsconfig(context, m.FSCONFIG_CMD_CREATE)
        return m.fsmount(context, sum(attribute for flag, attribute in _ATTRIBUTES if flags & flag))
    finally:
        os.close(context)
