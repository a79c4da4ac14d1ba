"""`docker cp`: headers, names in tars, unpacking, and links that must not lead out of the root."""

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from corten.errors import ArchiveError, InvalidArgument, NotFound
from corten.snapshot import archive
from tests.unit.snapshot.archives import directory, hard_link, member, read_from, symlink, tar_of


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\nweb:x:33:34::/:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\nstaff:x:50:\n")
    (root / "data/sub").mkdir(parents=True)
    (root / "data/f").write_text("hello")
    (root / "link").symlink_to("/data")
    (root / "out").symlink_to("../../../../../../../../tmp")
    (root / "abs").symlink_to(tmp_path)
    (root / "round").symlink_to("round")
    return root


@pytest.fixture
def root_fd(tree: Path) -> Iterator[int]:
    fd = os.open(tree, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def names_of(root_fd: int, path: str) -> list[str]:
    pieces: list[bytes] = []
    archive.pack_path(root_fd, path, lambda data: pieces.append(bytes(data)))
    with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as tar:
        return tar.getnames()


def put(root_fd: int, path: str, data: bytes, **options: object) -> None:
    archive.unpack_path(root_fd, path, read_from(data), **options)  # type: ignore[arg-type]


def test_stat(root_fd: int, tree: Path) -> None:
    (tree / "data/f").chmod(0o4644)
    os.utime(tree / "data/f", ns=(0, 1_500_000_000))
    assert archive.stat_path(root_fd, "/data/f") == archive.PathStat(
        "f", 5, 0o644 | 1 << 23, "1970-01-01T00:00:01.5Z", ""
    )
    assert archive.stat_path(root_fd, "data").mode & 1 << 31
    link = archive.stat_path(root_fd, "/link")
    assert (link.link_target, bool(link.mode & 1 << 27)) == ("/data", True)
    assert archive.stat_path(root_fd, "/link/").mode & 1 << 31
    assert archive.stat_path(root_fd, "/link/f").size == 5
    assert archive.stat_path(root_fd, "/data/../data/./f").name == "f"
    assert archive.stat_path(root_fd, "/").name == "/"


@pytest.mark.parametrize("path", ["/nope", "/data/f/x", "/round/x", "/abs/root", "/nope/x", "/round/"])
def test_what_is_not_there(root_fd: int, path: str) -> None:
    with pytest.raises(NotFound, match="Could not find the file"):
        archive.stat_path(root_fd, path)


def test_a_slash_behind_a_file(root_fd: int) -> None:
    with pytest.raises(InvalidArgument, match="not a directory"):
        archive.stat_path(root_fd, "/data/f/")


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/data", ["data", "data/f", "data/sub"]),
        ("/data/", ["data", "data/f", "data/sub"]),
        ("/data/.", [".", "./f", "./sub"]),
        ("/link/.", [".", "./f", "./sub"]),
        ("/link", ["link"]),
        ("/link/f", ["f"]),
        ("/data/f", ["f"]),
    ],
)
def test_names_in_the_tar(root_fd: int, path: str, names: list[str]) -> None:
    assert names_of(root_fd, path) == names


def test_the_whole_tree(root_fd: int) -> None:
    assert {"/etc/passwd", "/data/f"} <= {"/" + name.lstrip("/") for name in names_of(root_fd, "/")}
    pieces: list[bytes] = []
    archive.pack_tree(root_fd, lambda data: pieces.append(bytes(data)))
    with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as tar:
        assert tar.getnames()[:3] == ["abs", "data", "data/f"]


def test_unpack(root_fd: int, tree: Path) -> None:
    put(
        root_fd,
        "/data",
        tar_of([directory("."), directory("new", 0o750), member("new/x", b"1"), member(".wh.f", b"w")]),
    )
    assert (tree / "data/new/x").read_bytes() == b"1"
    assert (tree / "data/.wh.f").read_bytes() == b"w"
    assert (tree / "data/f").read_text() == "hello"
    assert (tree / "data/new").stat().st_mode & 0o777 == 0o750


def test_unpack_compressed(root_fd: int, tree: Path) -> None:
    import gzip

    put(root_fd, "/", gzip.compress(tar_of([member("z", b"1")])))
    assert (tree / "z").exists()


def test_unpack_through_links_stays_beneath_the_root(root_fd: int, tree: Path, tmp_path: Path) -> None:
    put(root_fd, "/link/sub", tar_of([member("a", b"1")]))
    assert (tree / "data/sub/a").exists()
    put(root_fd, "/", tar_of([member("link/b", b"1"), member("out/c", b"1"), member("abs/d", b"1")]))
    assert (tree / "data/b").exists() and (tree / "tmp/c").exists()
    assert not (tmp_path / "d").exists() and not Path("/tmp/c").exists()


def test_unpack_refuses(root_fd: int, tree: Path) -> None:
    with pytest.raises(NotFound):
        put(root_fd, "/nope", tar_of([member("a")]))
    with pytest.raises(InvalidArgument, match="not a directory"):
        put(root_fd, "/data/f", tar_of([member("a")]))
    with pytest.raises(ArchiveError):
        put(root_fd, "/data", tar_of([member("../x")]))
    with pytest.raises(ArchiveError):
        put(root_fd, "/data", tar_of([member("a", b"x" * 2000)])[:1024])
    with pytest.raises(ArchiveError):
        put(root_fd, "/data", tar_of([hard_link("h", "../etc/passwd")]))


def test_a_directory_is_not_replaced_when_that_is_forbidden(root_fd: int, tree: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"cannot overwrite directory '/data/sub' with non-directory"):
        put(root_fd, "/data", tar_of([member("sub", b"x")]), no_overwrite_dir_non_dir=True)
    with pytest.raises(InvalidArgument, match=r"cannot overwrite non-directory '/data/f' with directory"):
        put(root_fd, "/data", tar_of([directory("f")]), no_overwrite_dir_non_dir=True)
    put(root_fd, "/data", tar_of([member("f", b"new")]), no_overwrite_dir_non_dir=True)
    assert (tree / "data/f").read_text() == "new"
    put(root_fd, "/data", tar_of([member("sub", b"x")]))
    assert (tree / "data/sub").is_file()


@pytest.mark.root
@pytest.mark.parametrize(
    ("user", "owner"),
    [
        ("web", (33, 34)),
        ("33", (33, 34)),
        ("web:staff", (33, 50)),
        ("1000", (1000, 0)),
        ("1000:7", (1000, 7)),
        ("", (5, 6)),
    ],
)
def test_owners(root_fd: int, tree: Path, user: str, owner: tuple[int, int]) -> None:
    put(
        root_fd,
        "/data",
        tar_of([member("o", b"x", uid=5, gid=6), symlink("l", "o")]),
        copy_uid_gid=True,
        user=user,
    )
    assert ((tree / "data/o").stat().st_uid, (tree / "data/o").stat().st_gid) == owner
    assert (tree / "data/l").lstat().st_uid == (owner[0] if user else 0)


def test_unknown_users(root_fd: int) -> None:
    for user, words in (("nobody", "unable to find user"), ("web:none", "unable to find group")):
        with pytest.raises(InvalidArgument, match=words):
            put(root_fd, "/data", tar_of([member("o")]), copy_uid_gid=True, user=user)
