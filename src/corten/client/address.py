"""Where the engine listens: `$CORTEN_HOST` or an explicit address, else the socket in the run directory."""

from __future__ import annotations

import os

from corten.errors import Denied, InvalidArgument


class Address:
    """A unix socket's path, or a TCP host and port. `managed`: the engine there is ours to start."""

    __slots__ = ("host", "managed", "path", "port")

    def __init__(self, *, path: str = "", host: str = "", port: int = 0, managed: bool = False) -> None:
        self.path = path
        self.host = host
        self.port = port
        self.managed = managed

    def __str__(self) -> str:
        return f"unix://{self.path}" if self.path else f"tcp://{self.host}:{self.port}"

    @property
    def authority(self) -> str:
        """What the Host header says."""
        if self.path:
            return "corten"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def stdio_path(self) -> str:
        """The socket that takes a client's file descriptors, next to a local engine's own; empty for a
        remote."""
        return os.path.join(os.path.dirname(self.path), "stdio.sock") if self.path else ""


def run_directory() -> str:
    """`$CORTEN_RUN`, or the place that root or an ordinary user has for sockets."""
    if path := os.environ.get("CORTEN_RUN"):
        return os.path.abspath(path)
    uid = os.getuid()
    if uid == 0:
        return "/run/corten"
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime:
        return os.path.join(runtime, "corten")
    path = f"/tmp/corten-{uid}"
    _refuse_foreign(path, uid)
    return path


def _refuse_foreign(path: str, uid: int) -> None:
    """Where everybody can write, somebody may have made our directory first, with a socket of theirs in it,
    to be sent our descriptors and files."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    # S_IFDIR, and no right to write for group and others
    if found.st_mode & 0o170022 != 0o040000 or found.st_uid != uid:
        raise Denied(
            f"{path} is not a directory of your own that only you can write to:"
            " set XDG_RUNTIME_DIR or CORTEN_RUN to one"
        )


def resolve(text: str | None = None) -> Address:
    """The address in `text`, else in `$CORTEN_HOST`, else the user's own engine."""
    text = text or os.environ.get("CORTEN_HOST")
    if not text:
        return Address(path=os.path.join(run_directory(), "engine.sock"), managed=True)
    if text.startswith("unix://"):
        return Address(path=os.path.abspath(text[7:]))
    if text.startswith("/"):
        return Address(path=text)
    scheme, _, rest = text.rpartition("://")
    host, _, port = rest.rstrip("/").rpartition(":")
    if scheme not in ("", "tcp", "http") or not host or not port.isdigit():
        raise InvalidArgument(
            f"the engine's address {text!r} is neither unix:///path/to/socket nor tcp://host:port"
        )
    return Address(host=host.strip("[]"), port=int(port))
