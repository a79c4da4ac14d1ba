"""A launcher whose containers are plain processes (`fake_execute`), so that only launch itself is tested."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from pathlib import Path

from corten.launch.client import Launcher, LaunchRequest, read_state
from corten.runtime.operations import Plan

HERE = str(Path(__file__).parent)


class Harness:
    """Starts processes through a launcher of its own and kills what is left."""

    def __init__(self, directory: Path, launcher: Launcher) -> None:
        self.directory = directory
        self.launcher = launcher
        self.monitors = []

    def run_dir(self, name: str) -> Path:
        return self.directory / "run" / "containers" / name

    def log(self, name: str) -> Path:
        return self.directory / f"{name}.log"

    async def launch(self, name: str, *argv: str, fds=(), **options):
        options.setdefault("log_path", self.log(name))
        request = LaunchRequest(
            container_id=name,
            plan=Plan({"argv": argv, "clone_flags": 0, "cgroup": None, "joins": False}, (), ()),
            run_dir=self.run_dir(name),
            **options,
        )
        monitor = await self.launcher.launch(request, fds)
        self.monitors.append(monitor)
        return monitor

    async def start(self, name: str, *argv: str, fds=(), **options):
        monitor = await self.launch(name, *argv, fds=fds, **options)
        await monitor.start()
        return monitor

    async def close(self) -> None:
        for monitor in self.monitors:
            if monitor.pid and monitor.pidfd >= 0:
                try:
                    signal.pidfd_send_signal(monitor.pidfd, signal.SIGKILL)
                    await asyncio.wait_for(monitor.gone(), 10)
                except ProcessLookupError:
                    pass
            monitor.close()
        await self.launcher.close()


def run(directory: Path, scenario) -> None:
    """Run `scenario(harness)` in an event loop of its own."""

    async def main():
        launcher = await Launcher.start(
            run_dir=directory / "run", executor="fake_execute", module_path=(HERE,)
        )
        harness = Harness(directory, launcher)
        try:
            await asyncio.wait_for(scenario(harness), 60)
        finally:
            await harness.close()

    asyncio.run(main())


class Peer:
    """The client's end of an attached stream, read and written without blocking the loop."""

    def __init__(self, mux: bool = True) -> None:
        self.sock, self.theirs = socket.socketpair()
        self.sock.setblocking(False)
        self.mux = mux
        self.received = b""

    def give(self) -> int:
        return self.theirs.fileno()

    def gave(self) -> None:
        self.theirs.close()

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.sock, data)

    async def read_until(self, text: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        while text not in self.received:
            data = await asyncio.wait_for(loop.sock_recv(self.sock, 65536), 10)
            assert data, f"the stream ended before {text!r} came: {self.received!r}"
            self.received += data
        return self.received

    async def read_all(self) -> bytes:
        loop = asyncio.get_running_loop()
        while data := await asyncio.wait_for(loop.sock_recv(self.sock, 1 << 20), 20):
            self.received += data
        return self.received

    def frames(self) -> list[tuple[int, bytes]]:
        out, data = [], self.received
        while data:
            length = int.from_bytes(data[4:8], "big")
            assert len(data) >= 8 + length, "a frame is cut off"
            out.append((data[0], data[8 : 8 + length]))
            data = data[8 + length :]
        return out

    def text(self, stream: int) -> bytes:
        return b"".join(data for which, data in self.frames() if which == stream)

    def close(self) -> None:
        self.sock.close()


async def until(condition, timeout: float = 10) -> None:
    """Wait until `condition()` is true."""
    for _ in range(int(timeout / 0.01)):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen in time")


async def state_of(run_dir: Path):
    """state.json, which is written when the start has been told of."""
    await until(lambda: read_state(run_dir) is not None)
    return read_state(run_dir)


def is_alive(pid: int) -> bool:
    """Whether `pid` runs (a zombie does not)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def open_fds() -> int:
    return len(os.listdir("/proc/self/fd"))


def descendants(pid: int) -> list[int]:
    found: list[int] = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as file:
                    if int(file.read().rpartition(")")[2].split()[1]) == pid:
                        found += [int(entry), *descendants(int(entry))]
            except (FileNotFoundError, ProcessLookupError):
                pass
    return found
