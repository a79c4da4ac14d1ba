"""From an overlay's upper directory to a layer."""

from __future__ import annotations

import importlib.util
import os
import py_compile
import stat
import time
from pathlib import Path

import pytest

from corten.build.solve.upper import settle_upper
from corten.snapshot.tree import remove_tree

EPOCH = 1_000_000_000


@pytest.fixture
def lower(tmp_path: Path) -> Path:
    (tmp_path / "lower" / "etc").mkdir(parents=True)
    (tmp_path / "lower" / "etc" / "passwd").write_text("root")
    return tmp_path / "lower"


@pytest.fixture
def upper(tmp_path: Path) -> Path:
    (tmp_path / "upper").mkdir()
    return tmp_path / "upper"


def names(top: Path) -> set[str]:
    return {str(path.relative_to(top)) for path in top.rglob("*")}


def test_every_time_is_the_epoch(upper: Path, lower: Path) -> None:
    (upper / "a" / "b").mkdir(parents=True)
    (upper / "a" / "file").write_text("12345")
    (upper / "a" / "link").symlink_to("/etc/passwd")
    os.mkfifo(upper / "a" / "b" / "fifo")
    before = (lower / "etc" / "passwd").stat().st_mtime_ns
    made = settle_upper(str(upper), [str(lower)], (), EPOCH)
    assert (made.size, made.inodes) == (5, 5)
    for path in upper.rglob("*"):
        assert path.lstat().st_mtime == EPOCH, path
    assert (lower / "etc" / "passwd").stat().st_mtime_ns == before, "no link is followed"


def test_without_an_epoch_times_stay(upper: Path, lower: Path) -> None:
    (upper / "file").write_text("1")
    os.utime(upper / "file", (5, 5))
    settle_upper(str(upper), [str(lower)], (), None)
    assert (upper / "file").stat().st_mtime == 5


def test_the_root_is_that_of_the_layers_below(upper: Path, lower: Path) -> None:
    lower.chmod(0o711)
    upper.chmod(0o700)
    os.utime(lower, (7, 7))
    settle_upper(str(upper), [str(lower)], (), EPOCH)
    assert stat.S_IMODE(upper.stat().st_mode) == 0o711
    assert upper.stat().st_mtime == 7


def test_hard_links_count_once(upper: Path, lower: Path) -> None:
    (upper / "one").write_text("12345")
    (upper / "two").hardlink_to(upper / "one")
    made = settle_upper(str(upper), [str(lower)], (), EPOCH)
    assert (made.size, made.inodes) == (5, 1)


def test_a_tree_deeper_than_a_path(upper: Path, lower: Path) -> None:
    fd = os.open(upper, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("deep", dir_fd=fd)
        below = os.open("deep", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    try:
        assert settle_upper(str(upper), [str(lower)], (), EPOCH).inodes == 1200
    finally:
        remove_tree(str(upper))  # what removes the test's directory gets lost in there


class TestWhatMountsLeave:
    def test_stubs_go_with_their_directories(self, upper: Path, lower: Path) -> None:
        (upper / "etc").mkdir()
        (upper / "etc" / "hosts").touch()
        (upper / "root" / ".cache" / "pip").mkdir(parents=True)
        (upper / "proc").mkdir()
        settle_upper(str(upper), [str(lower)], ("/etc/hosts", "/root/.cache/pip/", "/proc"), EPOCH)
        assert names(upper) == set()

    def test_what_somebody_filled_stays(self, upper: Path, lower: Path) -> None:
        (upper / "cache").mkdir()
        (upper / "cache" / "file").touch()
        (upper / "secret").write_text("not empty")
        (upper / "srv").mkdir()
        (upper / "srv" / "mount").mkdir()
        (upper / "srv" / "own").touch()
        settle_upper(str(upper), [str(lower)], ("/cache", "/secret", "/srv/mount"), EPOCH)
        assert names(upper) == {"cache", "cache/file", "secret", "srv", "srv/own"}

    def test_what_was_there_before_stays(self, upper: Path, lower: Path) -> None:
        (lower / "cache").mkdir()
        (upper / "cache").mkdir(mode=0o700)
        settle_upper(str(upper), [str(lower)], ("/cache",), EPOCH)
        assert names(upper) == {"cache"}

    def test_a_directory_that_changed_stays(self, upper: Path, lower: Path) -> None:
        (upper / "etc").mkdir()
        (upper / "etc").chmod(0o700)
        (upper / "etc" / "hosts").touch()
        settle_upper(str(upper), [str(lower)], ("/etc/hosts",), EPOCH)
        assert names(upper) == {"etc"}

    def test_through_links(self, upper: Path, lower: Path) -> None:
        (lower / "var").mkdir()
        (lower / "var" / "run").symlink_to("/run")
        (lower / "etc" / "resolv.conf").symlink_to("../run/resolve/stub.conf")
        (upper / "run" / "resolve").mkdir(parents=True)
        (upper / "run" / "resolve" / "stub.conf").touch()
        (upper / "run" / "docker.sock").touch()
        settle_upper(str(upper), [str(lower)], ("/etc/resolv.conf", "/var/run/docker.sock"), EPOCH)
        assert names(upper) == set()

    def test_links_that_go_round_or_out(self, upper: Path, lower: Path, tmp_path: Path) -> None:
        (tmp_path / "outside").touch()
        (upper / "round").symlink_to("round")
        (upper / "out").symlink_to(f"../../../../../../..{tmp_path}/outside")
        settle_upper(str(upper), [str(lower)], ("/round", "/round/x", "/out"), EPOCH)
        assert names(upper) == {"round", "out"}
        assert (tmp_path / "outside").exists()

    @pytest.mark.root
    def test_a_deletion_stays(self, upper: Path, lower: Path) -> None:
        (lower / "etc" / "hosts").write_text("x")
        (upper / "etc").mkdir()
        os.mknod(upper / "etc" / "hosts", stat.S_IFCHR, 0)
        settle_upper(str(upper), [str(lower)], ("/etc/hosts",), EPOCH)
        assert names(upper) == {"etc", "etc/hosts"}


@pytest.mark.root
def test_overlays_own_notes_go(upper: Path, lower: Path) -> None:
    os.setxattr(upper, "trusted.overlay.impure", b"y")
    os.setxattr(upper, "trusted.overlay.uuid", b"0123456789abcdef")
    (upper / "copied").write_text("x")
    os.setxattr(upper / "copied", "trusted.overlay.origin", b"handle")
    os.setxattr(upper / "copied", "user.own", b"stays")
    (upper / "fresh").mkdir()
    os.setxattr(upper / "fresh", "trusted.overlay.opaque", b"y")
    settle_upper(str(upper), [str(lower)], (), EPOCH)
    assert os.listxattr(upper) == []
    assert os.listxattr(upper / "copied") == ["user.own"]
    assert os.listxattr(upper / "fresh") == ["trusted.overlay.opaque"]


class TestCompiledPython:
    """A .pyc names the time of its source, and is stale when that has another."""

    def compile(self, top: Path, *, cached: bool = True) -> Path:
        source = top / "module.py"
        source.write_text("value = 1\n")
        os.utime(source, (time.time() - 1000,) * 2)
        target = None if cached else str(top / "module.pyc")
        mode = py_compile.PycInvalidationMode.TIMESTAMP
        return Path(py_compile.compile(str(source), target, invalidation_mode=mode))

    @pytest.mark.parametrize("cached", [True, False])
    def test_it_stays_fresh(self, upper: Path, lower: Path, cached: bool) -> None:
        compiled = self.compile(upper, cached=cached)
        settle_upper(str(upper), [str(lower)], (), EPOCH)
        assert int.from_bytes(compiled.read_bytes()[8:12], "little") == EPOCH
        assert compiled.stat().st_mtime == EPOCH
        if cached:
            before = compiled.stat().st_ino
            spec = importlib.util.spec_from_file_location("module", upper / "module.py")
            assert spec is not None
            assert spec.loader is not None
            spec.loader.exec_module(importlib.util.module_from_spec(spec))
            assert compiled.stat().st_ino == before, "it was not written anew"

    def test_a_stale_one_stays_stale(self, upper: Path, lower: Path) -> None:
        compiled = self.compile(upper)
        os.utime(upper / "module.py", (5, 5))
        before = compiled.read_bytes()
        settle_upper(str(upper), [str(lower)], (), EPOCH)
        assert compiled.read_bytes() == before

    def test_one_whose_source_is_below_stays(self, upper: Path, lower: Path) -> None:
        compiled = self.compile(lower)
        (upper / "__pycache__").mkdir()
        data = compiled.read_bytes()
        (upper / "__pycache__" / compiled.name).write_bytes(data)
        settle_upper(str(upper), [str(lower)], (), EPOCH)
        assert (upper / "__pycache__" / compiled.name).read_bytes() == data

    def test_what_only_looks_like_one(self, upper: Path, lower: Path) -> None:
        (upper / "module.py").write_text("")
        (upper / "module.pyc").write_bytes(b"short")
        (upper / "link.py").symlink_to("module.py")
        (upper / "link.pyc").symlink_to("/etc/passwd")
        settle_upper(str(upper), [str(lower)], (), EPOCH)
        assert (upper / "module.pyc").read_bytes() == b"short"
