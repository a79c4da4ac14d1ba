"""The standard descriptors of a process, without the host's null device.

Through /proc/self/fd/0 a container could change mode, owner and times of the host's /dev/null. The parent
replaces it by one that is open on a read-only mount, and the child by its own container's, where it has one.
"""

from __future__ import annotations

import os
import stat

from corten.linux.openat2 import O_PATH, RESOLVE_IN_ROOT, openat2
from corten.runtime.execute_ahead import open_null

_NULL = os.makedev(1, 3)


def shield(stdio: tuple[int, int, int], null: int = -1) -> tuple[tuple[int, int, int], list[int]]:
    """The parent's part: (the three descriptors, what was opened for them and is to be closed).

    `null`: as `execute_ahead.open_null` gave it, if somebody has called it.
    """
    if not any(map(_is_null, stdio)):
        return stdio, []
    if null >= 0:
        return _replace(stdio, null), []
    null = open_null()
    return (stdio, []) if null < 0 else (_replace(stdio, null), [null])


def own_null(root: int, stdio: tuple[int, int, int]) -> tuple[int, int, int]:
    """The child's part: `root` is the container's root before the change of root, -1 behind it."""
    if not any(map(_is_null, stdio)):
        return stdio
    try:
        top = root if root >= 0 else os.open(b"/", O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        null = openat2(top, b"dev/null", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK, RESOLVE_IN_ROOT)
    except OSError:
        return stdio
    # Whatever else the container may have put there was opened under its own cgroup's device rules.
    return _replace(stdio, null) if _is_null(null) else stdio


def _replace(stdio: tuple[int, int, int], null: int) -> tuple[int, int, int]:
    first, second, third = (null if _is_null(fd) else fd for fd in stdio)
    return first, second, third


def _is_null(fd: int) -> bool:
    found = os.fstat(fd)
    return found.st_rdev == _NULL and stat.S_ISCHR(found.st_mode)
