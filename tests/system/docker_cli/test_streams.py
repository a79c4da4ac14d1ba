"""logs, attach and exec: pipes, terminals, detach keys."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from tests.system.docker_cli.conftest import IMAGE, Docker, own_capabilities

pytestmark = [pytest.mark.root, pytest.mark.docker_cli]


class Terminal:
    """A docker command on a terminal of its own."""

    def __init__(self, docker: Docker, *arguments: str) -> None:
        self.master, slave = pty.openpty()
        self.process: subprocess.Popen[bytes] = docker.popen(
            *arguments, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
        )
        os.close(slave)
        self.seen = b""

    def expect(self, text: bytes, seconds: float = 15.0) -> None:
        deadline = time.monotonic() + seconds
        start = len(self.seen)
        while text not in self.seen[start:]:
            rest = deadline - time.monotonic()
            assert rest > 0, f"{text!r} did not come: {self.seen!r}"
            if select.select([self.master], [], [], rest)[0]:
                try:
                    data = os.read(self.master, 4096)
                except OSError:
                    data = b""
                assert data, f"the end came before {text!r}: {self.seen!r}"
                self.seen += data

    def send(self, data: bytes) -> None:
        os.write(self.master, data)

    def wait(self, seconds: float = 15.0) -> int:
        deadline = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < deadline:
            if select.select([self.master], [], [], 0.05)[0]:
                with suppress(OSError):
                    self.seen += os.read(self.master, 4096)
        assert self.process.poll() is not None, f"it does not end: {self.seen!r}"
        return self.process.returncode

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)


@contextmanager
def terminal(docker: Docker, *arguments: str) -> Iterator[Terminal]:
    opened = Terminal(docker, *arguments)
    try:
        yield opened
    finally:
        opened.close()


def test_logs(docker: Docker) -> None:
    name = docker.name()
    script = "for i in 1 2 3 4; do echo line $i; done; echo oops >&2"
    docker("run", "--name", name, "--network", "none", IMAGE, "sh", "-c", script)
    result = docker("logs", name)
    assert result.lines == ["line 1", "line 2", "line 3", "line 4"] and result.err == "oops\n"
    tail = docker("logs", "--tail", "2", name)
    assert len((tail.out + tail.err).splitlines()) == 2 and "line 4" in tail.out
    stamped = docker("logs", "-t", name).lines[0]
    assert stamped[4] == "-" and stamped.split(" ", 1)[1] == "line 1" and "T" in stamped
    assert docker("logs", "--since", "1h", name).lines == result.lines
    assert docker("logs", "--until", "1h", name).out == ""
    assert docker("logs", "--since", "2030-01-01T00:00:00Z", name).out == ""
    assert docker("logs", "-f", name).lines == result.lines
    assert "No such container" in docker("logs", "nobody", code=1).err


def test_logs_follow_to_the_end(docker: Docker) -> None:
    name = docker.name()
    script = "for i in 1 2 3; do echo line $i; sleep 0.2; done"
    docker("run", "-d", "--name", name, "--network", "none", IMAGE, "sh", "-c", script)
    assert docker("logs", "-f", name).lines == ["line 1", "line 2", "line 3"]


def test_logs_of_a_terminal(docker: Docker) -> None:
    name = docker.name()
    docker("run", "-d", "-t", "--name", name, "--network", "none", IMAGE, "sh", "-c", "echo hi; tty")
    docker("wait", name)
    assert docker("logs", name).out == "hi\n/dev/pts/0\n" or docker("logs", name, binary=True).out == (
        "hi\r\n/dev/pts/0\r\n"
    )


def test_run_on_a_terminal(docker: Docker) -> None:
    with terminal(docker, "run", "-it", "--rm", "--network", "none", IMAGE, "sh") as shell:
        shell.expect(b"# ")
        shell.send(b"stty size; echo a$((1+1))b\r")
        shell.expect(b"a2b")
        shell.send(b"exit 6\r")
        assert shell.wait() == 6


def test_detach_keys_and_attach(docker: Docker) -> None:
    name = docker.name()
    with terminal(docker, "run", "-it", "--name", name, "--network", "none", IMAGE, "sh") as shell:
        shell.expect(b"# ")
        shell.send(b"\x10\x11")
        assert shell.wait() == 0
    assert docker.inspect(name, "{{.State.Running}}") == "true"
    with terminal(docker, "attach", "--detach-keys", "ctrl-x,x", name) as shell:
        shell.send(b"echo again$((2+3))\r")
        shell.expect(b"again5")
        shell.send(b"\x18x")
        shell.wait()
    assert docker.inspect(name, "{{.State.Running}}") == "true"
    with terminal(docker, "attach", name) as shell:
        shell.send(b"exit 3\r")
        assert shell.wait() == 3
    assert docker("wait", name).out == "3\n"


def test_attach_without_a_terminal(docker: Docker) -> None:
    name = docker.running("-i", command=("head", "-n", "1"))
    result = docker("attach", name, input=b"to the container\n")
    assert result.out == "to the container\n"
    assert docker("wait", name).out == "0\n"


def test_attach_passes_signals(docker: Docker) -> None:
    name = docker.name()
    script = "trap 'echo got; exit 5' INT; echo ready; while true; do sleep 0.05; done"
    docker("run", "-d", "--name", name, "--network", "none", IMAGE, "sh", "-c", script)
    docker.until("logs", name, expect="ready")
    attached = docker.popen(
        "attach", name, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
    )
    time.sleep(0.5)
    attached.send_signal(2)
    out, err = attached.communicate(timeout=15)
    assert (attached.returncode, out) == (5, b"got\n"), err


@pytest.mark.parametrize(
    ("options", "script", "out", "code"),
    [
        ([], "echo hi", "hi", 0),
        ([], "exit 8", "", 8),
        (["-e", "X=1"], "echo $X", "1", 0),
        (["-u", "user"], "id -u", "1000", 0),
        (["-w", "/tmp"], "pwd", "/tmp", 0),
        (["--privileged"], "grep CapEff /proc/self/status", f"CapEff:\t{own_capabilities()}", 0),
        (["-i"], "cat", "typed", 0),
    ],
)
def test_exec(docker: Docker, options: list[str], script: str, out: str, code: int) -> None:
    name = docker.running()
    result = docker("exec", *options, name, "sh", "-c", script, code=code, input=b"typed")
    assert result.out.rstrip("\n") == out


def test_exec_errors(docker: Docker) -> None:
    name = docker.running()
    missing = docker("exec", name, "no-such-command", code=127)
    assert "executable file not found" in missing.out + missing.err
    refused = docker("exec", name, "/etc/not-executable", code=126)
    assert "permission denied" in refused.out + refused.err
    assert "nobody-here" in (r := docker("exec", "-u", "nobody-here", name, "true", code=None)).out + r.err
    docker("kill", name)
    assert "is not running" in docker("exec", name, "true", code=1).err
    assert "No such container" in docker("exec", "nobody", "true", code=1).err


def test_exec_streams_are_apart(docker: Docker) -> None:
    name = docker.running()
    result = docker("exec", name, "sh", "-c", "echo out; echo err >&2")
    assert (result.out, result.err) == ("out\n", "err\n")


def test_exec_on_a_terminal(docker: Docker) -> None:
    name = docker.running()
    with terminal(docker, "exec", "-it", name, "sh") as shell:
        shell.expect(b"# ")
        shell.send(b"tty; echo b$((3*3))c\r")
        shell.expect(b"b9c")
        shell.send(b"exit 4\r")
        assert shell.wait() == 4


def test_exec_detached(docker: Docker) -> None:
    name = docker.running()
    assert docker("exec", "-d", name, "sh", "-c", "echo done > /tmp/out").out == ""
    docker.until("exec", name, "cat", "/tmp/out", expect="done")


def test_much_output(docker: Docker) -> None:
    name = docker.name()
    script = "yes 0123456789012345678901234567890123456789012345678901234567890 | head -n 50000"
    result = docker("run", "--name", name, "--network", "none", IMAGE, "sh", "-c", script)
    assert len(result.lines) == 50000
    assert docker("logs", name).out == result.out
