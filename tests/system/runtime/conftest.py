"""Bundles made from busybox, run by corten-runtime or by the runtime that CORTEN_TEST_RUNTIME names."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

SOURCE = Path(__file__).parents[3] / "src"
APPLETS = [
    "sh",
    "cat",
    "ls",
    "id",
    "mount",
    "hostname",
    "ps",
    "sleep",
    "env",
    "stat",
    "true",
    "false",
    "echo",
    "grep",
    "readlink",
    "touch",
    "mkdir",
    "rm",
    "ln",
    "test",
    "printf",
    "head",
    "sed",
    "date",
    "tty",
    "unshare",
    "chmod",
    "chown",
    "kill",
    "dd",
    "ip",
    "nc",
    "wc",
    "sort",
    "tr",
    "ulimit",
    "mknod",
    "umount",
    "sysctl",
    "mkfifo",
    "trap",
    "stty",
]


@pytest.fixture(scope="session")
def busybox() -> str:
    path = shutil.which("busybox")
    if path is None:
        pytest.skip("busybox-static is not installed")
    return path


class Bundle:
    """A bundle directory, its config, and commands of the runtime under test on it."""

    def __init__(self, directory: Path, busybox: str, command: list[str]) -> None:
        self.directory = directory
        self.rootfs = directory / "rootfs"
        self.id = f"test-{uuid.uuid4().hex[:12]}"
        self._command = [*command, "--root", str(directory / "state")]
        (self.rootfs / "bin").mkdir(parents=True)
        shutil.copy(busybox, self.rootfs / "bin/busybox")
        for applet in APPLETS:
            (self.rootfs / "bin" / applet).symlink_to("busybox")
        for name in ("proc", "sys", "dev", "etc", "tmp"):
            (self.rootfs / name).mkdir()
        (self.rootfs / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nwww:x:33:33::/var/www:/bin/sh\n")
        (self.rootfs / "etc/group").write_text("root:x:0:\nwww:x:33:\nlog:x:44:www\nextra:x:55:other\n")
        self.config = default_config()

    @property
    def process(self) -> dict[str, Any]:
        return self.config["process"]

    @property
    def linux(self) -> dict[str, Any]:
        return self.config["linux"]

    def mount(self, destination: str, **fields: Any) -> None:
        self.config["mounts"].append({"destination": destination, **fields})

    def script(self, text: str) -> None:
        self.process["args"] = ["/bin/sh", "-c", text]

    def write(self) -> None:
        (self.directory / "config.json").write_text(json.dumps(self.config))

    def command(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        options = {"stdin": subprocess.DEVNULL, "timeout": 60} | options
        return subprocess.run(
            [*self._command, *arguments],
            capture_output=True,
            text=True,
            check=False,
            **options,
        )

    def popen(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        return subprocess.Popen([*self._command, *arguments], text=True, **options)

    def run(self, script: str | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
        if script is not None:
            self.script(script)
        self.write()
        return self.command("run", "--bundle", str(self.directory), self.id, **options)

    def output(self, script: str, **options: Any) -> str:
        done = self.run(script, **options)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, script: str = "exec sleep 1000") -> None:
        """Create and start in the background."""
        self.script(script)
        self.write()
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
        arguments = [*self._command, "create", "--bundle", str(self.directory), self.id]
        # A file, not a pipe: the container keeps stderr, and nobody would see its end.
        with open(self.directory / "stderr", "w") as stderr:
            done = subprocess.run(arguments, **(quiet | {"stderr": stderr}), check=False, timeout=60)
        assert done.returncode == 0, (self.directory / "stderr").read_text()
        assert self.command("start", self.id).returncode == 0

    def state(self) -> dict[str, Any]:
        done = self.command("state", self.id)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


def default_config() -> dict[str, Any]:
    plain = ["nosuid", "noexec", "nodev"]
    capabilities = ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_SETGID", "CAP_NET_BIND_SERVICE"]
    return {
        "ociVersion": "1.0.2",
        "process": {
            "cwd": "/",
            "user": {"uid": 0, "gid": 0},
            "args": ["true"],
            "env": ["PATH=/bin", "A=b"],
            "capabilities": {kind: list(capabilities) for kind in ("bounding", "effective", "permitted")},
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs"},
        "hostname": "inside",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {
                "destination": "/dev",
                "type": "tmpfs",
                "source": "tmpfs",
                "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
            },
            {
                "destination": "/dev/pts",
                "type": "devpts",
                "source": "devpts",
                "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
            },
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": [*plain, "mode=1777"]},
            {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": plain},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*plain, "ro"]},
        ],
        "linux": {
            "namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount", "cgroup")],
            "maskedPaths": ["/proc/keys", "/proc/timer_list", "/proc/acpi", "/sys/firmware"],
            "readonlyPaths": ["/proc/sys", "/proc/irq"],
        },
    }


def _runtime() -> list[str]:
    name = os.environ.get("CORTEN_TEST_RUNTIME", "")
    if not name:
        return [
            sys.executable,
            "-c",
            "from corten.runtime.command.main import entry; entry()",
        ]
    if name == "crun" and os.path.ismount("/sys/fs/cgroup/unified"):
        # crun refuses the hybrid layout: give it a mount namespace without the unified hierarchy.
        script = 'umount /sys/fs/cgroup/unified && exec "$@"'
        return ["unshare", "--mount", "sh", "-c", script, "sh", "crun"]
    return [name]


@pytest.fixture
def bundle(tmp_path: Path, busybox: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bundle]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    monkeypatch.setenv("PYTHONPATH", str(SOURCE))
    made = Bundle(tmp_path / "bundle", busybox, _runtime())
    yield made
    made.command("delete", "--force", made.id)


@pytest.fixture(scope="session")
def under_test() -> str:
    """The name of the runtime under test."""
    return os.environ.get("CORTEN_TEST_RUNTIME", "") or "corten"


@pytest.fixture
def corten_only(under_test: str) -> None:
    if under_test != "corten":
        pytest.skip("about corten's own words or ways")


Wait = Callable[[Callable[[], bool]], None]


@pytest.fixture
def wait_until() -> Wait:
    import time

    def wait(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.02)

    return wait
