"""Loop devices: a file as a block device (linux/loop.h; LOOP_CONFIGURE since Linux 5.8)."""

from __future__ import annotations

import errno
import fcntl
import os
import struct

LOOP_CTL_GET_FREE = 0x4C82
LOOP_CONFIGURE = 0x4C0A
LO_FLAGS_READ_ONLY = 1
LO_FLAGS_AUTOCLEAR = 4

# struct loop_config { u32 fd, block_size; struct loop_info64 info; u64 reserved[8]; }; of loop_info64
# (232 bytes), lo_flags is at 52.
_CONFIG = struct.Struct("<II52xI176x64x")
_ATTEMPTS = 64


def attach(file: int) -> tuple[str, int]:
    """A new read-only loop device over the file `file`: (path, a descriptor of the device).

    The device goes away by itself when nobody has it open or mounted any more.
    """
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        for _attempt in range(_ATTEMPTS):
            path = f"/dev/loop{fcntl.ioctl(control, LOOP_CTL_GET_FREE)}"
            device = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.ioctl(
                    device, LOOP_CONFIGURE, _CONFIG.pack(file, 0, LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR)
                )
            except OSError as error:
                os.close(device)
                if error.errno == errno.EBUSY:  # somebody else was faster
                    continue
                raise OSError(error.errno, error.strerror, f"ioctl(LOOP_CONFIGURE) {path}") from error
            return path, device
    finally:
        os.close(control)
    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), "ioctl(LOOP_CTL_GET_FREE)")
