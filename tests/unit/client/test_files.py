"""Tar streams for cp: what goes out comes back the same, and hostile ones write nothing outside."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from corten.client import files
from corten.errors import ArchiveError, InvalidArgument


def archive(*members: tuple[tarfile.TarInfo, bytes]) -> Iterator[bytes]:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    data = buffer.getvalue()
    yield from (data[start : start + 700] for start in range(0, len(data), 700))


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, 0o644 if kind != tarfile.DIRTYPE else 0o755
    return info


def same(name: str) -> str:
    return name


def test_there_and_back(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "file").write_bytes(os.urandom(3_000_000))
    (source / "empty").touch(mode=0o755)
    (source / "link").symlink_to("/etc/passwd")
    os.link(source / "empty", source / "hard")
    os.mkfifo(source / "fifo")
    (source / "locked").mkdir(mode=0o500)
    os.utime(source / "sub" / "file", (1000, 1000))
    target = tmp_path / "target"
    target.mkdir()
    files.unpack(files.pack(str(source), "new"), str(target), same)
    made = target / "new"
    assert (made / "sub" / "file").read_bytes() == (source / "sub" / "file").read_bytes()
    assert (made / "sub" / "file").stat().st_mtime == 1000
    assert os.readlink(made / "link") == "/etc/passwd"
    assert (made / "hard").stat().st_ino == (made / "empty").stat().st_ino
    assert (made / "fifo").is_fifo()
    assert (made / "locked").stat().st_mode & 0o777 == 0o500
    assert (made / "empty").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/../evil"])
def test_dots_are_refused(tmp_path: Path, name: str) -> None:
    target = tmp_path / "t"
    target.mkdir()
    with pytest.raises(ArchiveError):
        files.unpack(archive((entry(name), b"x")), str(target), same)
    assert not (tmp_path / "evil").exists()


def test_an_absolute_path_stays_inside(tmp_path: Path) -> None:
    files.unpack(archive((entry("/etc/x"), b"x")), str(tmp_path), same)
    assert (tmp_path / "etc" / "x").read_bytes() == b"x"


def test_a_symlink_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    target = tmp_path / "t"
    target.mkdir()
    members = ((entry("a", tarfile.SYMTYPE, str(outside)), b""), (entry("a/evil"), b"x"))
    with pytest.raises(ArchiveError, match="symbolic links are not followed"):
        files.unpack(archive(*members), str(target), same)
    assert list(outside.iterdir()) == []


def test_a_file_over_a_symlink_replaces_the_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    target = tmp_path / "t"
    target.mkdir()
    members = ((entry("a", tarfile.SYMTYPE, str(victim)), b""), (entry("a"), b"evil"))
    files.unpack(archive(*members), str(target), same)
    assert victim.read_text() == "untouched"
    assert (target / "a").read_text() == "evil"


def test_a_hard_link_to_the_outside_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    target = tmp_path / "t"
    target.mkdir()
    with pytest.raises(ArchiveError):
        files.unpack(archive((entry("a", tarfile.LNKTYPE, "../secret"), b"")), str(target), same)


def test_devices_and_set_id_bits_do_not_come_out(tmp_path: Path) -> None:
    setuid = entry("tool")
    setuid.mode = 0o4755
    files.unpack(archive((entry("dev", tarfile.CHRTYPE), b""), (setuid, b"x")), str(tmp_path), same)
    assert not (tmp_path / "dev").exists()
    assert (tmp_path / "tool").stat().st_mode & 0o7777 == 0o755


def test_kinds_do_not_overwrite_each_other(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "f").touch()
    with pytest.raises(InvalidArgument, match="directory"):
        files.unpack(archive((entry("d"), b"x")), str(tmp_path), same)
    with pytest.raises(InvalidArgument, match="directory"):
        files.unpack(archive((entry("f", tarfile.DIRTYPE), b"")), str(tmp_path), same)


def test_a_truncated_archive_is_told(tmp_path: Path) -> None:
    whole = b"".join(archive((entry("a"), b"x" * 5000)))
    with pytest.raises(ArchiveError):
        files.unpack(iter((whole[:2000],)), str(tmp_path), same)


def test_one_file() -> None:
    assert files.only_file(files.one_file("a", b"content", 0o600), "a") == b"content"
