"""The engines that are measured, each started by the harness on directories of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
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


def mount_run(directory: Path) -> None:
    """A tmpfs, which /run is on every distribution: run directories are not the disk's business."""
    directory.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", str(directory)], check=True)


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
        subprocess.run(["umount", "--lazy", str(self.work / "run")], check=False)


class Docker(Engine):
    name = "docker"

    def __init__(self, work: Path) -> None:
        daemon = require("dockerd", "docker.io")
        self.cli = str(Path(daemon).parent.parent / "bin/docker")
        if not Path(self.cli).exists():
            self.cli = require("docker", "docker.io")
        mount_run(work / "run")
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

    def __init__(self, work: Path, snapshotter: str = "") -> None:
        """`snapshotter` "" leaves the choice to the engine."""
        self.cli = str(Path(sys.executable).with_name("corten"))
        if not Path(self.cli).exists():
            raise MissingPeer("the corten command is not installed beside this Python (pip install -e .)")
        mount_run(work / "run")
        env = {"CORTEN_ROOT": f"{work}/data", "CORTEN_RUN": f"{work}/run"}
        if snapshotter:
            env["CORTEN_SNAPSHOTTER"] = snapshotter
        super().__init__(work, [self.cli, "engine", "serve"], env)

    def command(self, *arguments: str) -> tuple[list[str], dict[str, str]]:
        return [self.cli, *arguments], self.env

    def version(self) -> str:
        return str(self.expect(200, "GET", "/version")["Version"])


class Podman:
    """Not an engine: every command does all by itself."""

    name = "podman"
    # without CAP_SYS_RESOURCE podman cannot raise the limits that it raises by default
    limits = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")

    def __init__(self, work: Path, worker: Worker) -> None:
        program = require("podman", "podman")
        require("crun", "crun")
        self.work, self.worker = work, worker
        (work / "run").mkdir(parents=True)
        # Where the commands see it: the worker may have a mount namespace of its own.
        worker.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", f"{work}/run"])
        self.base = [program, "--root", f"{work}/root", "--runroot", f"{work}/run", "--tmpdir", f"{work}/tmp"]
        self.base += ["--cgroup-manager", "cgroupfs", "--events-backend", "none", "--runtime", "crun"]

    def import_image(self, tar: Path) -> None:
        self.worker.run([*self.base, "import", str(tar), f"{IMAGE}:latest"])

    def command(self, *arguments: str) -> list[str]:
        return [*self.base, *arguments]

    def version(self) -> str:
        return subprocess.run([self.base[0], "--version"], capture_output=True, text=True).stdout.split()[-1]

    def close(self) -> None:
        self.worker.run([*self.base, "rm", "--all", "--force"])
        self.worker.run(["umount", "--lazy", f"{self.work}/run"])
