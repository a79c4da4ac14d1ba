"""The engines and runtimes that are measured, each started by the harness on directories of its own."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

from bench.http import EngineConnection
from bench.worker import Worker

IMAGE = "bench"


class MissingPeer(Exception):
    """A peer that is not installed; the message names the Debian package."""


def require(program: str, package: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise MissingPeer(f"{program} is not installed (Debian package {package})")
    return path


def make_rootfs(directory: Path) -> Path:
    """What all peers start from: static busybox and its applets; also written as DIRECTORY.tar."""
    busybox = require("busybox", "busybox-static")
    for name in ("bin", "dev", "proc", "sys/fs/cgroup", "tmp", "etc", "root", "data"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    shutil.copy2(busybox, directory / "bin/busybox")
    for applet in subprocess.run(
        [busybox, "--list"], check=True, capture_output=True, text=True
    ).stdout.split():
        if applet != "busybox":
            (directory / "bin" / applet).symlink_to("busybox")
    (directory / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (directory / "etc/group").write_text("root:x:0:\n")
    with tarfile.open(f"{directory}.tar", "w") as archive:
        archive.add(directory, arcname=".")
    return directory


def wait_for(socket_path: Path, process: subprocess.Popen[bytes], log: Path, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args}: ended with {process.returncode}: {log.read_text()[-2000:]}")
        try:
            connection = EngineConnection(str(socket_path))
            if connection.request("GET", "/_ping")[0] == 200:
                connection.close()
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise RuntimeError(f"no answer on {socket_path} after {seconds} s: {log.read_text()[-2000:]}")


class Engine:
    """An engine with Docker's API: a process, a socket, and the requests that the scenarios make."""

    name = ""

    def __init__(self, work: Path, command: list[str], env: dict[str, str]) -> None:
        self.work, self.env = work, env
        self.log = work / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, env={**os.environ, **env}, stdout=log, stderr=log)
        self.socket = work / "run" / "engine.sock"
        try:
            wait_for(self.socket, self.process, self.log)
        except BaseException:
            self.close()
            raise
        self.api = self.connect()

    def connect(self) -> EngineConnection:
        return EngineConnection(str(self.socket))

    def import_image(self, tar: Path) -> None:
        status, answer = self.api.request(
            "POST", f"/images/create?fromSrc=-&repo={IMAGE}&tag=latest", tar.read_bytes()
        )
        if status != 200:
            raise RuntimeError(f"{self.name}: importing the image: {status} {answer!r}")

    def expect(
        self, wanted: int, method: str, path: str, body: Any = None, api: EngineConnection | None = None
    ) -> Any:
        status, answer = (api or self.api).request(method, path, body)
        if status != wanted:
            raise RuntimeError(f"{self.name}: {method} {path}: {status} {answer!r}")
        return answer

    def create(self, command: list[str], api: EngineConnection | None = None, **host: Any) -> str:
        body = {"Image": IMAGE, "Cmd": command, "HostConfig": {"NetworkMode": "none", **host}}
        return str(self.expect(201, "POST", "/containers/create", body, api)["Id"])

    def run_once(self, command: list[str], api: EngineConnection | None = None, **host: Any) -> None:
        """create + start + wait + remove, and the exit status must be 0."""
        container = self.create(command, api, **host)
        self.expect(204, "POST", f"/containers/{container}/start", api=api)
        code = self.expect(200, "POST", f"/containers/{container}/wait", api=api)["StatusCode"]
        self.expect(204, "DELETE", f"/containers/{container}", api=api)
        if code != 0:
            raise RuntimeError(f"{self.name}: {command} exited with {code}")

    def exec_once(self, container: str, command: list[str]) -> None:
        """exec create + start (attached, to the end of output) + inspect; the exit status must be 0."""
        body = {"Cmd": command, "AttachStdout": True, "AttachStderr": True}
        execution = self.expect(201, "POST", f"/containers/{container}/exec", body)["Id"]
        stream = self.connect()
        stream.send("POST", f"/exec/{execution}/start", {"Detach": False, "Tty": False}, upgrade=True)
        status, _ = stream.drain()
        stream.close()
        if status not in (101, 200):
            raise RuntimeError(f"{self.name}: exec start: {status}")
        code = self.expect(200, "GET", f"/exec/{execution}/json")["ExitCode"]
        if code != 0:
            raise RuntimeError(f"{self.name}: exec {command} exited with {code}")

    def state_pid(self, container: str) -> int:
        return int(self.expect(200, "GET", f"/containers/{container}/json")["State"]["Pid"])

    def remove(self, container: str) -> None:
        self.expect(204, "DELETE", f"/containers/{container}?force=1")

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Docker(Engine):
    name = "docker"

    def __init__(self, work: Path) -> None:
        daemon = require("dockerd", "docker.io")
        self.cli = str(Path(daemon).parent.parent / "bin/docker")
        if not Path(self.cli).exists():
            self.cli = require("docker", "docker.io")
        (work / "run").mkdir(parents=True)
        command = [daemon, "--host", f"unix://{work}/run/engine.sock", "--data-root", f"{work}/data"]
        command += ["--exec-root", f"{work}/run/exec", "--pidfile", f"{work}/run/pid", "--bridge", "none"]
        command += ["--iptables=false", "--storage-driver", "overlay2", "--log-level", "error"]
        super().__init__(work, command, {})

    def command(self, *arguments: str) -> tuple[list[str], dict[str, str]]:
        return [self.cli, *arguments], {"DOCKER_HOST": f"unix://{self.socket}"}

    def version(self) -> str:
        return str(self.expect(200, "GET", "/version")["Version"])


class Corten(Engine):
    name = "corten"

    def __init__(self, work: Path) -> None:
        self.cli = str(Path(sys.executable).with_name("corten"))
        if not Path(self.cli).exists():
            raise MissingPeer("the corten command is not installed beside this Python (pip install -e .)")
        (work / "run").mkdir(parents=True)
        env = {"CORTEN_ROOT": f"{work}/data", "CORTEN_RUN": f"{work}/run"}
        super().__init__(work, [self.cli, "engine", "serve"], env)

    def command(self, *arguments: str) -> tuple[list[str], dict[str, str]]:
        return [self.cli, *arguments], self.env

    def version(self) -> str:
        return str(self.expect(200, "GET", "/version")["Version"])


class Podman:
    name = "podman"

    def __init__(self, work: Path, tar: Path, worker: Worker) -> None:
        program = require("podman", "podman")
        require("crun", "crun")
        work.mkdir(parents=True)
        self.worker = worker
        self.base = [program, "--root", f"{work}/root", "--runroot", f"{work}/run", "--tmpdir", f"{work}/tmp"]
        self.base += ["--cgroup-manager", "cgroupfs", "--events-backend", "none", "--runtime", "crun"]
        worker.run([*self.base, "import", str(tar), f"{IMAGE}:latest"])

    def command(self, *arguments: str) -> list[str]:
        return [*self.base, *arguments]

    def version(self) -> str:
        return subprocess.run([self.base[0], "--version"], capture_output=True, text=True).stdout.split()[-1]

    def close(self) -> None:
        self.worker.run([*self.base, "rm", "--all", "--force"])


class Bundle:
    """One OCI runtime on one bundle of the same root file system: `RUNTIME run` of `true`."""

    def __init__(self, work: Path, rootfs: Path, program: str, options: list[str], worker: Worker) -> None:
        self.name = Path(program).name
        self.worker, self.program, self.options = worker, program, options
        self.bundle = work / self.name
        self.bundle.mkdir(parents=True)
        subprocess.run([require("runc", "runc"), "spec"], cwd=self.bundle, check=True)
        config = json.loads((self.bundle / "config.json").read_text())
        config["process"].update(args=["true"], terminal=False, env=["PATH=/bin"])
        config["process"].pop("rlimits", None)
        config["root"] = {"path": str(rootfs), "readonly": True}
        (self.bundle / "config.json").write_text(json.dumps(config))
        self.count = 0

    def run_once(self) -> float:
        self.count += 1
        arguments = [*self.options, "run", "--bundle", str(self.bundle), f"bench-{os.getpid()}-{self.count}"]
        return self.worker.run([self.program, *arguments])

    def version(self) -> str:
        text = subprocess.run([self.program, "--version"], capture_output=True, text=True).stdout
        return text.split("\n")[0].split()[-1]


def lines_file(path: Path, size: int = 100_000_000) -> Path:
    """`size` bytes in lines of 64 bytes."""
    block = io.BytesIO()
    for index in range(15625):
        block.write(
            f"{index:08d} the quick brown fox jumps over the lazy dog, and so on\n".encode().rjust(64, b".")
        )
    with path.open("wb") as file:
        written = 0
        while written < size:
            written += file.write(block.getvalue()[: size - written])
    return path
