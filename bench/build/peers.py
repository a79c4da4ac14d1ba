"""The builders, each as a user types it: `corten build`, `docker build` without BuildKit, `buildah build`."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.engines import Corten, Docker, Podman, require
from bench.worker import Worker


class Builder:
    """`build` is one whole command, timed in milliseconds; RuntimeError when it fails.

    `options` are what this builder needs to build at all here; `fresh` is how it is told to use no cache;
    `forget` removes what it keeps between builds.
    """

    def __init__(
        self,
        name: str,
        worker: Worker,
        argv: Sequence[str],
        env: dict[str, str],
        options: Sequence[str],
        forget: Callable[[], None],
    ) -> None:
        self.name, self.worker, self.env = name, worker, env
        self._argv, self._options, self.forget = tuple(argv), tuple(options), forget

    def build(self, context: Path, *arguments: str, network: str = "none") -> float:
        """One build of the directory `context`; `arguments` stand before it."""
        command = [*self._argv, *self._options, "--network", network, "-t", "bench-built", *arguments]
        return self.worker.run([*command, str(context)], self.env)

    def import_image(self, archive: Path, name: str) -> None:
        """A further base image from the tar of a root file system."""
        self.worker.run([self._argv[0], "import", str(archive), name], self.env)


def corten(engine: Corten, worker: Worker) -> Builder:
    argv, env = engine.command("build", "--quiet")

    def forget() -> None:
        worker.run(["sh", "-c", f"{engine.cli} rmi --force bench-built >/dev/null 2>&1; true"], env)
        worker.run(engine.command("builder", "prune", "--all", "--force")[0], env)

    return Builder("corten", worker, argv, env, (), forget)


def docker(engine: Docker, worker: Worker) -> Builder:
    argv, env = engine.command("build", "--quiet")
    env = {**env, "DOCKER_BUILDKIT": "0"}

    def forget() -> None:
        worker.run(engine.command("image", "prune", "--force")[0], env)

    return Builder("docker", worker, argv, env, (), forget)


def buildah(podman: Podman) -> Builder:
    """On the store of `podman`, which has the base images."""
    program = require("buildah", "buildah")
    store = ["--root", f"{podman.work}/root", "--runroot", f"{podman.work}/run"]
    options = [
        "--layers",
        *podman.limits,
        "--runtime",
        require("crun", "crun"),
        "--cgroup-manager",
        "cgroupfs",
    ]
    argv = [program, *store, "build", "--quiet", "--pull=never", *(o for o in options[:1])]

    def forget() -> None:
        podman.worker.run([program, *store, "rmi", "--prune", "--force"])

    return Builder("buildah", podman.worker, argv, {}, [*podman.limits], forget)


def buildah_version() -> str:
    text = subprocess.run(["buildah", "--version"], check=True, capture_output=True, text=True).stdout
    return text.split()[2]
