"""What a person at a terminal sees: raw keys, sizes, detaching, colours."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest

from tests.system.cli.conftest import Corten, Terminal

pytestmark = pytest.mark.root

RUN = ("run", "--network", "none")


def test_a_shell(corten: Corten, terminals: list[Terminal]) -> None:
    terminals.append(terminal := Terminal(corten, *RUN, "--rm", "-it", "busybox", "sh"))
    terminal.expect("# ")
    terminal.type("echo $((6*7)) $TERM\n")
    terminal.expect("42 xterm")
    terminal.type("tty; stty size\n")
    terminal.expect("/dev/pts/0")
    terminal.expect("30 90")
    terminal.resize(40, 120)
    os.killpg(terminal.process.pid, signal.SIGWINCH)
    time.sleep(0.3)
    terminal.type("stty size\n")
    terminal.expect("40 120")
    terminal.type(b"sleep 100\n")
    time.sleep(0.2)
    terminal.type(b"\x03")  # the container's terminal makes a SIGINT of it, not this one's
    terminal.expect("# ")
    terminal.type("exit 5\n")
    assert terminal.wait() == 5


def test_detach_and_attach(corten: Corten, terminals: list[Terminal]) -> None:
    terminals.append(terminal := Terminal(corten, *RUN, "--name", "shell", "-it", "busybox", "sh"))
    terminal.expect("# ")
    terminal.type(b"\x10\x11")
    terminal.expect("read escape sequence")
    assert terminal.wait() == 0
    assert corten("inspect", "-f", "{{.State.Running}}", "shell").stdout == "true\n"
    terminals.append(again := Terminal(corten, "attach", "shell"))
    time.sleep(0.3)
    again.type("echo back$((1+1))\n")
    again.expect("back2")
    again.type("exit 4\n")
    assert again.wait() == 4


def test_other_detach_keys(corten: Corten, terminals: list[Terminal]) -> None:
    arguments = (*RUN, "--name", "shell", "--detach-keys", "ctrl-x,q", "-it", "busybox", "sh")
    terminals.append(terminal := Terminal(corten, *arguments))
    terminal.expect("# ")
    terminal.type(b"\x10\x11")
    terminal.type("echo still$((1+1))\n")
    terminal.expect("still2")
    terminal.type(b"\x18q")
    assert terminal.wait() == 0
    assert corten("inspect", "-f", "{{.State.Running}}", "shell").stdout == "true\n"


def test_exec_with_a_terminal(corten: Corten, terminals: list[Terminal]) -> None:
    corten("run", "-d", "--network", "none", "--name", "box", "busybox", "sleep", "1000")
    terminals.append(terminal := Terminal(corten, "exec", "-it", "box", "sh"))
    terminal.expect("# ")
    terminal.type("stty size; exit 6\n")
    terminal.expect("30 90")
    assert terminal.wait() == 6


def test_start_attached(corten: Corten, terminals: list[Terminal]) -> None:
    corten("create", "-it", "--network", "none", "--name", "shell", "busybox", "sh")
    terminals.append(terminal := Terminal(corten, "start", "-ai", "shell"))
    terminal.expect("# ")
    terminal.type("exit 3\n")
    assert terminal.wait() == 3


def test_a_container_without_t_does_not_get_the_terminal(corten: Corten, terminals: list[Terminal]) -> None:
    """It could read what is typed there, even after the command has ended: it gets pipes instead."""
    script = "test -t 1 && echo tty1; test -t 2 && echo tty2; test -t 0 && echo tty0; echo end $(head -n 1)"
    terminals.append(terminal := Terminal(corten, *RUN, "--rm", "-i", "busybox", "sh", "-c", script))
    time.sleep(0.5)
    terminal.type("typed\n")
    terminal.expect("end typed")
    assert terminal.wait() == 0
    assert b"tty" not in terminal.seen


def test_an_interrupt_ends_the_command(corten: Corten, terminals: list[Terminal]) -> None:
    script = "trap 'exit 9' INT; echo ready; while :; do sleep 0.05; done"
    terminals.append(terminal := Terminal(corten, *RUN, "--rm", "busybox", "sh", "-c", script))
    terminal.expect("ready")
    terminal.type(b"\x03")
    assert terminal.wait() == 9


def test_an_interrupt_ends_a_wait(corten: Corten, terminals: list[Terminal]) -> None:
    corten("run", "-d", "--network", "none", "--name", "box", "busybox", "sleep", "1000")
    terminals.append(terminal := Terminal(corten, "wait", "box"))
    time.sleep(0.6)
    terminal.type(b"\x03")
    assert terminal.wait() == 130
    assert b"Traceback" not in terminal.seen


def test_t_needs_a_terminal(corten: Corten) -> None:
    done = corten(*RUN, "--rm", "-it", "busybox", "true", input=b"", check=125)
    assert "the input device is not a TTY" in done.stderr


def test_live_statistics(corten: Corten, terminals: list[Terminal]) -> None:
    corten("run", "-d", "--network", "none", "--name", "box", "busybox", "sleep", "1000")
    terminals.append(terminal := Terminal(corten, "stats", columns=120))
    terminal.expect("MEM USAGE / LIMIT")
    terminal.expect("box")
    terminal.expect("\x1b[H")
    terminal.type(b"\x03")
    assert terminal.wait() == 0


@pytest.mark.parametrize("plain", [False, True])
def test_colour_only_where_it_is_wanted(corten: Corten, terminals: list[Terminal], plain: bool) -> None:
    corten.environment.pop("NO_COLOR", None)
    corten.environment["TERM"] = "xterm"
    if plain:
        corten.environment["NO_COLOR"] = "1"
    try:
        terminals.append(terminal := Terminal(corten, "--help"))
        assert terminal.wait() == 0
    finally:
        corten.environment.pop("NO_COLOR", None)
    assert (b"\x1b[" in terminal.seen) is not plain
    assert b"Run containers" in terminal.seen


def test_no_colour_in_a_pipe(corten: Corten) -> None:
    process = corten.popen("--help", stdout=subprocess.PIPE)
    assert b"\x1b" not in process.communicate()[0]
