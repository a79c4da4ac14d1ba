"""corten run and exec in the foreground: streams, exit codes, signals, what happens when the client dies."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.system.cli.conftest import CORTEN, Corten

pytestmark = pytest.mark.root

RUN = ("run", "--rm", "--network", "none")


@pytest.mark.parametrize("log", [(), ("--log-driver", "json-file")], ids=["handed over", "attached"])
class TestForeground:
    def test_output_goes_where_it_belongs(self, corten: Corten, log: tuple[str, ...]) -> None:
        done = corten(*RUN, *log, "busybox", "sh", "-c", "echo out; echo err >&2")
        assert (done.stdout, done.stderr) == ("out\n", "err\n")

    @pytest.mark.parametrize(
        ("command", "code"),
        [
            (["true"], 0),
            (["sh", "-c", "exit 42"], 42),
            (["no-such-command"], 127),
            (["/etc"], 126),
            (["/etc/not-executable"], 126),
            (["sh", "-c", "sh -c 'kill -TERM $$'; exit $?"], 143),
        ],
    )
    def test_exit_codes(self, corten: Corten, log: tuple[str, ...], command: list[str], code: int) -> None:
        assert corten(*RUN, *log, "busybox", *command, check=code).stdout == ""

    def test_input(self, corten: Corten, log: tuple[str, ...]) -> None:
        # ctrl-p and ctrl-q are in it: on a pipe they detach nothing.
        data = bytes(range(256)) * 4000
        done = subprocess.run(["sha256sum"], input=data, capture_output=True, check=True)
        got = corten(*RUN, *log, "-i", "busybox", "sha256sum", input=data)
        assert got.stdout == done.stdout.decode()

    def test_no_input_without_i(self, corten: Corten, log: tuple[str, ...]) -> None:
        assert corten(*RUN, *log, "busybox", "cat", input=b"not for it").stdout == ""

    def test_much_output(self, corten: Corten, log: tuple[str, ...]) -> None:
        done = corten(
            *RUN, *log, "busybox", "sh", "-c", "yes | head -c 3000000 | md5sum; yes | head -c 3000000"
        )
        assert len(done.stdout) == 3_000_000 + 36

    def test_signals_are_passed_on(self, corten: Corten, log: tuple[str, ...]) -> None:
        script = "trap 'echo got it; exit 7' TERM; echo ready; while :; do sleep 0.05; done"
        process = corten.popen(*RUN, *log, "busybox", "sh", "-c", script, stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == b"got it\n"
        assert process.wait(10) == 7

    def test_a_killed_client_does_not_take_the_container_along(
        self, corten: Corten, log: tuple[str, ...]
    ) -> None:
        process = corten.popen(
            *RUN, *log, "--name", "survivor", "busybox", "sh", "-c", "echo ready; sleep 1000",
            stdout=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.kill()
        process.wait(10)
        time.sleep(0.3)
        assert corten("ps", "--format", "{{.Names}} {{.State}}").stdout == "survivor running\n"
        corten("kill", "survivor")
        deadline = time.monotonic() + 5
        while corten("ps", "-aq").stdout and time.monotonic() < deadline:
            time.sleep(0.05)
        assert corten("ps", "-aq").stdout == ""


def test_output_to_a_file_and_to_nowhere(corten: Corten, tmp_path: Path) -> None:
    with open(tmp_path / "out", "wb") as out:
        process = corten.popen(*RUN, "busybox", "echo", "into the file", stdout=out)
        assert process.wait(30) == 0
    assert (tmp_path / "out").read_text() == "into the file\n"
    closed = subprocess.run(
        [
            "sh",
            "-c",
            'exec "$@" >&- 2>&- <&-',
            "sh",
            *CORTEN,
            *RUN,
            "busybox",
            "true",
        ],
        env=corten.environment,
        check=False,
    )
    assert closed.returncode == 0


def test_the_reader_that_leaves_early(corten: Corten) -> None:
    process = corten.popen(*RUN, "busybox", "yes", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.read(4) == b"y\ny\n"
    process.stdout.close()
    assert process.wait(20) != 0
    assert b"Traceback" not in process.stderr.read()


def test_without_rm_there_is_a_log_and_a_container(corten: Corten) -> None:
    command = ("sh", "-c", "echo kept; exit 3")
    corten("run", "--network", "none", "--name", "job", "busybox", *command, check=3)
    assert corten("logs", "job").stdout == "kept\n"
    assert corten("start", "-a", "job", check=3).stdout == "kept\n"
    assert corten("inspect", "-f", "{{.State.ExitCode}} {{.State.Status}}", "job").stdout == "3 exited\n"
    assert corten("wait", "job").stdout == "3\n"


def test_flags_reach_the_container(corten: Corten, tmp_path: Path) -> None:
    (tmp_path / "env").write_text("FROM_FILE=1\n")
    cidfile = tmp_path / "cid"
    script = "echo $A $FROM_FILE $(pwd) $(hostname) $(id -u):$(id -g)"
    done = corten(
        *RUN, "--env-file", str(tmp_path / "env"), "-e", "A=b", "-w", "/tmp", "-h", "box", "-u", "1000:1000",
        "--cidfile", str(cidfile), "busybox", "sh", "-c", script,
    )  # fmt: skip
    assert done.stdout == "b 1 /tmp box 1000:1000\n"
    assert len(cidfile.read_text()) == 64
    assert (
        "container ID file found"
        in corten(*RUN, "--cidfile", str(cidfile), "busybox", "true", check=125).stderr
    )


def test_a_missing_image_says_how_to_get_it(corten: Corten) -> None:
    # A registry on loopback that nobody runs: the pull fails at once.
    message = corten(*RUN, "127.0.0.1:1/app", "true", check=125).stderr
    assert "Unable to find image '127.0.0.1:1/app:latest' locally" in message
    assert "cannot reach 127.0.0.1:1" in message and "corten load" in message
    message = corten(*RUN, "--pull", "never", "debian:12", "true", check=125).stderr
    assert "unable to find image 'debian:12' locally" in message
    assert corten("ps", "-aq").stdout == ""


def test_bad_input_is_one_sentence_and_leaves_nothing(corten: Corten) -> None:
    for arguments in (
        ("--memory", "lots", "busybox"),
        ("--name", "no/slash", "busybox", "true"),
        ("-w", "relative", "busybox", "true"),
        ("-u", "nobody-here", "busybox", "true"),
        ("--network", "nowhere", "busybox", "true"),
    ):
        done = corten("run", "--rm", *arguments, check=125)
        assert done.stderr.startswith("corten: "), done.stderr
    assert corten("ps", "-aq").stdout == ""


def test_a_name_in_use(corten: Corten) -> None:
    corten("create", "--name", "taken", "busybox")
    assert "taken" in corten("run", "--name", "taken", "busybox", "true", check=125).stderr


class TestExec:
    def test_streams_and_codes(self, corten: Corten) -> None:
        corten("run", "-d", "--network", "none", "--name", "box", "busybox", "sleep", "1000")
        done = corten("exec", "box", "sh", "-c", "echo out; echo err >&2; exit 9", check=9)
        assert (done.stdout, done.stderr) == ("out\n", "err\n")
        assert corten("exec", "-i", "box", "cat", input=b"hello").stdout == "hello"
        assert corten("exec", "box", "no-such-command", check=127).stdout == ""
        assert corten("exec", "box", "/etc", check=126).stdout == ""
        assert "No such container" in corten("exec", "nowhere", "true", check=1).stderr

    def test_flags(self, corten: Corten) -> None:
        corten("run", "-d", "--network", "none", "--name", "box", "busybox", "sleep", "1000")
        script = "echo $A $(pwd) $(id -u)"
        done = corten("exec", "-e", "A=b", "-w", "/tmp", "-u", "1000", "box", "sh", "-c", script)
        assert done.stdout == "b /tmp 1000\n"

    def test_in_the_background(self, corten: Corten) -> None:
        corten("run", "-d", "--network", "none", "--name", "box", "busybox", "sleep", "1000")
        assert corten("exec", "-d", "box", "sh", "-c", "echo done > /tmp/flag").stdout == ""
        deadline = time.monotonic() + 5
        while corten("exec", "box", "cat", "/tmp/flag", check=None).stdout != "done\n":
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def test_in_a_stopped_container(self, corten: Corten) -> None:
        corten("create", "--name", "box", "busybox")
        assert "not running" in corten("exec", "box", "true", check=1).stderr


def test_warnings_of_the_engine(corten: Corten) -> None:
    done = corten(*RUN, "--volatile", "--memory", "64m", "busybox", "true")
    for line in done.stderr.splitlines():
        assert line.startswith("WARNING: ")


def test_json_of_inspect_is_json(corten: Corten) -> None:
    corten("create", "--name", "box", "busybox", "true")
    (one,) = json.loads(corten("inspect", "box").stdout)
    assert one["Name"] == "/box"
    assert json.loads(corten("inspect", "-f", "{{json .Config.Cmd}}", "box").stdout) == ["true"]
    assert json.loads(corten("inspect", "-f", "json", "box").stdout) == [one]
    done = corten("inspect", "box", "nothing", check=1)
    assert len(json.loads(done.stdout)) == 1 and "no such object: nothing" in done.stderr
