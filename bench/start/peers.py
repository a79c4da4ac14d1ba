"""What bench start needs besides engines: a root file system, OCI bundles, a file of lines."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

from bench.engines import require
from bench.worker import Worker


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
