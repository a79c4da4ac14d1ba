"""`corten registry`: the commands themselves."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.registry_server import Client, ServerProcess, free_port, make_image

CORTEN = (sys.executable, "-m", "corten", "registry")


def serve(*options: str) -> tuple[subprocess.Popen[str], Client]:
    port = free_port()
    process = subprocess.Popen(
        [*CORTEN, "serve", "--listen", f"127.0.0.1:{port}", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    return process, Client(f"http://127.0.0.1:{port}")


def finish(process: subprocess.Popen[str], client: Client) -> str:
    client.close()
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=40)
    assert process.returncode == 0, err
    return out


def test_serve_says_what_to_do_next(tmp_path: Path) -> None:
    process, client = serve("--root", str(tmp_path / "r"), "--workers", "2")
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(3)]
    assert f"http://{client.host}" in lines[0] and str(tmp_path / "r") in lines[0]
    assert "push localhost:" in lines[1] and "pull localhost:" in lines[2]
    client.push_image("app", "latest", make_image())
    assert finish(process, client) == ""


def test_configuration_file_and_what_overrides_it(tmp_path: Path) -> None:
    (tmp_path / "registry.toml").write_text(
        f'root = "{tmp_path}/from-file"\nlisten = ["127.0.0.1:1"]\n[limits]\nmanifest-bytes = 1000\n'
    )
    process, client = serve("--config", str(tmp_path / "registry.toml"))
    assert process.stdout is not None
    assert "from-file" in process.stdout.readline()
    assert client.push_manifest("app", "latest", b" " * 1001).status == 413
    finish(process, client)


def test_told_to_stop_before_it_has_said_that_it_serves(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, bytes(4096))
    os.set_blocking(writer, True)  # it waits with its byte until there is room again
    process = subprocess.Popen(
        [*CORTEN, "serve", "--root", str(tmp_path), "--listen", f"127.0.0.1:{free_port()}", "--workers", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "CORTEN_READY_FD": str(writer)},
        pass_fds=(writer,),
    )
    os.close(writer)
    assert process.stdout is not None
    assert "The registry is at" in process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    with open(reader, "rb") as ready:
        assert ready.read().endswith(b"1")
    _, err = process.communicate(timeout=40)
    assert process.returncode == 0, err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--listen", "nonsense"], "invalid address"),
        (["--listen", "203.0.113.1:5000", "--allow-anonymous"], "cannot listen on"),
        (["--listen", "0.0.0.0:0"], "--allow-anonymous"),
        (["--workers", "-1"], "invalid number of workers"),
        (["--database", "mysql://x"], "no database for the registry"),
        (["--storage", "s4://x"], "invalid storage"),
        (["--config", "/nonexistent.toml"], "cannot read"),
        (["--external-url", "ftp://x"], "invalid external URL"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path: Path, options: list[str], words: str) -> None:
    done = subprocess.run(
        [*CORTEN, "serve", "--root", str(tmp_path), "--listen", "127.0.0.1:0", *options],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_worker_that_dies_is_replaced(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path, workers=1).start()
    assert server.process is not None
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    (worker,) = children.read_text().split()
    os.kill(int(worker), signal.SIGKILL)
    deadline = time.monotonic() + 20
    while (now := children.read_text().split()) in ([], [worker]):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert now != [worker]
    assert server.client().get("/v2/").status == 200
    server.close()


def test_workers_do_not_outlive_their_parent(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path, workers=2).start()
    assert server.process is not None
    pid = server.process.pid
    workers = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    assert len(workers) == 2
    os.kill(pid, signal.SIGKILL)
    server.process.wait()
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    server.process = None


def test_gc_tells_and_then_does(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path).start()
    client = server.client()
    kept, gone = make_image(size=1000), make_image(size=2000)
    client.push_image("app", "kept", kept)
    client.push_image("app", "gone", gone)
    client.delete(f"/v2/app/manifests/{gone.digest}")
    place = ("--root", str(server.settings["root"]))

    def gc(*options: str) -> str:
        return subprocess.run(
            [*CORTEN, "gc", *place, *options], capture_output=True, text=True, check=True, timeout=60
        ).stdout

    told = gc("--dry-run")
    assert "stays" in told and "a push was told of it" in told
    told = gc("--dry-run", "--grace", "0")
    assert "no manifest needs it" in told
    assert told.count("would go ") == 2
    assert "2 blobs" in gc("--grace", "0")
    assert client.get("/v2/app/manifests/kept").status == 200
    check = subprocess.run([*CORTEN, "check", *place], capture_output=True, text=True, check=True, timeout=60)
    assert "1 tags, 1 manifests, 2 blobs: no problems" in check.stdout
    server.close()


def test_stopping_lets_requests_end(tmp_path: Path) -> None:
    import socket

    from tests.registry_server import digest_of

    server = ServerProcess(tmp_path).start()
    client = server.client()
    path = client.begin("app").removeprefix(server.url)
    digest = digest_of(b"x" * 100)
    head = f"PUT {path}?digest={digest} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n".encode()
    client.close()
    with socket.create_connection(("127.0.0.1", server.port), 20) as connection:
        connection.sendall(head + b"x" * 50)
        time.sleep(0.3)
        assert server.process is not None
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        connection.sendall(b"x" * 50)
        assert connection.recv(1000).split(b" ")[1] == b"201"
    assert server.stop() == 0


def test_a_signal_while_workers_start_ends_all_of_them(tmp_path: Path) -> None:
    process, client = serve("--root", str(tmp_path / "r"), "--workers", "4")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    try:
        while not children.read_text():
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        _out, err = process.communicate(timeout=40)
        assert "Traceback" not in err
    finally:
        client.close()
        if process.poll() is None:
            process.terminate()  # again: now every worker is known
            process.communicate(timeout=40)
