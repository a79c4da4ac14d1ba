"""The corten command against an engine of its own, as a person uses it: one for all tests of a process."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from corten.engine.paths import Paths
from tests.system.conftest import clean, leftovers

SOURCE = str(Path(__file__).parents[3] / "src")
CORTEN = [sys.executable, "-m", "corten"]


class Corten:
    """Runs the command in an environment of its own."""

    def __init__(self, place: Path) -> None:
        self.paths = Paths(place / "root", place / "run")
        self.started: list[subprocess.Popen[bytes]] = []
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("CORTEN_", "DOCKER_"))},
            "PYTHONPATH": SOURCE,
            "CORTEN_ROOT": str(self.paths.root),
            "CORTEN_RUN": str(self.paths.run),
        }

    def __call__(
        self, *arguments: str, input: bytes | None = None, check: int | None = 0, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Runs it to its end; `check` is the exit code that is expected."""
        done = subprocess.run(
            [*CORTEN, *arguments],
            env=self.environment,
            input=input,
            stdin=None if input is not None else subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        text = subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )
        assert check is None or text.returncode == check, text
        assert "Traceback" not in text.stderr, text.stderr
        return text

    def popen(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        """Starts it; it is ended with the test."""
        process = subprocess.Popen([*CORTEN, *arguments], env=self.environment, **options)
        self.started.append(process)
        return process

    def end(self) -> None:
        """Ends what a test has started, and closes its pipes."""
        for process in self.started:
            if process.poll() is None:
                process.kill()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()
            process.wait(10)
        self.started = []


class Terminal:
    """A command on a terminal of its own: what a person types and sees."""

    def __init__(self, corten: Corten, *arguments: str, rows: int = 30, columns: int = 90) -> None:
        self.master, slave = pty.openpty()
        self.resize(rows, columns)
        self.process = corten.popen(
            *arguments,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=_take_terminal,
        )
        os.close(slave)
        self.seen = b""

    def resize(self, rows: int, columns: int) -> None:
        """As when a window changes; the kernel tells the process group in front."""
        import fcntl
        import struct
        import termios

        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str | bytes) -> None:
        """Keys."""
        os.write(self.master, text.encode() if isinstance(text, str) else text)

    def expect(self, text: str, patience: float = 15) -> None:
        """Waits until `text` has been seen; what came up to it is forgotten."""
        wanted, deadline = text.encode(), time.monotonic() + patience
        while wanted not in self.seen:
            ready, _, _ = select.select([self.master], [], [], max(deadline - time.monotonic(), 0))
            assert ready, f"{text!r} did not come; seen: {self.seen!r}"
            try:
                data = os.read(self.master, 65536)
            except OSError:
                data = b""
            assert data, f"it ended without {text!r}; seen: {self.seen!r}"
            self.seen += data
        self.seen = self.seen.partition(wanted)[2]

    def wait(self, patience: float = 15) -> int:
        """Its exit code; goes on reading meanwhile."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            ended = self.process.poll() is not None
            ready, _, _ = select.select([self.master], [], [], 0 if ended else 0.02)
            if ready:
                try:
                    self.seen += os.read(self.master, 65536)
                except OSError:
                    break
            elif ended:  # and what it had written before is read
                break
        return self.process.wait(max(deadline - time.monotonic(), 0.1))

    def close(self) -> None:
        """The window is closed."""
        os.close(self.master)


def _take_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.fixture(scope="session")
def shared_corten(busybox_archive: Path) -> Iterator[Corten]:
    """An engine with busybox, started by the first command."""
    place = Path(tempfile.mkdtemp(prefix="ct-", dir="/tmp"))
    corten = Corten(place)
    try:
        corten("load", "-i", str(busybox_archive))
        yield corten
        corten("engine", "stop")
        left = leftovers(corten.paths)
        assert not left, left
    finally:
        clean(corten.paths)
        shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def corten(shared_corten: Corten) -> Iterator[Corten]:
    """The command; what a test leaves is removed."""
    yield shared_corten
    shared_corten.end()
    names = shared_corten("ps", "-aq").stdout.split()
    if names:
        shared_corten("rm", "-fv", *names, check=None)
    volumes = shared_corten("volume", "ls", "-q").stdout.split()
    if volumes:
        shared_corten("volume", "rm", *volumes)


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    """Terminals that are closed at the end."""
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        terminal.close()
