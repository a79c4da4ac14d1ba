"""The thin system calls, where they need no privilege."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from corten.linux import mount as m
from corten.linux import openat2 as o
from corten.linux import prctl as p
from corten.linux.capability import NAMES, capget, last_capability
from corten.linux.process import RENAME_NOREPLACE, renameat2
from corten.linux.sealed import is_sealed, sealed_copy
from corten.linux.statfs import PROC_SUPER_MAGIC, file_system_type

SOURCE = Path(__file__).parents[3] / "src"


def run_bare(code: str) -> str:
    """Run `code` in a bare interpreter with one thread."""
    program = f"import sys; sys.path.insert(0, {str(SOURCE)!r})\n" + code
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_errors_name_call_and_path():
    with pytest.raises(OSError) as caught:
        m.umount2(b"/no/such/place")
    assert caught.value.errno in (errno.ENOENT, errno.EPERM)
    assert caught.value.filename == "umount2(/no/such/place)"


def test_openat2_stays_in_the_root(tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "root/file").write_text("inside")
    (tmp_path / "file").write_text("outside")
    (tmp_path / "root/link").symlink_to("../../file")
    root = os.open(tmp_path / "root", os.O_RDONLY)
    fd = o.openat2(root, b"link", os.O_RDONLY, o.RESOLVE_IN_ROOT)
    assert os.read(fd, 100) == b"inside"
    assert not os.get_inheritable(fd)
    os.close(fd)
    with pytest.raises(OSError) as caught:
        o.openat2(root, b"link", os.O_RDONLY, o.RESOLVE_BENEATH)
    assert caught.value.errno == errno.EXDEV
    with pytest.raises(OSError) as caught:
        o.openat2(root, b"link", os.O_RDONLY, o.RESOLVE_IN_ROOT | o.RESOLVE_NO_SYMLINKS)
    assert caught.value.errno == errno.ELOOP
    os.close(root)


def test_renameat2_does_not_replace(tmp_path):
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    with pytest.raises(FileExistsError):
        renameat2(str(tmp_path / "a"), str(tmp_path / "b"), RENAME_NOREPLACE)
    assert (tmp_path / "b").read_text() == "b"


def test_sealed_copy(tmp_path):
    path = tmp_path / "program"
    path.write_bytes(b"x" * 100_000)
    with path.open("rb") as source:
        fd = sealed_copy("program", source.fileno())
        assert not is_sealed(source.fileno())
    assert is_sealed(fd)
    assert os.pread(fd, 200_000, 0) == b"x" * 100_000
    with pytest.raises(PermissionError):
        os.pwrite(fd, b"y", 0)
    os.close(fd)


def test_file_system_type():
    fd = os.open("/proc", os.O_RDONLY)
    assert file_system_type(fd) == PROC_SUPER_MAGIC
    os.close(fd)


def test_capabilities():
    effective, permitted, _inheritable = capget()
    assert effective & ~permitted == 0
    status = Path("/proc/self/status").read_text()
    assert f"CapEff:\t{effective:016x}" in status
    assert 36 < last_capability() < 64
    assert NAMES[21] == "CAP_SYS_ADMIN"


def test_prctl():
    assert p.prctl(p.PR_GET_DUMPABLE) in (0, 1, 2)
    with pytest.raises(OSError):
        p.prctl(p.PR_SET_PDEATHSIG, 9999)


def test_vfork_runs_python_and_executes():
    text = run_bare(
        """
import os
from corten.linux.vfork import Shared
seen = []
def run():
    seen.append(os.getpid())
    return b"/bin/echo", [b"echo", b"executed"], [b"A=b"]
for _ in range(50):
    pid, pidfd = Shared(run, lambda number: None).clone(0)
    assert os.waitpid(pid, 0)[1] == 0
    os.close(pidfd)
    assert seen.pop() == pid
assert len(os.listdir("/proc/self/fd")) <= 4
print("intact")
"""
    )
    assert text.count("executed") == 50
    assert text.endswith("intact\n")


def test_vfork_tells_why_it_could_not_execute():
    text = run_bare(
        """
import os
from corten.linux.vfork import Shared
told = []
pid, pidfd = Shared(lambda: (b"/no/such", [b"x"], []), told.append).clone(0)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
print(told)
pid, pidfd = Shared(lambda: None, told.append).clone(0)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
"""
    )
    assert text == "[2]\n"


def test_the_launcher_side_imports_little():
    text = run_bare(
        """
import corten.runtime.execute
heavy = {"json", "logging", "asyncio", "threading", "dataclasses", "typing", "enum", "msgspec", "socket"}
print(sorted(heavy & set(sys.modules)))
"""
    )
    assert text == "[]\n"


@pytest.mark.root
def test_vfork_makes_namespaces():
    text = run_bare(
        """
import os
from corten.linux.namespace import CLONE_NEWPID, CLONE_NEWNS
from corten.linux.vfork import Shared
seen = []
def run():
    seen.append(os.getpid())
    return None
pid, pidfd = Shared(run, seen.append).clone(CLONE_NEWPID | CLONE_NEWNS)
os.waitpid(pid, 0)
print(seen)
"""
    )
    assert text == "[1]\n"
