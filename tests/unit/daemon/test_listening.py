"""Sockets of the engine: modes, loopback only, systemd's hand-over, readiness."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from corten.daemon import listening
from corten.errors import InvalidArgument, Unavailable


def test_the_socket_is_for_owner_and_group(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    path.write_text("a leftover")
    with listening.listen_unix(path):
        mode = path.stat().st_mode
        assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o660


def test_bad_places(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="107 bytes"):
        listening.listen_unix(tmp_path / ("x" * 120))
    with pytest.raises(Unavailable, match="No such file"):
        listening.listen_unix(tmp_path / "none" / "s")
    with pytest.raises(InvalidArgument, match="no such group"):
        listening.listen_unix(tmp_path / "s", group="no-such-group-here")


def test_tcp_is_loopback_only() -> None:
    with listening.listen_tcp("127.0.0.1:0") as listener:
        assert listener.getsockname()[0] == "127.0.0.1"
    for address in ("0.0.0.0:2375", "192.0.2.1:1", "nowhere", "127.0.0.1:x", ":"):
        with pytest.raises(InvalidArgument):
            listening.listen_tcp(address)


def test_sockets_of_systemd_are_for_this_process_only() -> None:
    environ = {"LISTEN_PID": "1", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "a:b"}
    assert listening.inherited(environ) == []
    assert environ == {}


def test_readiness_is_told_twice(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(5)
        environ = {"CORTEN_READY_FD": str(writer), "NOTIFY_SOCKET": str(tmp_path / "notify")}
        listening.tell_ready(listening.take_ready_fd(environ), environ)
        assert os.read(reader, 10) == b"1"
        assert os.read(reader, 10) == b""
        assert manager.recv(100).startswith(b"READY=1")
    assert environ == {}
    os.close(reader)
