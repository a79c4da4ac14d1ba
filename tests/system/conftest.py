"""Engines for system tests: in this process or in one of their own, an image, proof that nothing is left."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from corten.engine.engine import Engine
from corten.engine.paths import Paths


def busybox_layer() -> bytes:
    """The tar of a root file system: busybox and its links, a few users, a directory with a seed."""
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("busybox-static is not installed")
    applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, mode, owner in (
            ("bin", 0o755, 0),
            ("etc", 0o755, 0),
            ("tmp", 0o1777, 0),
            ("root", 0o700, 0),
            ("home", 0o755, 0),
            ("home/user", 0o700, 1000),
            ("data", 0o750, 1000),
        ):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode, entry.uid, entry.gid = tarfile.DIRTYPE, mode, owner, owner
            tar.addfile(entry)
        tar.add(busybox, "bin/busybox")
        for applet in applets:
            if applet != "busybox":
                entry = tarfile.TarInfo(f"bin/{applet}")
                entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(entry)
        for name, text, owner in (
            ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n", 0),
            ("etc/group", "root:x:0:\nuser:x:1000:\nextra:x:2000:user\n", 0),
            ("etc/not-executable", "data\n", 0),
            ("data/seed", "seed\n", 1000),
        ):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.uid, entry.gid = len(text), 0o644, owner, owner
            tar.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()


def docker_archive(layer: bytes, config: dict[str, object], name: str) -> bytes:
    """What `docker save` of the old kind writes: one layer, one config, one name."""
    image = json.dumps(
        {
            "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, "amd64"),
            "os": "linux",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]},
            "history": [{"created_by": "by hand"}],
        }
    ).encode()
    config_name = hashlib.sha256(image).hexdigest() + ".json"
    manifest = json.dumps([{"Config": config_name, "RepoTags": [name], "Layers": ["layer.tar"]}]).encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for member, content in (("layer.tar", layer), (config_name, image), ("manifest.json", manifest)):
            entry = tarfile.TarInfo(member)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture(scope="session")
def busybox_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A docker-archive of `busybox:latest`, for `load`."""
    path = tmp_path_factory.mktemp("image") / "busybox.tar"
    config: dict[str, object] = {"Cmd": ["sh"], "Env": ["PATH=/bin"]}
    path.write_bytes(docker_archive(busybox_layer(), config, "busybox:latest"))
    return path


async def read_file(path: Path) -> AsyncIterator[bytes]:
    """A file as the stream that `images.load` and `archive_put` take."""
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            yield piece


async def load_image(engine: Engine, archive: Path) -> None:
    async for _ in engine.images.load(read_file(archive)):
        pass


@pytest.fixture
def engine_paths(short_tmp: Path) -> Iterator[Paths]:
    """Directories for one engine; at the end nothing of it may be left on the machine."""
    paths = Paths(short_tmp / "root", short_tmp / "run")
    yield paths
    left = leftovers(paths)
    clean(paths)
    assert not left, left


def leftovers(paths: Paths, patience: float = 3.0) -> list[str]:
    """Mounts, cgroups, processes and the bridge of the engine with these paths that are still there."""
    deadline = time.monotonic() + patience
    while (found := _leftovers(paths)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def _leftovers(paths: Paths) -> list[str]:
    place = str(paths.root.parent)
    found = [
        f"mount {line}" for line in Path("/proc/self/mountinfo").read_text().splitlines() if place in line
    ]
    for pid in processes(paths):
        found.append(f"process {pid}: {_command(pid)}")
    bridge = f"corten-{hashlib.sha256(str(paths.run).encode()).hexdigest()[:8]}"
    if Path("/sys/class/net", bridge).exists():
        found.append(f"link {bridge}")
    # Ids that are still known, and those of what is being deleted ("<pid>-<n>-<id>").
    known = {name.rpartition("-")[2] for place in (paths.containers, paths.trash) for name in _entries(place)}
    return found + _cgroups(known)


def cgroups_of(identities: set[str], patience: float = 3.0) -> list[str]:
    """The cgroups of these containers that are still there; their monitors remove them soon after the end."""
    deadline = time.monotonic() + patience
    while (found := _cgroups(identities)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


def _cgroups(identities: set[str]) -> list[str]:
    return [
        f"cgroup {directory}/{name}"
        for parent in ("*/corten", "corten")
        for directory in Path("/sys/fs/cgroup").glob(parent)
        for name in _entries(directory)
        if name in identities
    ]


def _entries(directory: Path) -> list[str]:
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return []


def processes(paths: Paths) -> list[int]:
    """Processes that have a file of the engine open: launcher, monitors. Not this one."""
    place = str(paths.root.parent) + "/"
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            links = [os.readlink(link) for link in (entry / "fd").iterdir()]
        except OSError:
            continue
        if any(link.startswith(place) for link in links):
            found.append(int(entry.name))
    return found


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return "?"


def clean(paths: Paths) -> None:
    """Kills what a failed test has left."""
    for state in paths.container_runs.glob("*/state.json"):
        try:
            os.kill(int(json.loads(state.read_text())["pid"]), signal.SIGKILL)
        except (OSError, ValueError, KeyError):
            continue
    time.sleep(0.1)
    for pid in processes(paths):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


@pytest.fixture(scope="session")
def busybox_root(busybox_archive: Path) -> Iterator[Path]:
    """The data directory of an engine that has loaded busybox: a copy is quicker than loading it anew."""
    place = Path(tempfile.mkdtemp(prefix="ct-", dir="/tmp"))

    async def make() -> None:
        engine = await Engine.start(Paths(place / "root", place / "run"))
        await load_image(engine, busybox_archive)
        await engine.close()

    asyncio.run(make())
    yield place / "root"
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def busybox_paths(engine_paths: Paths, busybox_root: Path) -> Paths:
    """Directories for an engine that has busybox, and is not started yet."""
    subprocess.run(["cp", "-a", "--reflink=auto", busybox_root, engine_paths.root], check=True)
    return engine_paths


@pytest.fixture
def engine(loop_runner: asyncio.Runner, busybox_paths: Paths) -> Iterator[Engine]:
    """An engine in this process, with busybox loaded; its containers are removed at the end."""

    async def start() -> Engine:
        return await Engine.start(busybox_paths)

    async def stop() -> None:
        for container in await started.containers.list(all=True):
            await started.containers.remove(container.id, force=True, volumes=True)
        await started.close()

    started = loop_runner.run(start())
    yield started
    loop_runner.run(stop())


@dataclass
class EngineProcess:
    """An engine in a process of its own, to be killed."""

    paths: Paths
    process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        return self.paths.socket

    def start(self) -> None:
        reader, writer = os.pipe()
        environment = {
            **os.environ,
            "CORTEN_ROOT": str(self.paths.root),
            "CORTEN_RUN": str(self.paths.run),
            "CORTEN_READY_FD": str(writer),
        }
        log_path = self.paths.root.parent / "engine.log"
        with open(log_path, "ab") as log:
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
                raise RuntimeError(f"the engine did not start:\n{log_path.read_text()}")

    def kill(self) -> None:
        """SIGKILL, as the kernel's OOM killer would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)
        self.process = None

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(30)
        self.process = None
        return code


@pytest.fixture
def engine_process(engine_paths: Paths) -> Iterator[EngineProcess]:
    """An engine that is not started yet."""
    process = EngineProcess(engine_paths)
    yield process
    if process.process is not None:
        process.kill()
