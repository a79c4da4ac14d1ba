"""Extended attributes that go into a layer: `user.*` and file capabilities, as other builders and engines
keep them. Overlay's own, access control lists and security labels belong to the host."""

from __future__ import annotations

import errno
import os

_CAPABILITY = "security.capability"
_NONE = (errno.EOPNOTSUPP, errno.EPERM, errno.EACCES, errno.ENODATA, errno.EOVERFLOW)


def read_attributes(fd: int) -> dict[bytes, bytes] | None:
    """Those of an open file or directory; None when there are none."""
    try:
        names = os.listxattr(fd)
    except OSError as error:
        if error.errno in _NONE:
            return None
        raise
    if not names:
        return None
    found = {}
    for name in names:
        if name == _CAPABILITY or (name.startswith("user.") and not name.startswith("user.overlay.")):
            try:
                found[os.fsencode(name)] = os.getxattr(fd, name)
            except OSError as error:
                if error.errno not in _NONE:
                    raise
    return found or None
