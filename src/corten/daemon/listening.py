"""The engine's sockets: made by itself, or handed over by systemd; and who is told that they are ready."""

from __future__ import annotations

import ipaddress
import os
import shutil
import socket
from collections.abc import MutableMapping
from contextlib import suppress
from pathlib import Path

from corten.errors import InvalidArgument, NoSpace, Unavailable

_FIRST_FD = 3  # sd_listen_fds(3)
BACKLOG = 1024


def listen_unix(path: Path, *, group: str | None = None) -> socket.socket:
    """Listens at `path`, mode 0660. The caller holds the engine's lock: what is there is left over."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        path.unlink(missing_ok=True)
        mask = os.umask(0o117)
        try:
            listener.bind(str(path))
        finally:
            os.umask(mask)
        if group:
            shutil.chown(path, group=group)
        listener.listen(BACKLOG)
    except LookupError as error:
        listener.close()
        raise InvalidArgument(f'cannot give {path} to the group "{group}": there is no such group') from error
    except OSError as error:
        listener.close()
        if len(str(path)) > 107:
            raise InvalidArgument(
                f"cannot listen on {path}: a socket's path has at most 107 bytes; choose a shorter CORTEN_RUN"
            ) from error
        kind = NoSpace if error.errno == 28 else Unavailable
        raise kind(f"cannot listen on {path}: {error.strerror or error}") from error
    return listener


def listen_tcp(address: str) -> socket.socket:
    """Listens on "host:port". Whoever reaches it is root on this host, so only loopback is allowed."""
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    try:
        ip = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
        number = int(port)
    except ValueError as error:
        raise InvalidArgument(f'invalid address "{address}": use 127.0.0.1:PORT or [::1]:PORT') from error
    if not ip.is_loopback:
        raise InvalidArgument(
            f"cannot listen on {address}: whoever reaches the API is root on this host, so it listens on "
            "loopback only; reach it from elsewhere through ssh"
        )
    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    try:
        return socket.create_server((str(ip), number), family=family, backlog=BACKLOG)
    except OSError as error:
        raise Unavailable(f"cannot listen on {address}: {error.strerror or error}") from error


def inherited(environ: MutableMapping[str, str]) -> list[socket.socket]:
    """The sockets of systemd's socket activation; the variables are removed, children must not see them."""
    pid, count = environ.pop("LISTEN_PID", ""), environ.pop("LISTEN_FDS", "")
    environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdigit():
        return []
    sockets = []
    for fd in range(_FIRST_FD, _FIRST_FD + int(count)):
        os.set_inheritable(fd, False)
        sockets.append(socket.socket(fileno=fd))
    return sockets


def is_stdio(listener: socket.socket) -> bool:
    """Whether an inherited socket is the one for descriptors (by its name)."""
    name = listener.getsockname()
    return isinstance(name, str) and name.endswith("stdio.sock")


def take_ready_fd(environ: MutableMapping[str, str]) -> int | None:
    """The pipe (CORTEN_READY_FD) through which whoever started this engine learns that it listens."""
    text = environ.pop("CORTEN_READY_FD", "")
    if not text.isdigit():
        return None
    fd = int(text)
    try:
        os.set_inheritable(fd, False)
    except OSError:
        return None
    return fd


def tell_ready(fd: int | None, environ: MutableMapping[str, str]) -> None:
    """Writes to the starter's pipe, and to systemd's NOTIFY_SOCKET."""
    if fd is not None:
        with suppress(OSError):
            os.write(fd, b"1")
        os.close(fd)
    notify(environ.pop("NOTIFY_SOCKET", ""), f"READY=1\nMAINPID={os.getpid()}")


def notify(address: str, message: str) -> None:
    """sd_notify(3): one datagram; a leading @ is the abstract namespace."""
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        sock.sendto(message.encode(), address)
