"""The registries that are measured, each in processes of its own on loopback, with file storage."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

from bench.engines import MissingPeer, require

_TICK = os.sysconf("SC_CLK_TCK")
V3_MODULE = "github.com/distribution/distribution/v3/cmd/registry@latest"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def distribution_v3(cache: Path) -> str:
    """The program, built once where Go is there."""
    program = cache / "bin" / "registry"
    if not program.exists():
        go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
        if go is None:
            raise MissingPeer(f"distribution v3 is not there, and no Go to build it (go install {V3_MODULE})")
        program.parent.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [go, "install", V3_MODULE],
            env={**os.environ, "GOBIN": str(program.parent)},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise MissingPeer(f"distribution v3 cannot be built: {done.stderr.strip()[-300:]}")
    return str(program)


class Peer:
    """A registry: started, measured, emptied, ended."""

    name = ""

    def __init__(self, work: Path) -> None:
        self.root = work / self.name.replace(" ", "-")
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        raise NotImplementedError

    def start(self) -> float:
        """Milliseconds until it serves."""
        self.root.mkdir(parents=True, exist_ok=True)
        command = self.command()
        begin = time.monotonic()
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
                    connection.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
                    if connection.recv(100).startswith(b"HTTP/1.1 200"):
                        return (time.monotonic() - begin) * 1e3
            except OSError:
                pass
            if self.process.poll() is not None or time.monotonic() > begin + 30:
                raise RuntimeError(f"{self.name} does not start: {' '.join(command)}")
            time.sleep(0.002)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(60)
            self.process = None

    def reset(self) -> None:
        """Starts anew, with nothing stored."""
        self.stop()
        shutil.rmtree(self.root, ignore_errors=True)
        self.start()

    def _pids(self) -> list[int]:
        assert self.process is not None
        found, todo = [], [self.process.pid]
        while todo:
            pid = todo.pop()
            found.append(pid)
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            todo += [int(child) for child in children]
        return found

    def cpu(self) -> float:
        """Seconds of all of its processes so far, in user and kernel."""
        total = 0
        for pid in self._pids():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
        return total / _TICK

    def memory(self) -> float:
        """MiB that its processes take, what they share counted once (PSS)."""
        total = 0
        for pid in self._pids():
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
        return total / 1024

    def version(self) -> str:
        raise NotImplementedError


class Corten(Peer):
    """`corten registry serve` as it is by default."""

    name = "corten"

    def command(self) -> list[str]:
        settings = {"root": str(self.root), "listen": [self.host]}
        return [sys.executable, "-m", "corten.registry", "serve", json.dumps({"set": settings})]

    def version(self) -> str:
        from corten.version import __version__

        return __version__


class Distribution(Peer):
    """distribution of either version: the same configuration."""

    def __init__(self, work: Path, name: str, program: str) -> None:
        self.name = name
        self.program = program
        super().__init__(work)

    def command(self) -> list[str]:
        config = self.root.parent / f"{self.root.name}.yml"
        config.write_text(
            "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
            f"storage: {{filesystem: {{rootdirectory: {self.root}}}, delete: {{enabled: true}}}}\n"
            f"http: {{addr: '{self.host}'}}\n"
        )
        return [self.program, "serve", str(config)]

    def version(self) -> str:
        done = subprocess.run([self.program, "--version"], check=True, capture_output=True, text=True)
        return done.stdout.split()[-1]


def peers(work: Path, cache: Path, without: list[str], notes: list[str]) -> dict[str, Peer]:
    """Those that are there; `notes` tells of the others."""
    found: dict[str, Peer] = {"corten": Corten(work)}
    for name, find in (
        ("distribution v3", lambda: distribution_v3(cache)),
        ("docker-registry", lambda: require("docker-registry", "docker-registry")),
    ):
        if name.split()[0] in without:
            continue
        try:
            found[name] = Distribution(work, name, find())
        except MissingPeer as missing:
            notes.append(str(missing))
    return found
