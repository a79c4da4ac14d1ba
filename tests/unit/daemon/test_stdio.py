"""stdio.sock: descriptors arrive, are taken once, and do not leak."""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

from corten.engine.results import StdioFds
from tests.unit.daemon.conftest import Served


def hand_over(served: Served, token: bytes, fds: list[int]) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(served.stdio_path))
    socket.send_fds(sock, [token], fds)
    return sock


def is_closed(reader: int) -> bool:
    """Whether every writer of the pipe is gone, within a while."""
    os.set_blocking(reader, False)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        with suppress(BlockingIOError):
            return os.read(reader, 1) == b""
        time.sleep(0.01)
    return False


def test_a_container_gets_the_descriptors(served: Served) -> None:
    reader, writer = os.pipe()
    with hand_over(served, b"t1", [0, writer, writer]):
        os.close(writer)
        answer = served.request("POST", "/containers/create", b"{}", {"X-Corten-Stdio": "t1"})
        assert answer.status == 201
        stdio = served.engine.containers.calls[-1][2]["stdio"]
        assert isinstance(stdio, StdioFds)
        os.write(stdio.stdout, b"out")
        assert os.read(reader, 10) == b"out"
        for fd in (stdio.stdin, stdio.stdout, stdio.stderr):
            assert not os.get_inheritable(fd)
            os.close(fd)
    os.close(reader)


def test_the_request_may_come_first(served: Served) -> None:
    answers = []

    def request() -> None:
        answers.append(served.request("POST", "/containers/create", b"{}", {"X-Corten-Stdio": "late"}))

    thread = threading.Thread(target=request)
    thread.start()
    time.sleep(0.1)
    with hand_over(served, b"late", [0, 1, 2]):
        thread.join(10)
    assert answers[0].status == 201
    stdio = served.engine.containers.calls[-1][2]["stdio"]
    for fd in (stdio.stdin, stdio.stdout, stdio.stderr):
        os.close(fd)


def test_what_nobody_takes_is_closed(served: Served) -> None:
    reader, writer = os.pipe()
    with hand_over(served, b"unused", [0, writer, writer]):
        os.close(writer)
    assert is_closed(reader)
    os.close(reader)


def test_a_wrong_number_of_descriptors_is_dropped(served: Served) -> None:
    reader, writer = os.pipe()
    with hand_over(served, b"two", [writer, writer]):
        os.close(writer)
        assert is_closed(reader)
    os.close(reader)


def test_an_archive_is_handed_over(served: Served, tmp_path: Path) -> None:
    (tmp_path / "archive").write_bytes(b"contents")
    with (tmp_path / "archive").open("rb") as file, hand_over(served, b"file", [file.fileno()]):
        answer = served.request("POST", "/images/load", b"", {"X-Corten-Stdio": "file"})
    assert answer.status == 200
    assert served.engine.images.loaded == b"contents"


def test_one_descriptor_is_no_stdio(served: Served) -> None:
    reader, writer = os.pipe()
    with hand_over(served, b"one", [writer]):
        os.close(writer)
        answer = served.request("POST", "/containers/create", b"{}", {"X-Corten-Stdio": "one"})
        assert answer.status == 400 and b"1 descriptors came" in answer.body
        assert is_closed(reader)
    os.close(reader)
