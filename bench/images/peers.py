"""The image commands of docker, podman and corten, each as a user types it; and skopeo's copy."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

from bench.engines import Corten, Docker, Podman, require
from bench.worker import Worker


class ImagePeer:
    """One peer's commands, timed in seconds; RuntimeError when one exits with anything but 0.

    `insecure` are options for a registry without TLS, `limits` options of every run; `owner` is the process
    whose descendants do the work; `trash` is where the peer leaves what it removes in the background;
    `present` are the images that it has.
    """

    def __init__(self, name: str, worker: Worker, argv: list[str], env: dict[str, str], owner: int) -> None:
        self.name, self.worker, self.argv, self.env, self.owner = name, worker, argv, env, owner
        self.insecure: tuple[str, ...] = ()
        self.limits: tuple[str, ...] = ()
        self.trash: Path | None = None
        self.present: set[str] = set()

    @classmethod
    def of_engine(cls, engine: Corten | Docker, name: str, worker: Worker) -> ImagePeer:
        argv, env = engine.command()
        peer = cls(name, worker, argv, env, engine.process.pid)
        if isinstance(engine, Corten):
            peer.trash = engine.work / "data/trash"
        return peer

    @classmethod
    def of_podman(cls, podman: Podman) -> ImagePeer:
        downloads = podman.work / "downloads"  # else in /var/tmp, where an interrupted pull leaves them
        downloads.mkdir()
        env = {"TMPDIR": str(downloads)}
        peer = cls(podman.name, podman.worker, podman.command(), env, podman.worker.process.pid)
        peer.insecure = ("--tls-verify=false",)
        peer.limits = Podman.limits
        return peer

    def __call__(self, *arguments: str) -> float:
        return self.worker.run([*self.argv, *arguments], self.env) / 1e3

    def pull(self, reference: str) -> float:
        seconds = self("pull", "--quiet", *self.insecure, reference)
        self.present.add(reference)
        return seconds

    def push(self, reference: str) -> float:
        return self("push", "--quiet", *self.insecure, reference)

    def load(self, archive: Path, name: str) -> float:
        """`name` is the image's, in the archive."""
        seconds = self("load", "--quiet", "--input", str(archive))
        self.present.add(name)
        return seconds

    def save(self, archive: Path, reference: str) -> float:
        return self("save", "--output", str(archive), reference)

    def tag(self, reference: str, name: str) -> None:
        self("tag", reference, name)
        self.present.add(name)

    def clear(self) -> None:
        """Removes every image; returns when their files are gone."""
        if self.present:
            self("rmi", "--force", *sorted(self.present))
            self.present.clear()
        while self.trash is not None and self.trash.exists() and any(self.trash.iterdir()):
            time.sleep(0.05)

    def run(self, reference: str, *command: str) -> float:
        return self("run", "--rm", "--network", "none", *self.limits, reference, *command)

    def output(self, reference: str, *command: str) -> str:
        """What a container writes to stdout."""
        options = ["--rm", "--network", "none", *self.limits]
        return self.worker.output([*self.argv, "run", *options, reference, *command], self.env)

    def start(self, reference: str, shared: Path, *command: str) -> str:
        """A container in the background, with `shared` at /bench; its name."""
        name = f"bench-{self.name.replace(' ', '-')}"
        options = ["--network", "none", "--volume", f"{shared}:/bench", *self.limits]
        self("run", "--detach", "--name", name, *options, reference, *command)
        return name

    def stop(self, container: str) -> None:
        self("rm", "--force", container)


class Skopeo:
    """No engine and no unpacking: what moving the bytes costs."""

    name = "skopeo"

    def __init__(self, work: Path, worker: Worker) -> None:
        self.program = require("skopeo", "skopeo")
        self.directory, self.worker = work, worker
        work.mkdir(parents=True)

    def copy(self, source: str) -> float:
        """Seconds of a copy of SOURCE into a new image layout."""
        target = self.directory / "layout"
        shutil.rmtree(target, ignore_errors=True)
        options = ["--quiet", "--src-tls-verify=false"]
        return self.worker.run([self.program, "copy", *options, source, f"oci:{target}:it"]) / 1e3

    def version(self) -> str:
        text = subprocess.run([self.program, "--version"], check=True, capture_output=True, text=True).stdout
        return text.split()[-1]
