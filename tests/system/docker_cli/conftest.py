"""One engine for the whole suite, a small image in it, and the real docker commands of this machine.

CORTEN_TEST_DOCKER_HOST=unix:///run/docker.sock points the suite at another engine: Docker's own shows whether
a test asks for what Docker does.
"""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

IMAGE = "busybox:latest"
_APPLETS = (
    "sh ls cat echo true false sleep id ps kill hostname pwd env touch mkdir rm mount stat head tail "
    "yes dd seq wc nc stty tty test uname df readlink chown chmod sync printf trap tr grep"
)


def docker_commands() -> list[str]:
    """Every docker command that is installed: they differ in the version of the API that they speak."""
    found = []
    for directory in ("/usr/bin", "/usr/local/bin", *os.environ.get("PATH", "").split(":")):
        path = Path(directory) / "docker"
        if path.is_file() and os.access(path, os.X_OK) and path.resolve() not in found:
            found.append(path.resolve())
    return [str(path) for path in found]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "docker" in metafunc.fixturenames:
        commands = docker_commands()
        if commands:
            ids = [Path(command).parent.parent.name or "usr" for command in commands]
            metafunc.parametrize("docker", commands, indirect=True, ids=ids)
        else:
            metafunc.parametrize("docker", [pytest.param("", marks=pytest.mark.skip("no docker command"))])


def own_capabilities() -> str:
    """What this process may do: the most that a container can get."""
    status = Path("/proc/self/status").read_text()
    return status.partition("CapEff:\t")[2].split()[0]


def busybox_tar() -> bytes:
    """A root file system of nothing but busybox."""
    busybox = shutil.which("busybox", path="/usr/bin:/bin")
    if busybox is None:
        pytest.skip("busybox-static is not installed")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, mode in (("bin", 0o755), ("etc", 0o755), ("tmp", 0o1777), ("root", 0o700), ("var", 0o755)):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)
        tar.add(busybox, "bin/busybox")
        for applet in _APPLETS.split():
            entry = tarfile.TarInfo(f"bin/{applet}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(entry)
        for name, text in (
            ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/tmp:/bin/sh\n"),
            ("etc/group", "root:x:0:\nuser:x:1000:\n"),
            ("etc/not-executable", "data\n"),
        ):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(text), 0o644
            tar.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()


@dataclass
class EngineProcess:
    """An engine of this suite's own."""

    root: Path
    run: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        other = os.environ.get("CORTEN_TEST_DOCKER_HOST", "")
        return Path(other.removeprefix("unix://")) if other else self.run / "engine.sock"

    @property
    def log(self) -> Path:
        return self.root.parent / "engine.log"

    def start(self) -> None:
        if "CORTEN_TEST_DOCKER_HOST" in os.environ:
            return
        reader, writer = os.pipe()
        environment = {
            **os.environ,
            "CORTEN_ROOT": str(self.root),
            "CORTEN_RUN": str(self.run),
            "CORTEN_READY_FD": str(writer),
        }
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "corten.daemon"],
                env=environment,
                pass_fds=(writer,),
                stdout=log,
                stderr=log,
            )
        os.close(writer)
        with open(reader, "rb") as ready:
            if ready.read(1) != b"1":
                raise RuntimeError(f"the engine did not start:\n{self.log.read_text()}")

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(30) == 0, self.log.read_text()
            self.process = None


@dataclass
class Result:
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


@dataclass
class Docker:
    """One docker command, pointed at the engine."""

    command: str
    engine: EngineProcess
    config: Path
    timeout: float = 60.0
    names: list[str] = field(default_factory=list)

    def argv(self, *arguments: str) -> list[str]:
        return [self.command, *arguments]

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.config),
            "DOCKER_HOST": f"unix://{self.engine.socket}",
            "DOCKER_CONFIG": str(self.config),
            "TERM": "dumb",
        }

    def __call__(
        self, *arguments: str, code: int | None = 0, input: bytes | None = None, binary: bool = False
    ) -> Result:
        done = subprocess.run(
            self.argv(*arguments),
            env=self.environment,
            input=b"" if input is None else input,
            capture_output=True,
            timeout=self.timeout,
        )
        out = done.stdout.decode("latin-1" if binary else "utf-8", "replace")
        result = Result(done.returncode, out, done.stderr.decode(errors="replace"))
        if code is not None and result.code != code:
            raise AssertionError(
                f"docker {' '.join(arguments)} exited {result.code}: {result.err}{out[:2000]}"
            )
        return result

    def popen(self, *arguments: str, **options: object) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self.argv(*arguments), env=self.environment, **options)  # type: ignore[call-overload,no-any-return]

    def name(self) -> str:
        """A name of a container that is removed at the test's end."""
        name = f"t{uuid.uuid4().hex[:10]}"
        self.names.append(name)
        return name

    def running(self, *options: str, command: tuple[str, ...] = ("sleep", "1000")) -> str:
        """A running container; with a stop signal that ends a PID 1 that handles nothing."""
        name = self.name()
        self(
            "run",
            "-d",
            "--name",
            name,
            "--network",
            "none",
            "--stop-signal",
            "KILL",
            *options,
            IMAGE,
            *command,
        )
        return name

    def inspect(self, name: str, template: str) -> str:
        return self("inspect", "--format", template, name).out.strip()

    def until(self, *arguments: str, expect: str, seconds: float = 15.0) -> str:
        """Repeats a command until its output is (for a moment) as expected."""
        deadline = time.monotonic() + seconds
        while (result := self(*arguments, code=None)).out.strip() != expect:
            assert time.monotonic() < deadline, f"{arguments}: {result.out!r} {result.err!r}, not {expect!r}"
            time.sleep(0.05)
        return result.out


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[EngineProcess]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    # A short path: a socket's name has at most 107 bytes.
    directory = Path(tempfile.mkdtemp(prefix="ctn-"))
    engine = EngineProcess(directory / "root", directory / "run")
    try:
        engine.start()
        commands = docker_commands()
        if commands:
            docker = Docker(commands[0], engine, directory / "config")
            docker("import", "--change", 'CMD ["sh"]', "-", IMAGE, input=busybox_tar())
        yield engine
        if commands:
            leftovers = docker("ps", "-aq").lines
            if leftovers:
                docker("rm", "-f", *leftovers)
    finally:
        try:
            engine.stop()
        finally:
            if engine.process is not None:
                engine.process.kill()
                engine.process.wait()
            shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def docker(request: pytest.FixtureRequest, docker_engine: EngineProcess, tmp_path: Path) -> Iterator[Docker]:
    command = Docker(request.param, docker_engine, tmp_path / "docker-config")
    command.config.mkdir()
    yield command
    if command.names:
        command("rm", "-f", "-v", *command.names, code=None)
