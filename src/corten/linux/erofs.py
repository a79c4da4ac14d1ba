"""Mounting an EROFS image: from a file (Linux 6.12) or a block device."""

from __future__ import annotations

import contextlib
import os

from corten.linux import mount as m


def open_image(source: bytes, device: bytes = b"", *, direct: bool = False) -> int:
    """The image `source` as a detached mount, read-only; `device` is the second device, with its data.
    `direct`: contents are read past the file's own page cache, where the kernel can do that (Linux 6.15)."""
    context = m.fsopen(b"erofs")
    try:
        m.fsconfig(context, m.FSCONFIG_SET_STRING, b"source", source)
        if device:
            m.fsconfig(context, m.FSCONFIG_SET_STRING, b"device", device)
        m.fsconfig(context, m.FSCONFIG_SET_FLAG, b"ro")
        if direct:
            with contextlib.suppress(OSError):
                m.fsconfig(context, m.FSCONFIG_SET_FLAG, b"directio")
        m.fsconfig(context, m.FSCONFIG_CMD_CREATE)
        return m.fsmount(context, m.MOUNT_ATTR_RDONLY)
    finally:
        os.close(context)
