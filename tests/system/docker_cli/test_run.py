"""docker run: flags seen from the inside, and every kind of exit code."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.system.docker_cli.conftest import IMAGE, Docker, own_capabilities

pytestmark = [pytest.mark.root, pytest.mark.docker_cli]

#: A filter that denies chmod, and nothing else.
NO_CHMOD = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [{"names": ["chmod", "fchmod", "fchmodat", "fchmodat2"], "action": "SCMP_ACT_ERRNO"}],
}

#: options, command, what it prints
FLAGS: list[tuple[str, list[str], str, str]] = [
    ("command", [], "echo hello", "hello"),
    ("env", ["-e", "A=1", "-e", "B=two words"], 'echo "$A $B"', "1 two words"),
    ("workdir", ["-w", "/tmp/new"], "pwd", "/tmp/new"),
    ("user", ["-u", "1000:7"], "id -u; id -g", "1000\n7"),
    ("user-name", ["-u", "user"], "id -un; echo $HOME", "user\n/tmp"),
    ("hostname", ["--hostname", "box"], "hostname", "box"),
    ("entrypoint", ["--entrypoint", "/bin/echo"], "", "-c"),
    ("read-only", ["--read-only"], "touch /x 2>/dev/null || echo refused", "refused"),
    ("tmpfs", ["--read-only", "--tmpfs", "/scratch:size=1m"], "touch /scratch/x && echo ok", "ok"),
    ("memory", ["--memory", "64m"], "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null "
     "|| cat /sys/fs/cgroup/memory.max", "67108864"),
    ("pids", ["--pids-limit", "33"], "cat /sys/fs/cgroup/pids/pids.max 2>/dev/null "
     "|| cat /sys/fs/cgroup/pids.max", "33"),
    ("ulimit", ["--ulimit", "nofile=123:456"], "ulimit -n; ulimit -Hn", "123\n456"),
    ("cap-drop", ["--cap-drop", "ALL"], "grep CapEff /proc/self/status", "CapEff:\t0000000000000000"),
    ("cap-add", ["--cap-drop", "ALL", "--cap-add", "NET_ADMIN"], "grep CapEff /proc/self/status",
     "CapEff:\t0000000000001000"),
    ("no-new-privileges", ["--security-opt", "no-new-privileges"], "grep NoNewPrivs /proc/self/status",
     "NoNewPrivs:\t1"),
    ("seccomp", [], "grep Seccomp: /proc/self/status", "Seccomp:\t2"),
    ("seccomp-unconfined", ["--security-opt", "seccomp=unconfined"], "grep Seccomp: /proc/self/status",
     "Seccomp:\t0"),
    ("privileged", ["--privileged"], "grep CapEff /proc/self/status", f"CapEff:\t{own_capabilities()}"),
    ("init", ["--init"], "test $$ -ne 1 && echo child", "child"),
    ("pid-1", [], "echo $$", "1"),
    ("pid-host", ["--pid", "host"], f"test -d /proc/{os.getpid()} && echo seen", "seen"),
    ("shm-size", ["--shm-size", "3m"], "df -k /dev/shm | grep -c 3072", "1"),
    ("sysctl", ["--sysctl", "net.ipv4.ip_forward=1"], "cat /proc/sys/net/ipv4/ip_forward", "1"),
    ("add-host", ["--add-host", "db:10.0.0.9"], "grep -c '10.0.0.9.*db' /etc/hosts", "1"),
    ("network-none", [], "ls /sys/class/net", "lo"),
    ("label", ["--label", "x=y"], "echo ok", "ok"),
    ("device", ["--device", "/dev/null:/dev/xnull"], "test -c /dev/xnull && echo there", "there"),
    ("oom-score", ["--oom-score-adj", "500"], "cat /proc/self/oom_score_adj", "500"),
    ("cpus", ["--cpus", "0.5"], "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null "
     "|| head -n 1 /sys/fs/cgroup/cpu.max | tr ' ' '\\n' | head -n 1", "50000"),
    ("cpuset", ["--cpuset-cpus", "0"], "grep Cpus_allowed_list /proc/self/status", "Cpus_allowed_list:\t0"),
    ("ipc-host", ["--ipc", "host"], "readlink /proc/self/ns/ipc", os.readlink("/proc/self/ns/ipc")),
    ("mount-tmpfs", ["--mount", "type=tmpfs,dst=/scratch,tmpfs-size=1m"], "df /scratch | grep -c 1024", "1"),
    ("group-add", ["-u", "user", "--group-add", "27"], "id -G", "1000 27"),
    ("env-of-the-caller", ["-e", "HOME_OF_CALLER", "-e", "TERM"], "echo $TERM", "dumb"),
    ("security-opt-file", ["--security-opt", "seccomp=@profile"],
     "chmod 700 /tmp 2>/dev/null || echo denied", "denied"),
    ("uts-host", ["--uts", "host"], "hostname", os.uname().nodename),
]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "script", "out"), [row[1:] for row in FLAGS], ids=[row[0] for row in FLAGS]
)
def test_flags(docker: Docker, tmp_path: Path, options: list[str], script: str, out: str) -> None:
    profile = tmp_path / "seccomp.json"
    profile.write_text(json.dumps(NO_CHMOD))
    options = [option.replace("@profile", str(profile)) for option in options]
    arguments = ["run", "--rm", "--network", "none", *options, IMAGE]
    arguments += ["sh", "-c", script] if "--entrypoint" not in options else [out]
    assert docker(*arguments).out.rstrip("\n") == out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["sh", "-c", "exit 7"], 7, ""),
        (["sh", "-c", "kill -9 $$; sleep 1"], 137, ""),
        (["no-such-command"], 127, "executable file not found in $PATH"),
        (["/no/such/file"], 127, "no such file or directory"),
        (["/etc/not-executable"], 126, "permission denied"),
        (["/etc"], 126, ""),
    ],
)
def test_exit_codes(docker: Docker, arguments: list[str], code: int, words: str) -> None:
    name = docker.name()
    # A shell as PID 1 is not killed by its own signal: give it an init.
    init = ["--init"] if "kill" in " ".join(arguments) else []
    result = docker("run", "--name", name, "--network", "none", *init, IMAGE, *arguments, code=code)
    assert words in result.err
    assert docker.inspect(name, "{{.State.ExitCode}}") == str(code)
    docker("rm", name)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--memory", "1k", IMAGE, "true"], "emory"),
        (["no-such-image:1", "true"], "no-such-image:1"),
        (["--network", "nowhere", IMAGE, "true"], "nowhere"),
        (["-v", "relative/../:/x:badmode", IMAGE, "true"], ""),
        (["-u", "nobody-here", IMAGE, "true"], "nobody-here"),
        (["--cap-add", "FLY", IMAGE, "true"], "FLY"),
        (["--network", "container:nobody", IMAGE, "true"], "nobody"),
        (["-v", "/no/such/dir:/x:rprivate,nonsense", IMAGE, "true"], "nonsense"),
    ],
)
def test_125_is_the_engine_refusing(docker: Docker, arguments: list[str], words: str) -> None:
    name = docker.name()
    result = docker("run", "--name", name, *arguments, code=125)
    assert words in result.err and "Traceback" not in result.err
    assert len(result.err.strip()) > 10


def test_rm_leaves_nothing(docker: Docker) -> None:
    name = docker.name()
    docker("run", "--rm", "--name", name, "--network", "none", IMAGE, "true")
    docker.until("ps", "-aq", "--filter", f"name={name}", expect="")


def test_stdin_is_piped(docker: Docker) -> None:
    data = os.urandom(300_000).hex().encode()
    result = docker("run", "-i", "--rm", "--network", "none", IMAGE, "cat", input=data)
    assert result.out.encode() == data


def test_streams_are_apart(docker: Docker) -> None:
    result = docker("run", "--rm", "--network", "none", IMAGE, "sh", "-c", "echo out; echo err >&2")
    assert (result.out, result.err) == ("out\n", "err\n")


def test_cidfile_and_env_file(docker: Docker, tmp_path: Path) -> None:
    (tmp_path / "env").write_text("# comment\nX=from file\n")
    name = docker.name()
    result = docker(
        "run", "--name", name, "--network", "none", "--cidfile", str(tmp_path / "cid"),
        "--env-file", str(tmp_path / "env"), IMAGE, "sh", "-c", "echo $X",
    )  # fmt: skip
    assert result.out == "from file\n"
    assert docker.inspect(name, "{{.Id}}") == (tmp_path / "cid").read_text()


def test_bind_mounts(docker: Docker, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("host\n")
    script = "cat /m/f; touch /m/new && echo wrote; touch /ro/x 2>/dev/null || echo refused"
    result = docker(
        "run", "--rm", "--network", "none", "-v", f"{tmp_path}:/m",
        "--mount", f"type=bind,src={tmp_path},dst=/ro,readonly", IMAGE, "sh", "-c", script,
    )  # fmt: skip
    assert result.out == "host\nwrote\nrefused\n"
    assert (tmp_path / "new").exists()


def test_a_shared_network_namespace(docker: Docker) -> None:
    first = docker.running(command=("sh", "-c", "echo hi | nc -l -p 80; sleep 1000"))
    second = docker(
        "run", "--rm", "--network", f"container:{first}", IMAGE, "sh", "-c",
        "for i in 1 2 3 4 5 6 7 8 9; do nc 127.0.0.1 80 && break; sleep 0.2; done",
    )  # fmt: skip
    assert second.out == "hi\n"


def test_published_port(docker: Docker) -> None:
    name = docker.name()
    docker(
        "run", "-d", "--name", name, "-p", "127.0.0.1::80", "--stop-signal", "KILL",
        IMAGE, "sh", "-c", "while true; do echo hi | nc -l -p 80; done",
    )  # fmt: skip
    address = docker("port", name, "80/tcp").out.strip()
    host, _, port = address.rpartition(":")
    assert host == "127.0.0.1"
    deadline = time.monotonic() + 10
    while True:
        try:
            with socket.create_connection((host, int(port)), timeout=5) as sock:
                data = sock.recv(10)
        except OSError:
            data = b""
        if data == b"hi\n" or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    assert data == b"hi\n"
    assert f"{address}->80/tcp" in docker("ps", "--filter", f"name={name}").out


def block_device() -> tuple[str, str] | None:
    """A disk of this machine: its node, and "major:minor"."""
    for path in sorted(Path("/sys/block").iterdir()):
        node = Path("/dev") / path.name
        if node.exists() and not path.name.startswith(("loop", "ram", "zram")):
            return str(node), (path / "dev").read_text().strip()
    return None


def test_throttled_devices(docker: Docker) -> None:
    found = block_device()
    if found is None:
        pytest.skip("no disk")
    node, numbers = found
    script = (
        "cd /sys/fs/cgroup/blkio/ 2>/dev/null"
        " && cat blkio.throttle.read_bps_device blkio.throttle.write_iops_device"
        " || grep -o 'rbps=[0-9]*\\|wiops=[0-9]*' /sys/fs/cgroup/io.max"
    )
    result = docker(
        "run", "--rm", "--network", "none", "--device-read-bps", f"{node}:1mb", "--device-write-iops",
        f"{node}:77", IMAGE, "sh", "-c", script,
    )  # fmt: skip
    assert result.lines in ([f"{numbers} 1048576", f"{numbers} 77"], ["rbps=1048576", "wiops=77"])


def test_dns_and_resolv_conf(docker: Docker) -> None:
    result = docker(
        "run", "--rm", "--dns", "192.0.2.53", "--dns-search", "corp.example", "--dns-option", "ndots:3",
        IMAGE, "cat", "/etc/resolv.conf",
    )  # fmt: skip
    for line in ("nameserver 192.0.2.53", "search corp.example", "options ndots:3"):
        assert line in result.lines


def test_a_client_that_dies_stops_nothing(docker: Docker) -> None:
    name = docker.name()
    client = docker.popen(
        "run", "-i", "--name", name, "--network", "none", IMAGE, "sh", "-c",
        "echo ready; while true; do echo tick; sleep 0.1; done",
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert client.stdout is not None and client.stdin is not None
    assert client.stdout.readline() == b"ready\n"
    client.kill()
    client.wait()
    client.stdout.close()
    client.stdin.close()
    before = len(docker("logs", name).lines)
    docker.until("inspect", "-f", "{{.State.Running}}", name, expect="true")
    deadline = time.monotonic() + 10
    while len(docker("logs", name).lines) <= before + 2:
        assert time.monotonic() < deadline, "it does not go on"
    docker("kill", name)


def test_many_at_a_time(docker: Docker) -> None:
    started = [
        docker.popen(
            "run", "--rm", "--network", "none", IMAGE, "echo", str(number),
            stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
        )
        for number in range(12)
    ]  # fmt: skip
    seen = [process.communicate(timeout=60)[0].decode().strip() for process in started]
    assert seen == [str(number) for number in range(12)]
    assert [process.returncode for process in started] == [0] * 12
