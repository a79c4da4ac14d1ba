"""corten build at a terminal: the display in place, and a shell in the state before the step that failed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.system.build.conftest import write_context
from tests.system.cli.conftest import Corten, Terminal

pyte = pytest.importorskip("pyte")

pytestmark = pytest.mark.root


def _screen(terminal: Terminal, rows: int, columns: int) -> list[str]:
    screen = pyte.Screen(columns, rows)
    pyte.ByteStream(screen).feed(terminal.seen)
    return [line.rstrip() for line in screen.display]


def test_the_display(corten: Corten, terminals: list[Terminal], tmp_path: Path) -> None:
    dockerfile = "FROM busybox\nRUN for n in 1 2 3; do echo line $n; sleep 0.2; done\nRUN true\n"
    context = write_context(tmp_path, {"Dockerfile": dockerfile})
    terminal = Terminal(corten, "build", "-t", "displayed", str(context), rows=20, columns=80)
    terminals.append(terminal)
    assert terminal.wait() == 0
    assert b" => => # line 2" in terminal.seen
    lines = [line for line in _screen(terminal, 20, 80) if line]
    assert lines[0].startswith("[+] Building ") and lines[0].endswith(" FINISHED")
    steps = [line for line in lines if "/3]" in line]
    assert [line.split("]")[0] for line in steps] == [" => CACHED [1/3", " => [2/3", " => [3/3"]
    assert all(line.endswith("s") and len(line) == 79 for line in steps)
    assert "# line" not in "".join(lines)


def test_a_failure_below_the_display(corten: Corten, terminals: list[Terminal], tmp_path: Path) -> None:
    context = write_context(tmp_path, {"Dockerfile": "FROM busybox\nRUN echo why; exit 2\n"})
    terminal = Terminal(corten, "build", str(context), rows=30, columns=80)
    terminals.append(terminal)
    assert terminal.wait() == 1
    lines = _screen(terminal, 30, 80)
    assert any(line.startswith(" => ERROR [2/2] RUN echo why; exit 2") for line in lines)
    place = lines.index(" > [2/2] RUN echo why; exit 2:")
    assert lines[place + 1].endswith(" why") and "   2 | >>> RUN echo why; exit 2" in lines[place:]


def test_a_shell_in_the_state_before_the_step_that_failed(
    corten: Corten, terminals: list[Terminal], tmp_path: Path
) -> None:
    dockerfile = (
        "FROM busybox\nRUN echo before > /state\nRUN --mount=type=tmpfs,target=/m touch /half; exit 7\n"
    )
    context = write_context(tmp_path, {"Dockerfile": dockerfile})
    terminal = Terminal(corten, "build", "--debug-shell", str(context), rows=24, columns=80)
    terminals.append(terminal)
    terminal.expect("it ends with 'exit'")
    terminal.expect("# ")
    terminal.type("cat /state; ls /half /m; stty size\n")
    for text in ("before", "/half: No such file", "24 80"):
        terminal.expect(text)
    terminal.resize(40, 100)
    deadline = time.monotonic() + 10
    while b"40 100" not in terminal.seen and time.monotonic() < deadline:
        terminal.type("stty size\n")
        terminal.expect("# ")
    terminal.type("exit\n")
    assert terminal.wait() == 1
    assert b"exit code: 7" in terminal.seen
    assert corten("ps", "-aq").stdout == ""


def test_a_shell_is_for_terminals(corten: Corten, tmp_path: Path) -> None:
    context = write_context(tmp_path, {"Dockerfile": "FROM busybox\nRUN false\n"})
    assert "it needs a terminal" in corten("build", "--debug-shell", str(context), check=125).stderr


def test_a_terminal_that_is_closed_ends_the_build(
    corten: Corten, terminals: list[Terminal], tmp_path: Path
) -> None:
    context = write_context(tmp_path, {"Dockerfile": "FROM busybox\nRUN echo begun; exit 3\n"})
    terminal = Terminal(corten, "build", "--debug-shell", str(context))
    terminal.expect("# ")
    terminal.close()
    terminal.process.wait(15)
    staging = corten.paths.build / "layers/.staging"
    deadline = time.monotonic() + 10
    while list(staging.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not list(staging.iterdir()) and not list((corten.paths.build / "running").iterdir())
