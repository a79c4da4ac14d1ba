"""The engine as a process: readiness, a clean end, one at a time, systemd's sockets, idleness."""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.root]


class Process:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.run = directory / "run"
        self.log = directory / "log"
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, *arguments: str, wait: bool = True, **environment: str) -> subprocess.Popen[bytes]:
        reader, writer = os.pipe()
        with open(self.log, "ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "corten.daemon", *arguments],
                env={
                    **os.environ,
                    "CORTEN_ROOT": str(self.directory / "root"),
                    "CORTEN_RUN": str(self.run),
                    "CORTEN_READY_FD": str(writer),
                    **environment,
                },
                pass_fds=(writer,),
                stdout=log,
                stderr=log,
            )
        self.started.append(process)
        os.close(writer)
        with open(reader, "rb") as ready:
            if wait:
                assert ready.read(2) == b"1", self.log.read_text()
        return process

    def request(self, method: str, path: str, socket_path: Path | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("localhost", timeout=10)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(10)
        connection.sock.connect(str(socket_path or self.run / "engine.sock"))
        try:
            connection.request(method, path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


@pytest.fixture
def engine() -> Iterator[Process]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    directory = Path(tempfile.mkdtemp(prefix="ctp-"))
    process = Process(directory)
    yield process
    for started in process.started:
        if started.poll() is None:
            started.terminate()
            started.wait(20)
    shutil.rmtree(directory)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_clean_end(engine: Process, number: signal.Signals) -> None:
    process = engine.start()
    assert engine.request("GET", "/_ping") == (200, b"OK")
    with socket.socket(socket.AF_UNIX) as idle_client, socket.socket(socket.AF_UNIX) as stream:
        idle_client.connect(str(engine.run / "engine.sock"))
        stream.connect(str(engine.run / "engine.sock"))
        stream.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        assert stream.recv(100).startswith(b"HTTP/1.1 200")
        process.send_signal(number)
        assert process.wait(10) == 0
    left = {path.name for path in engine.run.iterdir()}
    assert not left & {"engine.sock", "stdio.sock", "engine.pid"}
    assert engine.log.read_text() == ""


def test_a_client_ends_it(engine: Process) -> None:
    process = engine.start()
    assert engine.request("POST", "/corten/engine/shutdown")[0] == 204
    assert process.wait(10) == 0


def test_a_second_engine_is_refused_at_once(engine: Process) -> None:
    engine.start()
    begin = time.monotonic()
    second = engine.start(wait=False)
    assert second.wait(20) == 1
    assert time.monotonic() - begin < 10
    text = engine.log.read_text()
    assert "another engine" in text and "Traceback" not in text
    assert engine.request("GET", "/_ping")[0] == 200


def test_the_next_engine_waits_for_one_that_is_ending(engine: Process) -> None:
    """It has unlinked its sockets, and still has the lock."""
    engine.run.mkdir(parents=True, exist_ok=True)
    with open(engine.run / "engine.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = engine.start(wait=False)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1.5)
    deadline = time.monotonic() + 20
    while not (engine.run / "engine.sock").exists():
        assert time.monotonic() < deadline and process.poll() is None, engine.log.read_text()
        time.sleep(0.02)
    assert engine.request("GET", "/_ping")[0] == 200


def test_the_next_engine_starts_after_a_kill(engine: Process) -> None:
    process = engine.start()
    process.kill()
    process.wait()
    assert (engine.run / "engine.sock").exists()
    engine.start()
    assert engine.request("GET", "/_ping")[0] == 200


def test_bad_settings_are_one_sentence(engine: Process) -> None:
    for environment, words in (
        ({"CORTEN_IDLE_EXIT": "soon"}, 'invalid CORTEN_IDLE_EXIT "soon"'),
        ({"CORTEN_TCP": "0.0.0.0:2375"}, "loopback only"),
        ({"CORTEN_RUN": str(engine.directory / ("long" * 30))}, "107 bytes"),
        ({"CORTEN_GROUP": "no-such-group"}, "no such group"),
    ):
        process = engine.start(wait=False, **environment)
        assert process.wait(20) == 125
        assert words in engine.log.read_text()
    assert "Traceback" not in engine.log.read_text()


def test_tcp_and_options(engine: Process) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    engine.start("--tcp", f"127.0.0.1:{port}")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/version")
    assert json.loads(connection.getresponse().read())["MinAPIVersion"] == "1.40"
    connection.close()


def test_it_ends_when_idle(engine: Process) -> None:
    process = engine.start(CORTEN_IDLE_EXIT="0.3")
    assert process.wait(10) == 0


def test_sockets_of_systemd(engine: Process) -> None:
    path = engine.directory / "activated.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        os.set_inheritable(listener.fileno(), True)
        # LISTEN_PID is the engine's own: what becomes it knows it.
        script = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ['LISTEN_PID'] = str(os.getpid());"
        script += "os.execv(sys.executable, [sys.executable, '-m', 'corten.daemon'])"
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(listener.fileno())],
            env={
                **os.environ,
                "CORTEN_ROOT": str(engine.directory / "root"),
                "CORTEN_RUN": str(engine.run),
                "LISTEN_FDS": "1",
            },
            pass_fds=(listener.fileno(),),
        )
    engine.started.append(process)
    # The connection waits in the socket's queue until the engine is there.
    assert engine.request("GET", "/_ping", path) == (200, b"OK")
    assert not (engine.run / "engine.sock").exists()
    process.terminate()
    assert process.wait(10) == 0
    assert path.exists()
