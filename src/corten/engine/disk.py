"""What the disk refuses, in a sentence."""

from __future__ import annotations

import errno

from corten.errors import CortenError, NoSpace


def disk_error(error: OSError, task: str) -> CortenError:
    """The error to raise for `error`, which came up when we tried to `task`."""
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpace(f"cannot {task}: the disk is full{where}; free some space and try again")
    return CortenError(f"cannot {task}: {error.strerror or error}{where}")
