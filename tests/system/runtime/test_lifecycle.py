"""create, start, state, exec, kill, delete; hooks; terminals; failures that leave nothing."""

from __future__ import annotations

import array
import json
import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.root


def cgroups_of(container: str) -> list[Path]:
    return [path for path in Path("/sys/fs/cgroup").glob(f"**/*{container}*") if path.is_dir()]


def test_cycle(bundle, wait_until):
    bundle.script("touch /started; exec sleep 1000")
    bundle.write()
    with open(bundle.directory / "log", "w") as log:
        created = subprocess.run(
            [
                *bundle._command,
                "create",
                "-b",
                str(bundle.directory),
                "--pid-file",
                str(bundle.directory / "pid"),
                bundle.id,
            ],
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    assert created.returncode == 0
    state = bundle.state()
    assert state["status"] == "created"
    assert state["pid"] == int((bundle.directory / "pid").read_text())
    assert state["bundle"] == str(bundle.directory)
    assert not (bundle.rootfs / "started").exists()
    assert bundle.command("start", bundle.id).returncode == 0
    wait_until((bundle.rootfs / "started").exists)
    assert bundle.state()["status"] == "running"
    assert bundle.command("start", bundle.id).returncode != 0
    assert bundle.command("delete", bundle.id).returncode != 0
    assert bundle.command("kill", bundle.id, "KILL").returncode == 0
    wait_until(lambda: bundle.state()["status"] == "stopped")
    assert bundle.command("kill", bundle.id, "KILL").returncode != 0
    assert bundle.command("delete", bundle.id).returncode == 0
    assert bundle.command("state", bundle.id).returncode != 0
    assert cgroups_of(bundle.id) == []


def test_id_in_use(bundle):
    bundle.start()
    done = bundle.run("true")
    assert done.returncode != 0
    assert "exist" in done.stderr
    assert bundle.state()["status"] == "running"


def test_delete_forced(bundle):
    bundle.start()
    pid = bundle.state()["pid"]
    assert bundle.command("delete", "--force", bundle.id).returncode == 0
    assert (
        not os.path.exists(f"/proc/{pid}/ns/mnt") or Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    )
    assert bundle.command("delete", "--force", bundle.id).returncode == 0


def test_list_and_ps(bundle):
    bundle.start()
    rows = json.loads(bundle.command("list", "--format", "json").stdout)
    assert [row["id"] for row in rows] == [bundle.id]
    assert bundle.command("list", "-q").stdout.split() == [bundle.id]
    assert json.loads(bundle.command("ps", "--format", "json", bundle.id).stdout) == [bundle.state()["pid"]]


def test_pause_and_resume(bundle):
    bundle.start()
    assert bundle.command("pause", bundle.id).returncode == 0
    assert bundle.state()["status"] == "paused"
    assert bundle.command("exec", bundle.id, "true").returncode != 0
    assert bundle.command("resume", bundle.id).returncode == 0
    assert bundle.state()["status"] == "running"


def test_update(bundle):
    bundle.linux["resources"] = {"pids": {"limit": 50}}
    bundle.start()
    assert bundle.command("update", "--pids-limit", "44", bundle.id).returncode == 0
    limits = {path.read_text().strip() for path in Path("/sys/fs/cgroup").glob(f"**/*{bundle.id}*/pids.max")}
    assert limits == {"44"}


@pytest.mark.parametrize("status", [0, 3, 127])
def test_exit_status(bundle, status):
    assert bundle.run(f"exit {status}").returncode == status


def test_killed_by_a_signal(bundle):
    assert bundle.run("kill -9 $$; sleep 5", timeout=30).returncode in (0, 137)
    bundle.process["args"] = ["sleep", "1000"]
    bundle.write()
    process = bundle.popen("run", "-b", str(bundle.directory), bundle.id)
    while not (state := bundle.command("state", bundle.id)).stdout or '"pid": 0' in state.stdout:
        assert process.poll() is None
    assert bundle.command("kill", bundle.id, "KILL").returncode == 0
    assert process.wait(20) == 137


class TestExec:
    def test_joins_everything(self, bundle):
        bundle.start()
        pid = bundle.state()["pid"]
        script = "for n in mnt pid net ipc uts cgroup; do readlink /proc/self/ns/$n; done; hostname"
        done = bundle.command("exec", bundle.id, "sh", "-c", script)
        kinds = ("mnt", "pid", "net", "ipc", "uts", "cgroup")
        assert done.stdout.split() == [*(os.readlink(f"/proc/{pid}/ns/{kind}") for kind in kinds), "inside"]

    def test_status_and_streams(self, bundle):
        bundle.start()
        done = bundle.command(
            "exec", bundle.id, "sh", "-c", "cat; echo err >&2; exit 9", stdin=None, input="in"
        )
        assert (done.returncode, done.stdout, done.stderr.strip()) == (9, "in", "err")

    def test_options(self, bundle, corten_only):
        bundle.start()
        done = bundle.command(
            "exec",
            "--user",
            "33:44",
            "--cwd",
            "/tmp",
            "--env",
            "X=y",
            bundle.id,
            "sh",
            "-c",
            "id; pwd; echo $X $A",
        )
        words = done.stdout.split()
        assert words[0].startswith("uid=33")
        assert words[1].startswith("gid=44")
        assert words[-3:] == ["/tmp", "y", "b"]

    def test_confinement_is_the_container_s(self, bundle, corten_only):
        bundle.linux["seccomp"] = {
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}],
        }
        bundle.start()
        script = "grep -e CapEff -e NoNewPrivs /proc/self/status; mkdir /tmp/x 2>&1"
        done = bundle.command("exec", bundle.id, "sh", "-c", script)
        words = done.stdout.split()
        assert int(words[1], 16) == 1 << 0 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 10
        assert words[3] == "1"
        assert "not implemented" in done.stdout

    def test_user_namespace(self, bundle, corten_only):
        mapping = [{"containerID": 0, "hostID": 100000, "size": 65536}]
        bundle.linux.update(uidMappings=mapping, gidMappings=mapping)
        bundle.linux["namespaces"].append({"type": "user"})
        subprocess.run(["chown", "-R", "100000:100000", bundle.rootfs], check=True)
        for directory in (bundle.directory, *bundle.directory.parents[:4]):
            directory.chmod(directory.stat().st_mode | 0o111)
        bundle.start()
        script = "id -u; readlink /proc/self/ns/user; exit 6"
        done = bundle.command("exec", bundle.id, "sh", "-c", script)
        assert done.returncode == 6, done.stderr
        assert done.stdout.split() == ["0", os.readlink(f"/proc/{bundle.state()['pid']}/ns/user")]

    def test_process_file(self, bundle):
        bundle.start()
        path = bundle.directory / "process.json"
        path.write_text(
            json.dumps(bundle.process | {"args": ["sh", "-c", "echo $A $Q"], "env": ["PATH=/bin", "Q=q"]})
        )
        assert bundle.command("exec", "--process", str(path), bundle.id).stdout.strip() == "q"

    def test_command_not_found(self, bundle, corten_only):
        bundle.start()
        done = bundle.command("exec", bundle.id, "nothing")
        assert done.returncode == 127
        assert 'exec: "nothing": executable file not found in $PATH' in done.stderr

    def test_no_leaked_descriptors(self, bundle):
        bundle.start()
        done = bundle.command("exec", bundle.id, "ls", "-l", "/proc/self/fd")
        numbers = [line.split()[8] for line in done.stdout.splitlines() if line.startswith("l")]
        assert numbers == ["0", "1", "2", "3"]  # 3 is the listing itself


class TestFailure:
    @pytest.mark.parametrize(
        ("args", "status", "words"),
        [
            (["nothing"], 127, 'exec: "nothing": executable file not found in $PATH'),
            (["/bin/nothing"], 127, 'exec: "/bin/nothing": stat /bin/nothing: no such file or directory'),
            (["/etc/passwd"], 126, 'exec: "/etc/passwd": permission denied'),
            (["/bin"], 126, 'exec: "/bin": permission denied: is a directory'),
            (["/etc/script"], 126, "exec /etc/script: exec format error"),
        ],
    )
    def test_commands(self, bundle, corten_only, args, status, words):
        (bundle.rootfs / "etc/script").write_bytes(b"\0garbage")
        (bundle.rootfs / "etc/script").chmod(0o755)
        bundle.process["args"] = args
        done = bundle.run()
        assert done.returncode == status
        assert words in done.stderr
        self.assert_nothing_is_left(bundle)

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda c: c["mounts"].append(
                {"destination": "/x", "type": "bind", "source": "/nope", "options": ["bind"]}
            ),
            lambda c: c["process"].update(user={"uid": 0, "gid": 0, "username": "ghost"}),
            lambda c: c["linux"].update(sysctl={"net.ipv4.nope": "1"}),
            lambda c: c["linux"].update(resources={"cpu": {"cpus": "9999"}}),
            lambda c: c.update(hooks={"createRuntime": [{"path": "/bin/false"}]}),
            lambda c: c.update(hooks={"createContainer": [{"path": "/bin/false"}]}),
            lambda c: c.update(hooks={"startContainer": [{"path": "/bin/false"}]}),
        ],
    )
    def test_set_up(self, bundle, corten_only, spoil):
        spoil(bundle.config)
        done = bundle.run("true")
        assert done.returncode != 0
        assert len(done.stderr.strip().splitlines()) == 1
        assert "Traceback" not in done.stderr
        self.assert_nothing_is_left(bundle)

    @pytest.mark.parametrize(
        ("spoil", "words"),
        [
            (lambda c: c["process"].update(args=[]), "no arguments"),
            (lambda c: c["process"].update(cwd="relative"), "absolute"),
            (lambda c: c["linux"]["namespaces"].append({"type": "pid"}), "twice"),
            (lambda c: c["linux"]["namespaces"].append({"type": "moon"}), "moon"),
            (lambda c: c["linux"].update(sysctl={"kernel.panic": "1"}), "kernel.panic"),
            (lambda c: c.update(ociVersion="2.0"), "2.0"),
            (lambda c: c["process"].update(rlimits=[{"type": "RLIMIT_X", "soft": 1, "hard": 1}]), "RLIMIT_X"),
        ],
    )
    def test_bad_config(self, bundle, corten_only, spoil, words):
        spoil(bundle.config)
        if bundle.process["args"] == []:
            bundle.write()
            done = bundle.run()
        else:
            done = bundle.run("true")
        assert done.returncode == 1
        assert words in done.stderr
        self.assert_nothing_is_left(bundle)

    @staticmethod
    def assert_nothing_is_left(bundle):
        assert bundle.command("list", "-q").stdout == ""
        assert cgroups_of(bundle.id) == []
        assert str(bundle.directory) not in Path("/proc/self/mountinfo").read_text()


class TestHooks:
    def test_order_and_state(self, bundle, corten_only, wait_until):
        log = bundle.directory / "hooks"
        names = ("prestart", "createRuntime", "createContainer", "poststart", "poststop")
        script = 'state=$(cat); echo "$0 $state $(readlink /proc/self/ns/mnt)" >> ' + str(log)
        bundle.config["hooks"] = {
            name: [
                {"path": "/bin/sh", "args": ["/bin/sh", "-c", script, name], "env": ["PATH=/bin:/usr/bin"]}
            ]
            for name in names
        }
        (bundle.rootfs / "tmp").chmod(0o777)
        inside = "cat > /tmp/state; echo $Z > /tmp/z"
        bundle.config["hooks"]["startContainer"] = [
            {"path": "/bin/sh", "args": ["sh", "-c", inside], "env": ["PATH=/bin", "Z=zed"]}
        ]
        bundle.config["annotations"] = {"key": "value"}
        assert bundle.run("cat /tmp/z").stdout.strip() == "zed"
        wait_until(lambda: log.read_text().count("\n") == 5)
        lines = log.read_text().splitlines()
        assert [line.split()[0] for line in lines] == list(names)
        states = [json.loads(line[line.index("{") : line.rindex("}") + 1]) for line in lines]
        assert {state["id"] for state in states} == {bundle.id}
        assert states[0]["annotations"] == {"key": "value"}
        assert states[0]["pid"] > 0
        assert [state["status"] for state in states[-2:]] == ["running", "stopped"]
        own = os.readlink("/proc/self/ns/mnt")
        assert [line.endswith(own) for line in lines] == [True, True, False, True, True]
        assert json.loads((bundle.rootfs / "tmp/state").read_text())["bundle"] == str(bundle.directory)

    def test_timeout(self, bundle, corten_only):
        bundle.config["hooks"] = {
            "createRuntime": [{"path": "/bin/sleep", "args": ["sleep", "50"], "timeout": 1}]
        }
        done = bundle.run("true")
        assert done.returncode != 0
        assert "within 1 second" in done.stderr

    def test_failure_shows_output(self, bundle):
        bundle.config["hooks"] = {
            "createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", "echo broken >&2; exit 4"]}]
        }
        assert bundle.run("true").returncode != 0


class TestConsole:
    @staticmethod
    def receive(listener: socket.socket) -> int:
        listener.settimeout(20)
        connection, _ = listener.accept()
        with connection:
            fds = array.array("i")
            _data, ancillary, _flags, _address = connection.recvmsg(100, socket.CMSG_SPACE(4))
            fds.frombytes(ancillary[0][2][:4])
            return fds[0]

    @staticmethod
    def read_all(fd: int) -> str:
        text = b""
        while True:
            try:
                piece = os.read(fd, 4096)
            except OSError:
                piece = b""
            if not piece:
                return text.decode()
            text += piece

    def test_socket(self, bundle, short_tmp):
        bundle.process["terminal"] = True
        bundle.process["consoleSize"] = {"height": 33, "width": 99}
        bundle.script("tty; stty size; ls -l /dev/console; test -t 1 && echo yes; echo x > /dev/tty")
        bundle.write()
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(short_tmp / "s"))
            listener.listen()
            done = bundle.command(
                "create", "-b", str(bundle.directory), "--console-socket", str(short_tmp / "s"), bundle.id
            )
            assert done.returncode == 0, done.stderr
            master = self.receive(listener)
        assert bundle.command("start", bundle.id).returncode == 0
        lines = self.read_all(master).split("\r\n")
        os.close(master)
        assert lines[0].startswith("/dev/")
        assert lines[1] == "33 99"
        assert "136," in lines[2]
        assert lines[3:5] == ["yes", "x"]

    def test_exec(self, bundle, short_tmp):
        bundle.start()
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(short_tmp / "s"))
            listener.listen()
            done = bundle.command(
                "exec",
                "-t",
                "-d",
                "--console-socket",
                str(short_tmp / "s"),
                bundle.id,
                "sh",
                "-c",
                "tty; echo done",
            )
            assert done.returncode == 0, done.stderr
            master = self.receive(listener)
        assert self.read_all(master).split() == ["/dev/pts/0", "done"]
        os.close(master)

    def test_needs_a_socket(self, bundle):
        bundle.process["terminal"] = True
        bundle.write()
        assert bundle.command("create", "-b", str(bundle.directory), bundle.id).returncode != 0
        bundle.process["terminal"] = False


def test_signal_is_forwarded(bundle, wait_until):
    bundle.script("trap 'exit 5' TERM; touch /ready; while true; do sleep 0.05; done")
    bundle.write()
    process = bundle.popen("run", "-b", str(bundle.directory), bundle.id)
    wait_until((bundle.rootfs / "ready").exists)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 5


def test_signal_that_comes_before_the_process(bundle, corten_only):
    """It is for the container; the runtime must not die of it and leave what it has made."""
    hook = {"path": "/bin/sh", "args": ["sh", "-c", "kill -TERM $PPID"]}
    bundle.config["hooks"] = {"createRuntime": [hook]}
    bundle.script("sleep 0.2; exit 7")  # PID 1 of a namespace has no default actions
    bundle.write()
    assert bundle.command("run", "-b", str(bundle.directory), bundle.id).returncode == 7


def test_log_file(bundle, corten_only, tmp_path):
    log = tmp_path / "log"
    done = bundle.command("--log", str(log), "--log-format", "json", "state", "nobody")
    assert done.returncode == 1
    entry = json.loads(log.read_text())
    assert entry["level"] == "error"
    assert "nobody" in entry["msg"]


def test_unsupported_is_said(bundle, corten_only):
    assert "CRIU" in bundle.command("checkpoint", "x").stderr
    assert "systemd" in bundle.command("--systemd-cgroup", "list").stderr
    assert "no command" in bundle.command("frobnicate").stderr


def test_spec_and_features(bundle, corten_only, tmp_path):
    assert bundle.command("spec", "--bundle", str(tmp_path)).returncode == 0
    assert json.loads((tmp_path / "config.json").read_text())["process"]["args"] == ["sh"]
    assert bundle.command("spec", "--bundle", str(tmp_path)).returncode == 1
    features = json.loads(bundle.command("features").stdout)
    assert "rro" in features["mountOptions"]
