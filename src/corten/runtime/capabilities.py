"""Capabilities of a container: names and numbers, Docker's default set, `--cap-add` and `--cap-drop`.

Numbers: include/uapi/linux/capability.h. https://man7.org/linux/man-pages/man7/capabilities.7.html
"""

from __future__ import annotations

from corten.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_NAMES = """
    CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
    NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT
    SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE
    AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ
    PERFMON BPF CHECKPOINT_RESTORE
"""
_DEFAULT = """
    CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE NET_RAW SYS_CHROOT MKNOD
    AUDIT_WRITE SETFCAP
"""
# In the kernel's order: a name's place is its number.
NAMES: tuple[str, ...] = tuple("CAP_" + name for name in _NAMES.split())
NUMBERS: dict[str, int] = {name: number for number, name in enumerate(NAMES)}

DEFAULT_CAPABILITIES: tuple[str, ...] = tuple("CAP_" + name for name in _DEFAULT.split())


def normalise(name: str, option: str = "CapAdd") -> str:
    """`net_admin`, `CAP_NET_ADMIN` → `CAP_NET_ADMIN`; `all` → `ALL`. InvalidArgument names `option`."""
    upper = name.strip().upper()
    if upper in ("ALL", "CAP_ALL"):
        return "ALL"
    if not upper.startswith("CAP_"):
        upper = "CAP_" + upper
    if upper not in NUMBERS:
        raise InvalidArgument(
            f'invalid {option}: unknown capability: "{name}"; see capabilities(7) for the names'
        )
    return upper


def last_capability(path: str = "/proc/sys/kernel/cap_last_cap") -> int:
    """The highest capability number that the running kernel knows."""
    try:
        with open(path, encoding="ascii") as file:  # noqa: PTH123
            return int(file.read())
    except (OSError, ValueError):
        return len(NAMES) - 1


def resolve(
    cap_add: Iterable[str] = (),
    cap_drop: Iterable[str] = (),
    privileged: bool = False,
    *,
    last: int | None = None,
) -> tuple[str, ...]:
    """The capabilities of a container, in the kernel's order, by Docker's rules.

    `--privileged` is all of them. ALL added: all but the dropped. ALL dropped: only the added. Otherwise the
    defaults, less the dropped, and the added. `last` is the highest number the kernel knows (default: ask).
    """
    add = [normalise(name) for name in cap_add]
    drop = [normalise(name, "CapDrop") for name in cap_drop]
    known = NAMES[: (last_capability() if last is None else last) + 1]
    for name in add:
        if name != "ALL" and name not in known:
            raise InvalidArgument(f"capability {name} is not known to this kernel: leave it out of --cap-add")
    if privileged:
        return known
    if "ALL" in add:
        chosen = set(known) - set(drop)
    elif "ALL" in drop:
        chosen = set(add)
    else:
        chosen = (set(DEFAULT_CAPABILITIES) - set(drop)) | set(add)
    return tuple(name for name in known if name in chosen)
