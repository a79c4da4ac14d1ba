"""Pseudoterminals, by ioctl(2)."""

from __future__ import annotations

import fcntl
import os

TIOCSCTTY = 0x540E
TIOCSWINSZ = 0x5414
TIOCGPTPEER = 0x5441
TIOCSPTLCK = 0x40045431
TIOCGPTN = 0x80045430


def open_pty(ptmx: int) -> tuple[int, int]:
    """Unlock the pty of the open master `ptmx`: (number, its other end).

    TIOCGPTPEER opens the peer itself, whatever /dev/pts is at the moment (CVE-2025-52565).
    """
    fcntl.ioctl(ptmx, TIOCSPTLCK, b"\0\0\0\0")
    number = int.from_bytes(fcntl.ioctl(ptmx, TIOCGPTN, b"\0\0\0\0"), "little")
    peer = fcntl.ioctl(ptmx, TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    return number, peer


def set_size(fd: int, rows: int, columns: int) -> None:
    """TIOCSWINSZ: `struct winsize { unsigned short ws_row, ws_col, ws_xpixel, ws_ypixel; }`."""
    fcntl.ioctl(fd, TIOCSWINSZ, (rows | columns << 16).to_bytes(4, "little") + b"\0\0\0\0")


def make_controlling(fd: int) -> None:
    """TIOCSCTTY: make `fd` the controlling terminal of this session leader."""
    fcntl.ioctl(fd, TIOCSCTTY, 0)
