"""An archive unpacked so that nothing else is left in the directory."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from corten.client.files import unpack
from corten.errors import ArchiveError


def archive(*members: tuple[str, bytes | str | None]) -> bytes:
    """Of (name, content): bytes are a file's, a str is where a link points, None is a directory."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.mode = 0o755
            if content is None:
                info.type = tarfile.DIRTYPE
            elif isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
            else:
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content if isinstance(content, bytes) else b""))
    return buffer.getvalue()


def tree(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name in ("out/old/deep/x", "out/was_directory/x", "out/kept/x", "out/kept/old", "elsewhere/x"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("old")
    (tmp_path / "out/was_file").write_text("old")
    (tmp_path / "out/was_link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "out/old_link").symlink_to(tmp_path / "elsewhere")
    return tmp_path


NEW = archive(
    ("kept", None),
    ("kept/x", b"new"),
    ("was_directory", b"new"),
    ("was_file", None),
    ("was_file/x", b"new"),
    ("was_link/x", b"new"),
)


def test_nothing_else_is_left(place: Path) -> None:
    out = place / "out"
    unpack(iter((NEW,)), str(out), lambda name: name, mirror=True)
    assert tree(out) == [
        "kept",
        "kept/x",
        "was_directory",
        "was_file",
        "was_file/x",
        "was_link",
        "was_link/x",
    ]
    assert {path.read_text() for path in out.rglob("*") if path.is_file()} == {"new"}
    assert (place / "elsewhere/x").read_text() == "old"


def test_without_it_all_stays(place: Path) -> None:
    unpack(iter((archive(("kept/x", b"new")),)), str(place / "out"), lambda name: name)
    assert {"old/deep/x", "kept/old", "kept/x", "old_link"} < set(tree(place / "out"))


def test_an_archive_that_ends_early_removes_nothing_else(place: Path) -> None:
    with pytest.raises(ArchiveError):
        unpack(iter((NEW[:1100],)), str(place / "out"), lambda name: name, mirror=True)
    assert {"old/deep/x", "kept/old", "old_link"} < set(tree(place / "out"))


@pytest.mark.skipif(os.geteuid() != 0, reason="root becomes another user, whose rights end")
def test_what_cannot_be_looked_into_is_an_error(tmp_path: Path) -> None:
    shut, out = tmp_path / "shut", tmp_path / "out"
    for directory in (shut, out, out / "kept"):
        directory.mkdir(mode=0o700)
    (out / "kept/old").write_text("old")
    for path in (out, out / "kept"):
        os.chown(path, 65534, 65534)
    (out / "kept").chmod(0)
    # A link to where nobody may go is not looked into.
    linked, emptied = archive(("link", str(shut))), archive(("link", str(shut)), ("kept", None))
    root = os.open(out, os.O_RDONLY)
    os.seteuid(65534)
    try:
        with pytest.raises(PermissionError, match="kept"):
            unpack(iter((emptied,)), f"/proc/self/fd/{root}", lambda name: name, mirror=True)
        os.chmod("kept", 0o700, dir_fd=root)
        unpack(iter((linked,)), f"/proc/self/fd/{root}", lambda name: name, mirror=True)
    finally:
        os.seteuid(0)
        os.close(root)
    assert os.listdir(out) == ["link"]


def test_a_link_of_the_archive_leads_nowhere(place: Path) -> None:
    (place / "elsewhere/dir").mkdir()
    hostile = archive(("a", str(place / "elsewhere")), ("a/dir", b"new"), ("../elsewhere/x", b"new"))
    with pytest.raises(ArchiveError, match=r"\.\."):
        unpack(iter((hostile,)), str(place / "out"), lambda name: name, mirror=True)
    assert tree(place / "elsewhere") == ["dir", "x"] and (place / "elsewhere/dir").is_dir()
    assert (place / "elsewhere/x").read_text() == "old"
