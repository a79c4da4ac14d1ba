"""Trees into tars and back; tars that GNU tar reads; the same tree gives the same bytes."""

import os
import socket
import subprocess
import tarfile
from pathlib import Path

import pytest

from corten.snapshot.tree_packer import pack_directory, pack_upper
from tests.unit.snapshot.archives import directory, member, names, symlink, tar_of, unpack

LONG = "n" * 120


def packed(root: Path, *, upper: bool = False) -> bytes:
    pieces: list[bytes] = []
    pack = pack_upper if upper else pack_directory
    pack(str(root), lambda data: pieces.append(bytes(data)))
    return b"".join(pieces)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "dir/sub").mkdir(parents=True)
    (root / "dir/file").write_bytes(os.urandom(3_000_000))
    (root / "dir/small").write_bytes(b"x" * 513)
    (root / "dir/small").chmod(0o4755)
    os.link(root / "dir/small", root / "hard")
    (root / "soft").symlink_to("t" * 130)
    (root / LONG).mkdir()
    (root / LONG / LONG).write_text("long")
    (root / "ünï").write_text("")
    os.mkfifo(root / "pipe")
    os.setxattr(root / "dir/file", "user.k", b"a\nb\0c")
    os.utime(root / "dir/file", ns=(1, 1_234_567_890_123_456_789))
    with (root / "sparse").open("wb") as file:
        file.seek(10_000_000)
        file.write(b"middle")
        file.truncate(30_000_000)
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(root)
        listener.bind("sock")
        os.chdir(here)
    return root


def facts(root: Path) -> dict[str, tuple[object, ...]]:
    result: dict[str, tuple[object, ...]] = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        if path.is_socket():
            continue
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        xattrs = {
            name: os.getxattr(path, name, follow_symlinks=False)
            for name in os.listxattr(path, follow_symlinks=False)
        }
        result[str(path.relative_to(root))] = (
            status.st_mode,
            status.st_uid,
            status.st_gid,
            status.st_mtime_ns,
            status.st_nlink if not path.is_dir() else 0,
            content,
            tuple(sorted(xattrs.items())),
        )
    return result


def test_what_is_packed_is_unpacked_alike(tree: Path, tmp_path: Path) -> None:
    unpack(packed(tree), tmp_path / "again")
    assert facts(tmp_path / "again") == facts(tree)
    assert (tmp_path / "again/sparse").stat().st_blocks * 512 < 1_000_000


def test_gnu_tar_reads_it(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "t.tar").write_bytes(packed(tree))
    target = tmp_path / "gnu"
    target.mkdir()
    subprocess.run(
        ["tar", "-xpf", tmp_path / "t.tar", "-C", target, "--xattrs", "--numeric-owner"], check=True
    )
    assert facts(target) == facts(tree)


def test_tarfile_reads_it(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "t.tar").write_bytes(packed(tree))
    with tarfile.open(tmp_path / "t.tar") as tar:
        assert "./" not in tar.getnames() or tar.getnames()[0] in (".", "./")
        info = tar.getmember("sparse")
        assert info.size == 30_000_000 and tar.extractfile(info).read()[10_000_000:10_000_006] == b"middle"  # type: ignore[union-attr]
        assert tar.getmember(f"{LONG}/{LONG}").size == 4


def test_the_same_tree_gives_the_same_bytes(tree: Path, tmp_path: Path) -> None:
    unpack(packed(tree), tmp_path / "again")
    os.utime(tmp_path / "again", ns=(0, tree.stat().st_mtime_ns))
    assert packed(tmp_path / "again") == packed(tree)


def test_an_upper_directory_becomes_a_layer_again(tmp_path: Path) -> None:
    layer = tar_of(
        [
            directory("d"),
            member("d/.wh.gone"),
            directory("o"),
            member("o/.wh..wh..opq"),
            member("o/new", b"1"),
            symlink("s", "x"),
        ]
    )
    unpack(layer, tmp_path / "upper")
    data = packed(tmp_path / "upper", upper=True)
    unpack(data, tmp_path / "again")
    (tmp_path / "t.tar").write_bytes(data)
    with tarfile.open(tmp_path / "t.tar") as tar:
        assert tar.getnames() == ["d", "d/.wh.gone", "o", "o/.wh..wh..opq", "o/new", "s"]
    assert names(tmp_path / "again") == names(tmp_path / "upper")
    assert packed(tmp_path / "again", upper=True) == data


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, (1 << 20) - 1, 1 << 20, (1 << 20) + 1])
def test_sizes_around_blocks_and_pieces(tmp_path: Path, size: int) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/f").write_bytes(os.urandom(size))
    data = packed(tmp_path / "tree")
    assert len(data) % 512 == 0
    unpack(data, tmp_path / "again")
    assert (tmp_path / "again/f").read_bytes() == (tmp_path / "tree/f").read_bytes()
