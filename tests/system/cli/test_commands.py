"""Every other command, as a person uses it, against a real engine."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from corten.client.autostart import is_free
from tests.system.cli.conftest import CORTEN, Corten

pytestmark = pytest.mark.root


@pytest.fixture
def box(corten: Corten) -> str:
    """A running container."""
    corten("run", "-d", "--network", "none", "--name", "box", "-l", "stage=test", "busybox", "sleep", "1000")
    return "box"


def test_life_of_a_container(corten: Corten, box: str) -> None:
    assert corten("stop", "-t", "0", box).stdout == "box\n"
    assert corten("stop", box).stdout == "box\n"  # it is stopped already: that is what was asked for
    assert corten("start", box).stdout == "box\n"
    assert corten("pause", box).stdout == "box\n"
    assert "(Paused)" in corten("ps").stdout
    assert corten("unpause", box).stdout == "box\n"
    assert corten("restart", "-t", "0", box).stdout == "box\n"
    corten("rename", box, "chest")
    assert corten("kill", "-s", "KILL", "chest").stdout == "chest\n"
    assert corten("wait", "chest").stdout == "137\n"
    assert corten("rm", "chest").stdout == "chest\n"
    done = corten("rm", "chest", check=1)
    assert done.stderr.startswith("corten: ") and "chest" in done.stderr
    corten("rm", "-f", "chest")


def test_several_at_once(corten: Corten, box: str) -> None:
    done = corten("stop", "-t", "0", "nothing", box, check=1)
    assert done.stdout == "box\n"
    assert "No such container: nothing" in done.stderr


def test_ps(corten: Corten, box: str) -> None:
    header, row = corten("ps").stdout.splitlines()
    assert header.split("  ")[0] == "CONTAINER ID"
    assert row.endswith("box") and '"sleep 1000"' in row and "Up " in row
    assert corten("ps", "-q", "--filter", "label=stage=other").stdout == ""
    assert (
        corten("ps", "--filter", "name=bo", "--format", '{{.Names}} {{.Label "stage"}}').stdout
        == "box test\n"
    )
    assert len(corten("ps", "-q", "--no-trunc").stdout.strip()) == 64
    assert "SIZE" in corten("ps", "-s").stdout
    assert json.loads(corten("ps", "--format", "json").stdout)["State"] == "running"
    corten("stop", "-t", "0", box)
    assert corten("ps", "-q").stdout == ""
    assert "Exited (137)" in corten("ps", "-n", "1").stdout


def test_logs(corten: Corten) -> None:
    script = "for i in 1 2 3; do echo line $i; done; echo err >&2; exec sleep 1000"
    corten("run", "-d", "--network", "none", "--name", "box", "busybox", "sh", "-c", script)
    deadline = time.monotonic() + 5
    while "err" not in (done := corten("logs", "box")).stderr and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (done.stdout, done.stderr) == ("line 1\nline 2\nline 3\n", "err\n")
    assert corten("logs", "-n", "2", "box").stdout == "line 3\n"
    assert corten("logs", "--since", "1h", "box").stdout == done.stdout
    assert corten("logs", "--until", "1h", "box").stdout == ""
    first = corten("logs", "-t", "box").stdout.splitlines()[0]
    assert first.endswith("Z line 1") and first.startswith("20")
    process = corten.popen("logs", "-f", "box", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    assert process.stdout.readline() == b"line 1\n"
    corten("kill", "box")
    assert process.wait(10) == 0


def test_top_stats_port_diff(corten: Corten, box: str) -> None:
    assert "sleep 1000" in corten("top", box).stdout
    name, memory = corten("stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}", box).stdout.split(
        " ", 1
    )
    assert name == "box" and "iB / " in memory
    assert corten("port", box).stdout == ""
    assert "no public port '80/tcp'" in corten("port", box, "80", check=1).stderr
    corten("exec", box, "sh", "-c", "echo x > /new; rm /data/seed; echo y >> /etc/passwd")
    changes = corten("diff", box).stdout.splitlines()
    assert {"A /new", "D /data/seed", "C /etc/passwd", "C /etc", "C /data"} <= set(changes)


def test_update(corten: Corten, box: str) -> None:
    assert (
        corten("update", "--memory", "64m", "--memory-swap", "128m", "--pids-limit", "50", box).stdout
        == "box\n"
    )
    fields = "{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}}"
    assert corten("inspect", "-f", fields, box).stdout == f"{64 << 20} 50\n"
    assert "provide one or more flags" in corten("update", box, check=125).stderr


def test_copies(corten: Corten, box: str, tmp_path: Path) -> None:
    source = tmp_path / "site"
    (source / "sub").mkdir(parents=True)
    (source / "index").write_text("hello\n")
    (source / "sub" / "page").write_text("page\n")
    (source / "link").symlink_to("index")
    corten("cp", str(source), f"{box}:/www")  # it does not exist: it becomes the copy
    assert (
        corten("exec", box, "cat", "/www/index", "/www/sub/page", "/www/link").stdout
        == "hello\npage\nhello\n"
    )
    corten("cp", str(source), f"{box}:/www")  # it exists: the copy goes in
    assert corten("exec", box, "cat", "/www/site/index").stdout == "hello\n"
    corten("cp", f"{source}/.", f"{box}:/tmp")
    assert corten("exec", box, "cat", "/tmp/index").stdout == "hello\n"
    corten("cp", str(source / "index"), f"{box}:/tmp/renamed")
    assert corten("exec", box, "cat", "/tmp/renamed").stdout == "hello\n"
    corten("cp", f"{box}:/www", str(tmp_path / "out"))
    assert (tmp_path / "out" / "sub" / "page").read_text() == "page\n"
    assert (tmp_path / "out" / "link").readlink() == Path("index")
    corten("cp", f"{box}:/www/index", str(tmp_path))
    assert (tmp_path / "index").read_text() == "hello\n"
    corten("cp", "-L", f"{box}:/www/link", str(tmp_path / "followed"))
    assert (tmp_path / "followed").read_text() == "hello\n"
    corten("stop", "-t", "0", box)  # a stopped container as well
    corten("cp", f"{box}:/www/index", str(tmp_path / "from-stopped"))
    assert (tmp_path / "from-stopped").read_text() == "hello\n"


def test_copies_of_archives(corten: Corten, box: str) -> None:
    raw = subprocess.run(
        [*CORTEN, "cp", f"{box}:/etc", "-"],
        env=corten.environment,
        capture_output=True,
        check=True,
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
        names = archive.getnames()
    assert {"etc", "etc/passwd"} <= set(names)
    corten("cp", "-", f"{box}:/tmp", input=raw)
    assert "root" in corten("exec", box, "cat", "/tmp/etc/passwd").stdout


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("box:/nothing", ".", "could not find the file /nothing in the container box"),
        ("/nothing", "box:/", "could not find /nothing on this host"),
        ("nowhere:/etc", ".", "No such container: nowhere"),
        ("box:/etc", "nowhere:/x", "between containers is not supported"),
        ("/etc/passwd", "box:/no/such/dir/x", "does not exist in the container"),
        ("box:/etc", "/etc/passwd", "cannot copy a directory to the file"),
        ("a", "b", "at least one container source"),
    ],
)
def test_copies_that_cannot_be(corten: Corten, box: str, source: str, target: str, message: str) -> None:
    done = corten("cp", source, target, check=None)
    assert done.returncode != 0
    assert message in done.stderr


def test_images(corten: Corten, tmp_path: Path) -> None:
    assert corten("images", "--format", "{{.Repository}}:{{.Tag}}").stdout == "busybox:latest\n"
    corten("tag", "busybox", "host:5000/base/busybox:1")
    try:
        assert "host:5000/base/busybox   1" in corten("images").stdout
        corten("save", "-o", str(tmp_path / "images.tar"), "host:5000/base/busybox:1")
        mine, other = ("amd64", "arm64") if os.uname().machine == "x86_64" else ("arm64", "amd64")
        same = ("save", "-o", str(tmp_path / "same.tar"), "host:5000/base/busybox:1")
        corten(*same, "--platform", f"linux/{mine}")
        failed = corten(*same, "--platform", f"linux/{other}", check=1)
        assert f"is here for linux/{mine}, not for linux/{other}" in failed.stderr
    finally:
        assert "Untagged: host:5000/base/busybox:1" in corten("rmi", "host:5000/base/busybox:1").stdout
    assert (
        "Loaded image: host:5000/base/busybox:1" in corten("load", "-i", str(tmp_path / "images.tar")).stdout
    )
    corten("rmi", "host:5000/base/busybox:1")
    assert corten("images", "-q").stdout == corten("images", "-q", "busybox").stdout
    assert corten("history", "-q", "busybox").stdout
    assert corten("image", "inspect", "-f", "{{.Os}}", "busybox").stdout == "linux\n"
    assert "no such" in corten("image", "inspect", "nothing", check=1).stderr.lower()
    assert "nothing" in corten("rmi", "nothing", check=1).stderr


def test_export_import_commit(corten: Corten, box: str, tmp_path: Path) -> None:
    corten("exec", box, "sh", "-c", "echo made > /made")
    corten("export", "-o", str(tmp_path / "fs.tar"), box)
    with tarfile.open(tmp_path / "fs.tar") as archive:
        names = archive.getnames()
    assert "made" in names and "bin/busybox" in names
    image = corten(
        "import", "-c", 'CMD ["cat", "/made"]', "-m", "by hand", str(tmp_path / "fs.tar"), "fromtar:1"
    )
    assert image.stdout.startswith("sha256:")
    committed = corten("commit", "-c", 'CMD ["cat", "/made"]', box, "committed:1").stdout
    assert committed.startswith("sha256:")
    try:
        for name in ("fromtar:1", "committed:1"):
            assert corten("run", "--rm", "--network", "none", name).stdout == "made\n"
    finally:
        corten("rmi", "fromtar:1", "committed:1")


def test_a_broken_archive(corten: Corten, tmp_path: Path) -> None:
    (tmp_path / "bad.tar").write_bytes(b"no archive at all" * 100)
    done = corten("load", "-i", str(tmp_path / "bad.tar"), check=None)
    assert done.returncode != 0
    assert done.stderr.startswith("corten: ")
    assert "No such file" in corten("load", "-i", "/nonexistent", check=125).stderr


def test_volumes(corten: Corten) -> None:
    assert corten("volume", "create", "--label", "a=b", "data").stdout == "data\n"
    corten("run", "--rm", "--network", "none", "-v", "data:/d", "busybox", "sh", "-c", "echo kept > /d/file")
    done = corten("run", "--rm", "--network", "none", "-v", "data:/d:ro", "busybox", "cat", "/d/file")
    assert done.stdout == "kept\n"
    assert corten("volume", "ls").stdout.splitlines() == ["DRIVER    VOLUME NAME", "local     data"]
    assert corten("volume", "ls", "-q", "--filter", "label=a=c").stdout == ""
    place = corten("volume", "inspect", "-f", "{{.Mountpoint}}", "data").stdout.strip()
    assert (Path(place) / "file").read_text() == "kept\n"
    assert corten("volume", "rm", "data").stdout == "data\n"
    assert "data" in corten("volume", "rm", "data", check=1).stderr
    assert "Total reclaimed space" in corten("volume", "prune", "-f").stdout


def test_networks(corten: Corten) -> None:
    names = corten("network", "ls", "--format", "{{.Name}}").stdout.split()
    assert {"none", "host"} <= set(names)
    assert json.loads(corten("network", "inspect", "none").stdout)[0]["Driver"] == "null"


def test_events(corten: Corten) -> None:
    begin = time.time()
    corten("run", "--rm", "--network", "none", "--name", "passing", "busybox", "true")
    end = f"{time.time() + 0.1:.3f}"
    arguments = ("events", "--since", f"{begin:.3f}", "--until", end, "--filter", "container=passing")
    lines = corten(*arguments).stdout.splitlines()
    actions = [line.split()[2] for line in lines]
    assert [action for action in actions if action in ("create", "start", "die", "destroy")] == [
        "create", "start", "die", "destroy",
    ]  # fmt: skip
    assert "(" in lines[0] and "name=passing" in lines[0]
    decoded = [json.loads(line) for line in corten(*arguments, "--format", "json").stdout.splitlines()]
    assert [event["Action"] for event in decoded] == actions
    assert corten(*arguments, "--format", "{{.Action}}").stdout.splitlines() == actions


def test_system(corten: Corten, box: str) -> None:
    assert " Containers: 1\n" in corten("info").stdout
    assert corten("info", "--format", "{{.ContainersRunning}}").stdout == "1\n"
    assert "Server: Corten" in corten("version").stdout
    assert corten("system", "df").stdout.splitlines()[0].split() == [
        "TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE",
    ]  # fmt: skip
    assert "Images space usage:" in corten("system", "df", "-v").stdout
    corten("stop", "-t", "0", box)
    pruned = corten("container", "prune", "-f").stdout
    assert pruned.startswith("Deleted Containers:\n") and "Total reclaimed space" in pruned
    asked = corten("system", "prune", input=b"n\n")
    assert "WARNING! This will remove:" in asked.stderr
    assert "Total reclaimed" not in asked.stdout
    assert "Total reclaimed space" in corten("system", "prune", "-f").stdout
    assert corten("images", "-q").stdout


def test_doctor(corten: Corten) -> None:
    found = json.loads(corten("doctor", "--format", "json", check=None).stdout)
    assert found and all({"name", "ok", "detail", "remedy"} <= set(check) for check in found)
    text = corten("doctor", check=None).stdout
    for check in found:
        assert check["name"] in text
        if not check["ok"] and check["remedy"]:
            assert check["remedy"] in text


def test_the_engine_stops_and_starts_by_itself(corten: Corten, box: str) -> None:
    assert "running at unix://" in corten("engine", "status").stdout
    corten("engine", "stop")
    assert is_free(corten.paths.lock)
    assert "no engine runs" in corten("engine", "status", check=3).stdout
    assert "no engine runs" in corten("engine", "stop").stdout
    assert corten("ps", "--format", "{{.Names}} {{.State}}").stdout == "box running\n"
    assert corten("exec", box, "echo", "still there").stdout == "still there\n"


def test_many_first_commands_start_one_engine(corten: Corten) -> None:
    corten("engine", "stop")
    processes = [corten.popen("ps", "-q", stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(6)]
    assert [process.communicate()[1] for process in processes] == [b""] * 6
    assert [process.wait(20) for process in processes] == [0] * 6
