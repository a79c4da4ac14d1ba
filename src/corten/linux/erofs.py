"""Mounting an EROFS image: from a file (Linux 6.12) or a block device."""

from __future__ import annotations

import os

from corten.linux import mount as m


def open_image(source: bytes, device: bytes = b"") -> int:
    """The image `source` as a detached mount, read-only; `device` is the second device, with its data."""
    context = m.fsopen(b"erofs")
    try:
        m.fsconfig(context, m.FSCONFIG_SET_STRING, b"source", source)
        if device:
            m.fsconfig(context, m.FSCONFIG_SET_STRING, b"device", device)
        m.fsconfig(context, m.FSCONFIG_SET_FLAG, b"ro")
        m.fsconfig(context, m.FSCONFIG_CMD_CREATE)
        return m.fsmount(context, m.MOUNT_ATTR_RDONLY)
    finally:
        os.close(context)
