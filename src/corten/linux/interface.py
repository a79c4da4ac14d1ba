"""Network interfaces by ioctl(2): what a new network namespace needs before netlink comes into play."""

from __future__ import annotations

import _socket
import fcntl
import os

SIOCGIFFLAGS = 0x8913
SIOCSIFFLAGS = 0x8914
IFF_UP = 1
IFF_RUNNING = 0x40


def set_up(name: bytes) -> None:
    """Bring the interface up in the network namespace of the caller (`struct ifreq`: name, flags; 40
    bytes).
    """
    handle = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC, 0)
    try:
        request = name.ljust(16, b"\0") + (IFF_UP | IFF_RUNNING).to_bytes(2, "little") + bytes(22)
        fcntl.ioctl(handle.fileno(), SIOCSIFFLAGS, request)
    except OSError as error:
        raise OSError(error.errno, os.strerror(error.errno or 0), f"SIOCSIFFLAGS({name.decode()})") from None
    finally:
        handle.close()
