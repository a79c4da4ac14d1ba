"""corten-runtime under others' engines: podman with conmon, and dockerd with containerd's shim."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("corten_only")]
SOURCE = Path(__file__).parents[3] / "src"
APPLETS = ("sh", "cat", "echo", "sleep", "id", "tty", "true", "grep", "ps")
# podman raises limits by default, which needs CAP_SYS_RESOURCE.
LIMITS = ("--network", "none", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")
LOOP = 'echo out; echo err >&2; trap "exit 7" TERM; while :; do sleep 0.1; done'


class Engine:
    """Commands of one peer."""

    def __init__(self, command: list[str]) -> None:
        self.command = command

    def __call__(self, *arguments: str, status: int | None = 0, **options: str) -> str:
        done = subprocess.run(
            [*self.command, *arguments], capture_output=True, text=True, timeout=120, check=False, **options
        )
        assert status is None or done.returncode == status, (arguments, done.returncode, done.stderr)
        return done.stdout + done.stderr

    def terminal(self, *arguments: str) -> str:
        master, slave = os.openpty()
        process = subprocess.Popen(
            [*self.command, *arguments], stdin=slave, stdout=slave, stderr=slave, start_new_session=True
        )
        os.close(slave)
        output = b""
        try:
            while piece := os.read(master, 4096):
                output += piece
        except OSError:
            pass
        assert process.wait(60) == 0
        os.close(master)
        return output.decode()


@pytest.fixture(scope="module")
def work() -> Iterator[Path]:
    """A directory with `corten-runtime` (of this checkout) and a root file system."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("busybox-static is not installed")
    # Not pytest's own: podman's run root may have 50 characters.
    directory = Path(tempfile.mkdtemp(prefix="peers"))
    directory.chmod(0o755)
    runtime = directory / "corten-runtime"
    entry = "from corten.runtime.command.main import entry; entry()"
    runtime.write_text(f"#!{sys.executable} -I\nimport sys; sys.path.insert(0, {str(SOURCE)!r})\n{entry}\n")
    runtime.chmod(0o755)
    for name in ("bin", "tmp", "proc", "etc"):
        (directory / "rootfs" / name).mkdir(parents=True)
    shutil.copy(busybox, directory / "rootfs/bin/busybox")
    for applet in APPLETS:
        (directory / "rootfs/bin" / applet).symlink_to("busybox")
    subprocess.run(["tar", "-C", directory / "rootfs", "-cf", directory / "image.tar", "."], check=True)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def podman(work: Path) -> Iterator[Engine]:
    for program in ("podman", "conmon"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    # podman refuses the hybrid layout: a mount namespace without the unified hierarchy.
    script = 'umount /sys/fs/cgroup/unified 2>/dev/null; exec podman "$@"'
    base = work / "podman"
    places = ["--root", f"{base}/root", "--runroot", f"{base}/run", "--tmpdir", f"{base}/tmp"]
    options = ["--cgroup-manager", "cgroupfs", "--events-backend", "none", "--storage-driver", "overlay"]
    runtime = ["--runtime", str(work / "corten-runtime")]
    engine = Engine(["unshare", "-m", "sh", "-c", script, "podman", *places, *options, *runtime])
    engine("import", str(work / "image.tar"), "peer")
    yield engine
    engine("rm", "-fa", "-t", "0", status=None)
    engine("rmi", "-fa", status=None)
    subprocess.run(["umount", "-l", f"{base}/root/overlay"], check=False, capture_output=True)
    _remove_empty("libpod_parent")


@pytest.fixture(scope="module")
def docker(work: Path) -> Iterator[Engine]:
    for program in ("dockerd", "docker", "containerd"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    base = work / "d"
    base.mkdir()
    address = f"unix://{base}/s"
    arguments = ["-H", address, "--data-root", f"{base}/data", "--exec-root", f"{base}/exec"]
    arguments += ["-p", f"{base}/pid"]
    arguments += ["--bridge=none", "--iptables=false", "--ip6tables=false", "--shutdown-timeout", "2"]
    arguments += ["--add-runtime", f"corten={work}/corten-runtime", "--default-runtime", "corten"]
    log = (base / "log").open("w")
    daemon = subprocess.Popen(
        ["unshare", "-n", "-m", "dockerd", *arguments], stdout=log, stderr=log, start_new_session=True
    )
    engine = Engine(["docker", "-H", address])
    try:
        deadline = time.monotonic() + 60
        while subprocess.run([*engine.command, "version"], capture_output=True, check=False).returncode:
            if daemon.poll() is not None or time.monotonic() > deadline:
                pytest.skip(f"dockerd does not start here: {(base / 'log').read_text()[-300:]}")
            time.sleep(0.2)
        engine("import", str(work / "image.tar"), "peer")
        yield engine
        ids = engine("ps", "-aq").split()
        if ids:
            engine("rm", "-f", *ids)
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(60)
        log.close()
        _remove_empty("docker")


def _remove_empty(name: str) -> None:
    """Remove what a peer leaves of its cgroups, unless somebody else uses them."""
    for path in sorted(Path("/sys/fs/cgroup").glob(f"*/{name}")):
        for nested in (*sorted(path.glob("*/")), path):
            try:
                nested.rmdir()
            except OSError:
                continue


@pytest.fixture(params=["podman", "docker"])
def peer(request: pytest.FixtureRequest) -> Engine:
    return request.getfixturevalue(request.param)


def test_exit_codes_and_words(peer):
    assert peer("run", "--rm", *LIMITS, "peer", "/bin/echo", "hi") == "hi\n"
    peer("run", "--rm", *LIMITS, "peer", "/bin/sh", "-c", "exit 9", status=9)
    assert "/bin/nothing" in peer("run", "--rm", *LIMITS, "peer", "/bin/nothing", status=127)
    assert "/etc" in peer("run", "--rm", *LIMITS, "peer", "/etc", status=126)


def test_terminal(peer):
    assert "/dev/pts/0" in peer.terminal("run", "--rm", "-t", *LIMITS, "peer", "/bin/tty")


def test_a_life(peer):
    """Started with limits, looked into, executed in, paused, updated, stopped, started again, killed."""
    limits = ("--memory", "64m", "--pids-limit", "50")
    peer("run", "-d", "--name", "life", *LIMITS, *limits, "peer", "/bin/sh", "-c", LOOP)
    assert peer("exec", "life", "/bin/echo", "within") == "within\n"
    peer("exec", "life", "/bin/sh", "-c", "exit 9", status=9)
    assert peer("exec", "-u", "33:44", "life", "/bin/id", "-u") == "33\n"
    assert "/dev/pts/0" in peer.terminal("exec", "-t", "life", "/bin/tty")
    assert sorted(peer("logs", "life").split()) == ["err", "out"]
    peer("pause", "life")
    assert json.loads(peer("inspect", "life"))[0]["State"]["Status"] == "paused"
    peer("unpause", "life")
    assert "life" in peer("stats", "--no-stream", "life")
    deadline = time.monotonic() + 20
    while "sleep" not in peer("top", "life"):  # between one sleep and the next there is the shell alone
        assert time.monotonic() < deadline
    peer("update", "--memory", "80m", "--memory-swap", "160m", "life")
    peer("stop", "-t", "10", "life")
    assert json.loads(peer("inspect", "life"))[0]["State"]["ExitCode"] == 7
    peer("start", "life")
    peer("kill", "life")
    deadline = time.monotonic() + 20
    while (state := json.loads(peer("inspect", "life"))[0]["State"])["Running"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert state["ExitCode"] == 137
    peer("rm", "-f", "life")


def test_isolation_options(peer, tmp_path):
    script = "id -u; grep -E 'CapEff|Seccomp:' /proc/self/status; cat /proc/sys/net/ipv4/ip_forward; cat /v/f"
    tmp_path.chmod(0o755)
    (tmp_path / "f").write_text("volume\n")
    options = ("--read-only", "-u", "33", "--cap-drop", "all", "--sysctl", "net.ipv4.ip_forward=1")
    volume = ("-v", f"{tmp_path}:/v:ro", "--tmpfs", "/tmp")
    words = peer("run", "--rm", *LIMITS, *options, *volume, "peer", "/bin/sh", "-c", script).split()
    assert words == ["33", "CapEff:", "0000000000000000", "Seccomp:", "2", "1", "volume"]


def test_docker_health_init_and_oom(docker):
    health = ("--health-cmd", "true", "--health-interval", "300ms")
    docker("run", "-d", "--name", "healthy", "--init", *LIMITS, *health, "peer", "/bin/sleep", "100")
    deadline = time.monotonic() + 30
    while json.loads(docker("inspect", "healthy"))[0]["State"]["Health"]["Status"] != "healthy":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert "docker-init" in docker("exec", "healthy", "/bin/cat", "/proc/1/cmdline")
    docker("rm", "-f", "healthy")
    fill = "x=a; while :; do x=$x$x; done"
    docker("run", "--name", "full", *LIMITS, "--memory", "16m", "peer", "/bin/sh", "-c", fill, status=137)
    assert json.loads(docker("inspect", "full"))[0]["State"]["OOMKilled"] is True
    docker("rm", "full")
