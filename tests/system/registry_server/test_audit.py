"""The audit log: each change and each refusal, whatever is sent, who is killed, and what the disk does."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.registry_server import Client, ServerProcess, digest_of, make_image


def records(server: ServerProcess) -> list[dict[str, Any]]:
    """Every record, from the oldest file to the newest; each line has to be one."""
    directory = Path(server.settings["root"]) / "audit"
    files = sorted(directory.glob("audit-*.log")) + [directory / "audit.log"]
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def workers(server: ServerProcess) -> list[int]:
    assert server.process is not None
    pid = server.process.pid
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    server = ServerProcess(tmp_path, workers=2).start()
    yield server
    server.close()


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[ServerProcess]:
    """A registry with an account that may push to team/."""
    server = ServerProcess(tmp_path, workers=2)
    done = subprocess.run(
        [sys.executable, "-m", "corten", "registry", "user", "add", "--root", str(server.settings["root"])]
        + ["--password-stdin", "--permission", "pull,push:team/**", "alice"],
        input="correct horse",
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    server.start()
    yield server
    server.close()


def test_each_change_has_its_record(server: ServerProcess) -> None:
    client = server.client()
    image = make_image()
    client.push_image("app", "latest", image)
    client.push_image("other", "x", make_image())
    layer = digest_of(image.layers[0])
    client.request("POST", f"/v2/other/blobs/uploads/?mount={layer}&from=app", b"")
    client.delete(client.begin("app"))
    client.delete("/v2/app/manifests/latest")
    client.delete(f"/v2/app/manifests/{image.digest}")
    client.get("/v2/app/manifests/absent")
    found = [(entry["action"], entry["repository"], entry["detail"]) for entry in records(server)]
    assert found[:3] == [
        ("blob.push", "app", digest_of(image.config)),
        ("blob.push", "app", layer),
        ("manifest.push", "app", f"latest {image.digest}"),
    ]
    assert found[6:] == [
        ("blob.push", "other", layer),
        ("upload.cancel", "app", ""),
        ("tag.delete", "app", "latest"),
        ("manifest.delete", "app", image.digest),
    ]
    for entry in records(server):
        assert (entry["who"], entry["from"], entry["outcome"]) == ("", "127.0.0.1", "done")
        assert entry["time"].startswith("20") and entry["time"].endswith("Z")
        assert entry["request"]


def test_what_was_refused(closed: ServerProcess) -> None:
    client = closed.client()
    before = len(records(closed))
    assert client.get("/v2/").status == 401
    assert len(records(closed)) == before, "how to sign in is asked by everybody"
    right, wrong = basic("alice", "correct horse"), basic("alice", "guess")
    assert client.request("GET", "/v2/", headers=wrong).status == 401
    assert client.request("POST", "/v2/team/app/blobs/uploads/", b"", right).status == 202
    assert client.request("POST", "/v2/private/blobs/uploads/", b"", right).status == 403
    assert client.get("/v2/private/manifests/x").status == 401
    found = [
        (entry["who"], entry["action"], entry["repository"], entry["outcome"])
        for entry in records(closed)[before:]
    ]
    assert found == [
        ("", "base.get", "", "denied"),
        ("alice", "blob.push", "private", "denied"),
        ("", "manifest.pull", "private", "denied"),
    ]
    text = (Path(closed.settings["root"]) / "audit/audit.log").read_text()
    for secret in ("guess", "correct horse", wrong["Authorization"], right["Authorization"].split()[1]):
        assert secret not in text


def test_nothing_that_is_sent_makes_a_line(closed: ServerProcess) -> None:
    forged = '{"who": "root"}'
    for name in ("a%0A" + forged, "b\u2028x", "c%0d%0ax", "d%00", "%1b[2J"):
        target = f"/v2/{name}/manifests/latest".encode()
        with socket.create_connection(("127.0.0.1", closed.port), 10) as connection:
            connection.sendall(b"GET " + target.replace(b" ", b"%20") + b" HTTP/1.1\r\nHost: x\r\n")
            connection.sendall(b"X-Request-Id: 1\\n" + forged.encode() + b"\r\nConnection: close\r\n\r\n")
            while connection.recv(65536):
                pass
    client = closed.client()
    client.request(
        "POST",
        "/v2/private/blobs/uploads/",
        b"",
        {**basic('a\n{"who": "root"}', "x"), "X-Request-Id": forged},
    )
    assert all(entry["who"] != "root" for entry in records(closed))
    raw = (Path(closed.settings["root"]) / "audit/audit.log").read_bytes()
    assert raw.isascii()
    assert closed.log.read_text().count(forged) == closed.log.read_text().count("\\" + "n" + forged)


def test_killing_a_worker_loses_no_record_of_what_was_acknowledged(server: ServerProcess) -> None:
    acknowledged: set[str] = set()
    for round_ in range(6):
        for _ in range(5):
            client = Client(server.url)
            try:
                image = make_image()
                acknowledged.add(client.push_image("app", f"t{round_}", image))
            except (OSError, AssertionError):
                pass  # it was told nothing
            finally:
                client.close()
        os.kill(workers(server)[0], signal.SIGKILL)
    recorded = {word for entry in records(server) for word in entry["detail"].split()}
    assert acknowledged and acknowledged <= recorded


def test_rotation_by_several_workers(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path, workers=3, audit={"rotate-bytes": 4096, "keep": 5}).start()
    try:
        digests = []
        for _ in range(140):
            client = Client(server.url)
            digests.append(client.push_blob("app", os.urandom(40)))
            client.close()
        directory = Path(server.settings["root"]) / "audit"
        files = sorted(path.name for path in directory.iterdir())
        assert len(files) == 6
        assert all((directory / name).stat().st_size <= 4096 for name in files)
        assert all((directory / name).stat().st_mode & 0o777 == 0o600 for name in files)
        # The newest ones are all there, in their order.
        kept = [entry["detail"] for entry in records(server)]
        assert kept == digests[-len(kept) :]
        assert len(kept) > 50
    finally:
        server.close()


@pytest.mark.root
def test_a_full_disk_refuses_changes_and_loses_no_record(tmp_path: Path) -> None:
    directory = tmp_path / "small"
    directory.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(directory)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("cannot mount a small tmpfs here")
    server = ServerProcess(tmp_path, audit={"path": str(directory / "audit.log")}).start()
    try:
        client = server.client()
        image = make_image()
        client.push_image("app", "before", image)
        filler = os.open(directory / "filler", os.O_WRONLY | os.O_CREAT)
        try:
            while os.write(filler, b"x" * 4096):
                pass
        except OSError:
            pass
        os.close(filler)
        answers = []
        for number in range(200):
            answer = client.push_manifest("app", f"t{number}", image.payload)
            answers.append(answer.status)
            if answer.status == 503:
                break
        assert answers[-1] == 503, "changes go on without an audit log"
        assert b"audit log cannot be written" in answer.body
        assert client.get("/v2/app/manifests/before").status == 200, "pulls go on"
        reason = ""
        deadline = time.monotonic() + 10
        while not reason and time.monotonic() < deadline:
            reason = client.get("/readyz").json().get("reason", "")
        assert "audit log" in reason
        (directory / "filler").unlink()
        deadline = time.monotonic() + 10
        while client.push_manifest("app", "after", image.payload).status != 201:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        lines = [json.loads(line) for line in (directory / "audit.log").read_text().splitlines()]
        tags = [entry["detail"].split()[0] for entry in lines if entry["outcome"] == "done"]
        for number, status in enumerate(answers):
            assert (f"t{number}" in tags) is (status == 201)
        assert "after" in tags
    finally:
        server.close()
        subprocess.run(["umount", str(directory)], check=False)


def test_a_log_that_cannot_be_opened_is_said_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    server = ServerProcess(tmp_path, audit={"path": str(tmp_path / "file" / "audit.log")})
    with pytest.raises(RuntimeError, match="cannot write the audit log") as found:
        server.start()
    assert "Traceback" not in str(found.value)


def test_many_refusals_are_counted(closed: ServerProcess) -> None:
    """Who may do nothing cannot fill the disk with it."""
    before = len(records(closed))
    client = closed.client()
    for _ in range(500):
        assert client.get("/v2/private/manifests/x").status == 401
    written = records(closed)[before:]
    assert len(written) <= 200  # a hundred in each of two workers
    closed.stop()
    counted = [entry for entry in records(closed)[before:] if entry["action"] == "refusals"]
    assert sum(int(entry["detail"].split()[0]) for entry in counted) + len(written) == 500
