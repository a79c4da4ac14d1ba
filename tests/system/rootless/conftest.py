"""An ordinary user, made in a mount namespace only: /etc/passwd and /etc/subuid of the machine stay."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from corten.engine.paths import Paths
from tests.system.kept_namespace import KeptNamespace

UID = 54321
RANGE = "500000:65536"
CHECKOUT = Path(__file__).parents[3]


class OrdinaryUser(KeptNamespace):
    """Runs commands as a user who has a home, a run directory and, perhaps, ranges of ids."""

    def __init__(self, paths: Paths, scratch: Path, *, ranges: bool = True) -> None:
        self.paths = paths
        self.home = paths.root.parent
        os.chown(self.home, UID, UID)
        super().__init__("--mount", "--propagation", "private")
        try:
            self._prepare(scratch, ranges)
        except BaseException:
            self.close()
            raise

    def _prepare(self, scratch: Path, ranges: bool) -> None:
        own = os.stat("/proc/self/ns/mnt").st_ino
        while os.stat(f"/proc/{self._keeper.pid}/ns/mnt").st_ino == own:
            time.sleep(0.01)
        line = f"tester:{RANGE}\n" if ranges else ""
        for name, text in (
            ("passwd", Path("/etc/passwd").read_text() + f"tester:x:{UID}:{UID}::{self.home}:/bin/sh\n"),
            ("group", Path("/etc/group").read_text() + f"tester:x:{UID}:\n"),
            ("subuid", line),
            ("subgid", line),
        ):
            (scratch / name).write_text(text)
            Path("/etc", name).touch()
            self.root("mount", "--bind", str(scratch / name), f"/etc/{name}")
        # Distributions make it 0666; some machines do not.
        self.root("mount", "-t", "tmpfs", "tmpfs", "/dev/net")
        self.root("mknod", "-m", "666", "/dev/net/tun", "c", "10", "200")

    def root(self, *command: str) -> None:
        """A command as root, in the user's mount namespace."""
        subprocess.run(["nsenter", "-t", str(self._keeper.pid), "--mount", *command], check=True)

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A command as the user."""
        become = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups"]
        done = subprocess.run(
            ["nsenter", "-t", str(self._keeper.pid), "--mount", *become, *command],
            env={
                "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin",
                "HOME": str(self.home),
                "CORTEN_ROOT": str(self.paths.root),
                "CORTEN_RUN": str(self.paths.run),
                "PYTHONPATH": str(CHECKOUT / "src"),
            },
            cwd="/",
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"{command} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done

    def kill_engine(self) -> None:
        """SIGKILL."""
        os.kill(int(self.paths.pid.read_text()), signal.SIGKILL)
        time.sleep(0.1)


def make_user(paths: Paths, scratch: Path, archive: Path, *, ranges: bool) -> OrdinaryUser:
    """A user with busybox loaded; skips where he could not read the checkout."""
    user = OrdinaryUser(paths, scratch, ranges=ranges)
    try:
        if user.run(sys.executable, "-c", "import corten.cli, msgspec", check=False).returncode:
            pytest.skip("an ordinary user cannot read this checkout and its environment")
        copy = paths.root.parent / "busybox.tar"
        shutil.copy(archive, copy)
        copy.chmod(0o644)
        user.corten("load", "-i", str(copy))
    except BaseException:
        user.close()
        raise
    return user


@pytest.fixture
def user(engine_paths: Paths, tmp_path: Path, busybox_archive: Path) -> Iterator[OrdinaryUser]:
    """With 65536 subordinate ids."""
    made = make_user(engine_paths, tmp_path, busybox_archive, ranges=True)
    yield made
    made.close()


@pytest.fixture
def single_id_user(engine_paths: Paths, tmp_path: Path, busybox_archive: Path) -> Iterator[OrdinaryUser]:
    """Without subordinate ids."""
    made = make_user(engine_paths, tmp_path, busybox_archive, ranges=False)
    yield made
    made.close()
