"""Images as an ordinary user's engine has them: in a user namespace, without trusted xattrs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.image.images import docker_archive
from tests.unit.snapshot.archives import device, directory, member, tar_of

pytestmark = pytest.mark.root

_BASE = 100_000
_WORK = """
import os, stat, sys
sys.path[:] = {path!r}
from pathlib import Path
from corten.image.store import open_stream
from corten.snapshot.view import run_in_view
from tests.unit.image.images import make_store
root = Path({root!r})
store = make_store(root / "r")
store.load(open_stream({archive!r}))
image = store.resolve("app:1")
lowers = store.lowers(image)
top = Path(lowers[0])
assert stat.S_ISCHR((top / "gone").lstat().st_mode) and (top / "gone").lstat().st_rdev == 0
assert os.getxattr(top / "o", "user.overlay.opaque") == b"y"
assert (top / "o/f").stat().st_uid == 1000
assert not (top / "dev/null").exists()
(root / "upper").mkdir()
(root / "work").mkdir()
view = lambda *words: run_in_view(lowers, str(root / "upper"), str(root / "work"), *words)
assert view("stat_path", "/kept").size == 4
for hidden in ("/gone", "/o/hidden"):
    try:
        view("stat_path", hidden)
        raise AssertionError(hidden)
    except Exception as error:
        assert "Could not find" in str(error), error
store.remove("app:1")
assert list(store.snapshotter.walk()) == []
store.close()
print("good")
"""


def in_user_namespace(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Runs `command` as root of a user namespace with 65536 ids of its own, and a mount namespace."""
    enter = (
        f"import os, sys; sys.path[:] = {sys.path!r}\n"
        "from corten.linux.namespace import CLONE_NEWNS, CLONE_NEWUSER, unshare\n"
        f"os.setgroups([]); base = {_BASE}; os.setresgid(base, base, base); os.setresuid(base, base, base)\n"
        "unshare(CLONE_NEWUSER | CLONE_NEWNS)\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "os.setresgid(0, 0, 0); os.setresuid(0, 0, 0)\n"
        f"os.execv({command!r}[0], {command!r})\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", enter],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdin is not None and process.stderr is not None
    if process.stdout.readline() != "ready\n":
        _, errors = process.communicate()
        pytest.skip(f"no user namespaces here: {errors.strip().splitlines()[-1]}")
    for kind in ("uid", "gid"):
        Path(f"/proc/{process.pid}/{kind}_map").write_text(f"0 {_BASE} 65536")
    output, errors = process.communicate("\n", timeout=120)
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


def test_whiteouts_owners_and_devices(short_tmp: Path) -> None:
    below = tar_of([member("gone", b"x"), member("kept", b"kept"), directory("o"), member("o/hidden")])
    above = tar_of(
        [
            member(".wh.gone"),
            directory("o"),
            member("o/.wh..wh..opq"),
            member("o/f", b"1", uid=1000, gid=1000),
            directory("dev"),
            device("dev/null", 1, 3),
        ]
    )
    short_tmp.chmod(0o777)
    archive = short_tmp / "a.tar"
    archive.write_bytes(docker_archive([below, above]))
    archive.chmod(0o644)
    os.chown(short_tmp, _BASE, _BASE)
    script = _WORK.format(path=sys.path, root=str(short_tmp), archive=str(archive))
    result = in_user_namespace([sys.executable, "-c", script])
    assert (result.returncode, result.stdout) == (0, "good\n"), result.stderr
