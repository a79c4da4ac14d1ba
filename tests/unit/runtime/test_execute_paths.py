"""Paths below a root that is not to be trusted."""

from __future__ import annotations

import os

import pytest

from corten.runtime.execute_paths import ensure, resolve


@pytest.fixture
def root(tmp_path):
    (tmp_path / "root").mkdir()
    fd = os.open(tmp_path / "root", os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def test_makes_what_is_missing(root, tmp_path):
    os.close(ensure(root, b"a/b/c"))
    os.close(ensure(root, b"a/b/file", directory=False))
    assert (tmp_path / "root/a/b/c").is_dir()
    assert (tmp_path / "root/a/b/file").is_file()


def test_links_stay_below(root, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "root/up").symlink_to("../../outside")
    (tmp_path / "root/absolute").symlink_to(outside)
    os.close(ensure(root, b"up/x"))
    os.close(ensure(root, b"absolute/y"))
    assert os.listdir(outside) == []
    assert (tmp_path / "root/outside/x").is_dir()
    assert (tmp_path / f"root{outside}/y").is_dir()


def test_dots(root, tmp_path):
    os.close(ensure(root, b"../../x/../y"))
    assert (tmp_path / "root/y").is_dir()
    assert not (tmp_path / "y").exists()


def test_link_loop(root, tmp_path):
    (tmp_path / "root/loop").symlink_to("loop")
    with pytest.raises(OSError):
        ensure(root, b"loop/x")


def test_no_links_at_all(root, tmp_path):
    (tmp_path / "root/real").mkdir()
    (tmp_path / "root/link").symlink_to("real")
    with pytest.raises(OSError):
        ensure(root, b"link", symlinks=False)
    with pytest.raises(FileNotFoundError):
        resolve(root, b"missing")
