"""Containers of an ordinary user."""

from __future__ import annotations

import os
import shutil
import urllib.request
from pathlib import Path

import pytest

from tests.system.rootless.conftest import CHECKOUT, UID, OrdinaryUser

pytestmark = [pytest.mark.root, pytest.mark.skipif(not shutil.which("newuidmap"), reason="needs uidmap")]
NONE = ("run", "--rm", "--network", "none")
needs_pasta = pytest.mark.skipif(not shutil.which("pasta"), reason="needs passt")


def test_root_inside_is_the_user_outside(user: OrdinaryUser) -> None:
    text = user.corten(*NONE, "busybox", "sh", "-c", "id -u; cat /proc/self/uid_map").stdout.split()
    assert text == ["0", "0", str(UID), "1", "1", "500000", "65536"]
    script = "touch /v/mine /v/theirs; chown 1000:1000 /v/theirs; cat /data/seed; stat -c %u /data/seed"
    done = user.corten(*NONE, "-v", f"{user.home}/shared:/v", "busybox", "sh", "-c", script)
    assert done.stdout == "seed\n1000\n"
    assert os.stat(user.home / "shared" / "mine").st_uid == UID
    assert os.stat(user.home / "shared" / "theirs").st_uid == 500000 + 999
    assert os.stat(user.paths.root).st_uid == UID
    assert os.stat(user.paths.socket).st_uid == UID
    as_user = user.corten(*NONE, "-u", "user", "busybox", "id", "-u").stdout
    assert as_user == "1000\n"


def test_the_hosts_root_is_out_of_reach(user: OrdinaryUser) -> None:
    secret = user.home.parent / f"{user.home.name}-secret"
    secret.write_text("secret")
    secret.chmod(0o600)
    try:
        done = user.corten(*NONE, "-v", f"{secret}:/secret", "busybox", "cat", "/secret", check=False)
        assert done.returncode != 0
        assert "secret" not in done.stdout
    finally:
        secret.unlink()


def test_limits_that_cannot_be_kept_are_told(user: OrdinaryUser) -> None:
    done = user.corten(*NONE, "--memory", "64m", "busybox", "echo", "ran")
    assert done.stdout == "ran\n"
    if not Path("/sys/fs/cgroup/cgroup.controllers").exists():
        assert "limits of a rootless container" in done.stderr


def test_shared_memory_of_another_container(user: OrdinaryUser) -> None:
    script = "echo shared > /dev/shm/note; sleep 60"
    options = ["--network", "none", "--ipc", "shareable", "--shm-size", "1m"]
    user.corten("run", "-d", "--name", "donor", *options, "busybox", "sh", "-c", script)
    look = "until cat /dev/shm/note; do sleep 0.1; done; df -k /dev/shm | tail -n 1"
    output = user.corten(*NONE, "--ipc", "container:donor", "busybox", "sh", "-c", look).stdout
    assert output.split()[0] == "shared"
    assert " 1024 " in output
    user.corten("rm", "-f", "donor")


def test_the_next_engine_joins_the_namespace_of_what_runs(user: OrdinaryUser) -> None:
    user.corten("run", "-d", "--name", "stays", "--network", "none", "busybox", "sleep", "100")
    pid = user.corten("inspect", "-f", "{{.State.Pid}}", "stays").stdout.strip()
    before = os.stat(f"/proc/{pid}/ns/user").st_ino
    user.kill_engine()
    assert user.corten("exec", "stays", "echo", "still").stdout == "still\n"
    engine = user.paths.pid.read_text().strip()
    assert os.stat(f"/proc/{engine}/ns/user").st_ino == before
    user.corten("rm", "-f", "stays")
    assert not Path(f"/proc/{pid}").exists()


def test_the_example_needs_no_more_than_a_single_id(single_id_user: OrdinaryUser) -> None:
    user = single_id_user
    user.corten("build", "--network", "none", "-t", "hello", str(CHECKOUT / "examples/hello"))
    assert user.corten(*NONE, "hello").stdout == "hello, world, from an image of your own\n"


def test_a_single_id_is_enough_for_root_inside(single_id_user: OrdinaryUser) -> None:
    user = single_id_user
    text = user.corten(
        *NONE, "busybox", "sh", "-c", "cat /proc/self/uid_map; stat -c %u /data/seed"
    ).stdout.split()
    assert text == ["0", str(UID), "1", "0"], "another user's file in the image belongs to root here"
    assert user.corten(*NONE, "busybox", "chown", "5", "/tmp", check=False).returncode == 1
    other = user.corten(*NONE, "-u", "1000", "busybox", "true", check=False)
    assert other.returncode != 0
    assert "1000" in other.stderr
    info = user.corten("info", "--format", "{{json .Warnings}}").stdout
    assert "only one user id exists in containers" in info
    doctor = user.corten("doctor", check=False).stdout
    assert "usermod --add-subuids" in doctor
    assert "only one user id exists in containers" in (user.paths.run / "engine.log").read_text()


@needs_pasta
def test_pasta_connects_publishes_and_ends(user: OrdinaryUser) -> None:
    user.corten(
        "run", "-d", "--name", "web", "-p", "127.0.0.1::80", "busybox",
        "sh", "-c", "echo hello > /tmp/index.html; exec httpd -f -p 80 -h /tmp",
    )  # fmt: skip
    where = user.corten("port", "web", "80").stdout.strip()
    port = where.rpartition(":")[2]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/index.html", timeout=5) as answer:
        assert answer.read() == b"hello\n"
    assert "10.0.2.100" in user.corten("exec", "web", "ip", "-o", "addr", "show", "eth0").stdout
    again = user.corten("run", "--rm", "-p", f"127.0.0.1:{port}:80", "busybox", "true", check=False)
    assert again.returncode == 125
    assert f"Bind for 127.0.0.1:{port} failed: port is already allocated" in again.stderr
    (record,) = (user.paths.run / "pasta").glob("*.pid")
    pasta = int(record.read_text())
    user.kill_engine()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/index.html", timeout=5) as answer:
        assert answer.read() == b"hello\n"
    user.corten("rm", "-f", "web")
    assert not record.exists()
    assert _has_ended(pasta)


@needs_pasta
def test_a_crash_of_both_leaves_no_pasta(user: OrdinaryUser) -> None:
    user.corten("run", "-d", "--name", "web", "busybox", "sleep", "100")
    pid = int(user.corten("inspect", "-f", "{{.State.Pid}}", "web").stdout)
    (record,) = (user.paths.run / "pasta").glob("*.pid")
    pasta = int(record.read_text())
    user.kill_engine()
    os.kill(pid, 9)
    assert user.corten("ps", "-q").stdout == ""
    assert _has_ended(pasta)
    assert not record.exists()


@needs_pasta
def test_without_pasta_the_sentence_names_the_remedy(user: OrdinaryUser, tmp_path: Path) -> None:
    user.corten("engine", "stop")
    blank = tmp_path / "blank"
    blank.touch(mode=0o644)
    pasta = shutil.which("pasta")
    assert pasta is not None
    user.root("mount", "--bind", str(blank), str(Path(pasta).resolve()))
    done = user.corten("run", "--rm", "busybox", "true", check=False)
    assert done.returncode == 125
    assert "pasta, which is not installed; install it with `sudo apt-get install passt`" in done.stderr
    assert user.corten(*NONE, "busybox", "echo", "ran").stdout == "ran\n"
    assert user.corten("run", "--rm", "--network", "host", "busybox", "echo", "ran").stdout == "ran\n"


def _has_ended(pid: int) -> bool:
    import time

    for _ in range(100):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False
