"""How a RUN ends: by itself, by a limit, by its build, by its engine; and that nothing is left."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from corten.build.graph import CacheMount, Exec, Limits, SecretMount, Ulimit, Vertex
from corten.build.solve.failure import BuildFailed, ProcessFailed
from corten.build.solve.protocols import Resize, Terminal
from corten.engine.engine import Engine
from corten.engine.paths import Paths
from tests.system.build.run.yard import BUSYBOX, Yard, sh

pytestmark = pytest.mark.root


async def began(yard: Yard, path: str = "began") -> Path:
    """Waits for a file that a step makes at /c, a cache mount of its own."""
    while not (found := list(yard.mounts._root.glob(f"*/{path}"))):
        await asyncio.sleep(0.02)
    return found[0]


def processes(marker: str) -> list[str]:
    """The command lines that have this in them."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if marker in line:
                found.append(line)
    return found


def cgroups_of(identity: str) -> list[Path]:
    places = (f"corten/build-{identity}", f"*/corten/build-{identity}")
    return [path for place in places for path in Path("/sys/fs/cgroup").glob(place)]


TICK = f"tick-{os.getpid()}"
"""In the command lines of this process's steps: others may run these tests as well."""
CACHE = (CacheMount("ending", "/c", sharing="private"),)


@pytest.fixture(autouse=True)
def _nothing_left(yard: Yard) -> Iterator[None]:
    yield
    assert not processes(TICK)
    for path in yard.mounts._root.glob("*/*"):
        path.unlink()


LONG = f"touch /c/began; sleep 1000; : {TICK}"


@pytest.mark.parametrize("network", ["none", "default"])
async def test_a_cancelled_build(yard: Yard, network: str) -> None:
    build = asyncio.create_task(yard.build(sh(BUSYBOX, LONG, mounts=CACHE, network=network)))
    await began(yard)
    assert processes(TICK)
    (identity,) = os.listdir(yard.executor._running)
    assert cgroups_of(identity)
    build.cancel()
    await asyncio.wait({build})
    assert build.cancelled()
    assert not processes(TICK)
    assert not cgroups_of(identity)


@pytest.mark.parametrize("pause", [0.0, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032])
async def test_cancelled_at_any_moment(yard: Yard, pause: float) -> None:
    network = "default" if pause > 0.003 else "none"
    target = sh(BUSYBOX, f"sleep 1000; : {TICK} {pause}", network=network, again=True)
    build = asyncio.create_task(yard.build(target))
    await asyncio.sleep(pause)
    build.cancel()
    await asyncio.wait({build})
    assert build.cancelled()
    assert not processes(TICK)


async def test_what_ignores_signals_and_multiplies(yard: Yard) -> None:
    script = "trap '' TERM INT HUP; for n in 1 2 3 4 5; do (sleep 1000; : x) & done; " + LONG
    build = asyncio.create_task(yard.build(sh(BUSYBOX, script, mounts=CACHE)))
    await began(yard)
    build.cancel()
    await asyncio.wait({build})
    assert not processes(TICK)


async def test_two_builds_want_it(yard: Yard) -> None:
    target = sh(
        BUSYBOX, "touch /c/began; until test -e /c/go; do sleep 0.02; done; echo x > /x", mounts=CACHE
    )
    builds = [asyncio.create_task(yard.build(target)) for _ in range(2)]
    began_at = await began(yard)
    builds[0].cancel()
    await asyncio.wait({builds[0]})
    began_at.with_name("go").touch()
    assert await builds[1] == {"x": "x\n"}


async def test_out_of_memory(yard: Yard) -> None:
    script = "x=x; while true; do x=$x$x; done"
    target = sh(BUSYBOX, script, limits=Limits(memory=32 << 20, memory_swap=32 << 20))
    with pytest.raises(BuildFailed, match=r"out of memory \(it may use 32 MiB\)") as caught:
        await yard.build(target)
    assert isinstance(caught.value.cause, ProcessFailed)
    assert caught.value.cause.oom_killed


async def test_limits(yard: Yard) -> None:
    limits = Limits(shm_size=1 << 20, cpu_shares=512, ulimits=(Ulimit("nofile", 123, 456),))
    await yard.build(sh(BUSYBOX, "ulimit -Sn; ulimit -Hn; df -k /dev/shm | tail -1", limits=limits))
    assert yard.log.split()[:2] == ["123", "456"]
    assert "1024" in yard.log.split()


async def test_a_cgroup_elsewhere(yard: Yard) -> None:
    limits = Limits(cgroup_parent="/corten-build-test")
    await yard.build(sh(BUSYBOX, "grep -c corten-build-test/build- /proc/self/cgroup || true", limits=limits))
    for path in Path("/sys/fs/cgroup").glob("*/corten-build-test"):
        assert not list(path.glob("build-*"))
        path.rmdir()


async def test_forking_without_end(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    # With fewer processes than by default: the machine has others to serve.
    monkeypatch.setattr("corten.engine.build_spec.MOST_PROCESSES", 60)
    script = f"f() {{ sleep 1000 & f; }}; f; : {TICK}"
    with pytest.raises(BuildFailed, match="did not complete successfully: exit code: 2"):
        await yard.build(sh(BUSYBOX, script))
    assert "can't fork" in yard.log


@pytest.fixture
def small(short_tmp: Path, busybox_root: Path, loop_runner: asyncio.Runner) -> Iterator[Yard]:
    """An engine on a disk of few megabytes."""
    disk = short_tmp / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "small", disk], check=True)

    async def start() -> Yard:
        return Yard(await Engine.start(Paths(disk / "root", disk / "run")))

    async def stop() -> None:
        await yard.close()
        await yard.engine.close()

    try:
        subprocess.run(["cp", "-a", busybox_root, disk / "root"], check=True)
        yard = loop_runner.run(start())
        yield yard
        loop_runner.run(stop())
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


async def test_a_disk_that_is_full(small: Yard) -> None:
    """The command is told, and fails; what it wrote makes room again."""
    target = sh(BUSYBOX, "dd if=/dev/zero of=/big bs=1M count=40 2>&1")
    with pytest.raises(BuildFailed, match="did not complete successfully: exit code: 1"):
        await small.build(target)
    assert "No space left on device" in small.log
    assert list(small.layers.root.glob(".staging/*")) == []
    small.engine._core.trash.empty()
    await small.build(sh(BUSYBOX, "dd if=/dev/zero of=/big bs=1M count=4 2>&1"))


async def test_a_disk_that_is_full_before_it_begins(small: Yard) -> None:
    filler = small.engine.paths.root / "filler"
    with pytest.raises(OSError, match="No space"), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    with pytest.raises(BuildFailed, match=r"the disk is full|No space left on device"):
        await small.build(sh(BUSYBOX, "echo x > /x"))
    filler.unlink()
    assert await small.build(sh(BUSYBOX, "echo x > /x")) == {"x": "x\n"}


class TestDebugging:
    async def fail(self, yard: Yard, **more: object) -> BuildFailed:
        yard.given.secrets["token"] = b"s3cret"
        step = sh(sh(BUSYBOX, "echo before > /state"), "touch /changed; exit 7", **more)
        with pytest.raises(BuildFailed) as caught:
            await yard.solve(step, keep_failed=True)
        return caught.value

    async def talk(self, yard: Yard, failed: BuildFailed, text: bytes, *, tty: bool) -> tuple[int, bytes]:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        loop = asyncio.get_running_loop()
        started: list[Resize] = []
        terminal = Terminal(theirs.fileno(), tty, 24, 80, started.append)
        shell = asyncio.create_task(yard.solver.debug(failed, ["/bin/sh"], terminal))
        try:
            await loop.sock_sendall(ours, text)
            if not tty:
                ours.shutdown(socket.SHUT_WR)
            code = await asyncio.wait_for(shell, 30)
            theirs.close()
            said = b""
            while data := await loop.sock_recv(ours, 65536):
                said += data
        finally:
            shell.cancel()
            await asyncio.wait({shell})
            ours.close()
        assert len(started) == 1
        return code, said

    async def test_a_shell_where_it_failed(self, yard: Yard) -> None:
        mounts = (SecretMount("token", "/run/token"), *CACHE)
        failed = await self.fail(yard, mounts=mounts, environment=("PATH=/bin", "A=1"), directory="/tmp")
        script = b"cat /state /run/token; echo; ls /changed; echo $A; pwd; touch /new; stty size; exit 5\n"
        code, said = await self.talk(yard, failed, script, tty=True)
        assert code == 5
        text = said.decode()
        for expected in ("before\r\n", "s3cret\r\n", "No such file", "\r\n1\r\n", "/tmp\r\n", "24 80\r\n"):
            assert expected in text, text
        # And again: what was changed is gone.
        _code, said = await self.talk(yard, failed, b"ls /new; exit\n", tty=True)
        assert b"No such file" in said
        yard.solver.forget(failed)

    async def test_without_a_terminal(self, yard: Yard) -> None:
        failed = await self.fail(yard)
        code, said = await self.talk(yard, failed, b"cat /state; exit 3\n", tty=False)
        assert (code, said) == (3, b"\1\0\0\0\0\0\0\7before\n")
        yard.solver.forget(failed)

    async def test_it_can_be_cancelled(self, yard: Yard) -> None:
        failed = await self.fail(yard)
        ours, theirs = socket.socketpair()
        command = ["/bin/sh", "-c", f"sleep 1000; : {TICK}"]
        shell = asyncio.create_task(yard.solver.debug(failed, command, Terminal(theirs.fileno())))
        while not processes(TICK):
            await asyncio.sleep(0.02)
        shell.cancel()
        await asyncio.wait({shell})
        assert not processes(TICK)
        yard.solver.forget(failed)
        ours.close()
        theirs.close()

    async def test_a_command_that_is_not_there(self, yard: Yard) -> None:
        target = Vertex(Exec(("/bin/bash",), (), "/", network="none"), (BUSYBOX,), name="RUN bash")
        with pytest.raises(BuildFailed) as caught:
            await yard.solve(target, keep_failed=True)
        assert yard.solver.can_debug(caught.value)
        _code, said = await self.talk(yard, caught.value, b"echo in; exit\n", tty=True)
        assert b"in\r\n" in said
        yard.solver.forget(caught.value)


async def test_a_monitor_that_is_killed(yard: Yard) -> None:
    build = asyncio.create_task(yard.build(sh(BUSYBOX, LONG, mounts=CACHE)))
    await began(yard)
    (monitor,) = yard.engine._core.launcher._monitors.values()
    parent = int(Path(f"/proc/{monitor.pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(parent, signal.SIGKILL)
    with pytest.raises(BuildFailed, match="monitor"):
        await build
