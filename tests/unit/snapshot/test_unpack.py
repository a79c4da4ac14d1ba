"""Unpacking layers: what belongs to the format, and what hostile archives try."""

import os
import stat
import tarfile
from pathlib import Path

import pytest

from corten.errors import ArchiveError
from corten.snapshot.limits import Limits
from corten.snapshot.tree import remove_tree
from tests.unit.snapshot.archives import (
    device,
    directory,
    hard_link,
    member,
    names,
    symlink,
    tar_of,
    unpack,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("secret")
    return tmp_path / "root"


def is_whiteout(path: Path) -> bool:
    status = path.lstat()
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def is_opaque(path: Path) -> bool:
    attributes = ("trusted.overlay.opaque", "user.overlay.opaque")
    return any(name in attributes and os.getxattr(path, name) == b"y" for name in os.listxattr(path))


def test_files_directories_links_modes_and_times(root: Path) -> None:
    done = unpack(
        tar_of(
            [
                directory("d", 0o1750, mtime=1000.125),
                member("d/f", b"data", mode=0o4711, mtime=2000.5),
                hard_link("d/hard", "d/f"),
                symlink("d/soft", "../d/f"),
                member("d/pipe", type=tarfile.FIFOTYPE, mode=0o622),
            ]
        ),
        root,
    )
    assert names(root) == ["d", "d/f", "d/hard", "d/pipe", "d/soft"]
    assert stat.S_IMODE((root / "d").stat().st_mode) == 0o1750
    assert (root / "d").stat().st_mtime_ns == 1000_125_000_000
    status = (root / "d/f").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_mtime_ns, status.st_nlink) == (
        0o4711,
        2000_500_000_000,
        2,
    )
    assert os.readlink(root / "d/soft") == "../d/f"
    assert stat.S_ISFIFO((root / "d/pipe").lstat().st_mode)
    assert stat.S_IMODE((root / "d/pipe").lstat().st_mode) == 0o622
    assert (done.size, done.inodes, done.implied) == (4, 4, [b""])


def test_parents_that_no_entry_describes_are_made_and_told(root: Path) -> None:
    done = unpack(tar_of([member("a/b/c"), directory("a/b", 0o700)]), root)
    assert done.implied == [b"", b"a"]
    assert stat.S_IMODE((root / "a/b").stat().st_mode) == 0o700


def test_whiteouts(root: Path) -> None:
    unpack(tar_of([directory("d"), member("d/.wh.gone"), member(".wh.top"), member("d/kept", b"x")]), root)
    assert is_whiteout(root / "d/gone") and is_whiteout(root / "top")
    assert names(root) == ["d", "d/gone", "d/kept", "top"]


def test_opaque_directories(root: Path) -> None:
    unpack(
        tar_of([directory("d"), member("d/.wh..wh..opq"), member("d/new", b"x"), member("d/.wh..wh.plnk")]),
        root,
    )
    assert is_opaque(root / "d")
    assert names(root) == ["d", "d/new"]


def test_a_whiteout_does_not_hide_what_its_own_layer_has(root: Path) -> None:
    unpack(tar_of([member("f", b"x"), member(".wh.f"), directory("d"), member("d/x"), member(".wh.d")]), root)
    assert (root / "f").read_bytes() == b"x"
    assert names(root) == ["d", "d/x", "f"]
    assert is_opaque(root / "d")


@pytest.mark.parametrize("entries", [[directory("d"), member("d/new")], [member("d/new")]])
def test_a_directory_in_a_whiteouts_place_hides_the_one_below(root: Path, entries: list[object]) -> None:
    unpack(tar_of([member(".wh.d"), *entries]), root)  # type: ignore[list-item]
    assert is_opaque(root / "d")
    assert names(root) == ["d", "d/new"]


@pytest.mark.parametrize(
    ("layer", "found"),
    [
        ([member(".wh.d"), member("d/.wh.d")], ["d", "d/d"]),
        ([member("d/.wh.d"), member(".wh.d")], ["d", "d/d"]),
        ([member(".wh.d"), member("d/.wh..wh..opq")], ["d"]),
        ([member(".wh.d"), member("d/.wh..wh.plnk")], ["d"]),
        ([member(".wh.d"), member("d/e/.wh.f")], ["d", "d/e", "d/e/f"]),
        ([member(".wh.d"), symlink("l", "d"), member("l/x")], ["d", "d/x", "l"]),
        ([member(".wh.d"), symlink("l", "/d"), member("l/.wh.x")], ["d", "d/x", "l"]),
        ([member(".wh.w"), hard_link("d", "w"), member("d/x")], ["d", "d/x", "w"]),
    ],
)
def test_the_parent_of_any_entry_takes_its_whiteouts_place(
    root: Path, layer: list[tuple[tarfile.TarInfo, bytes]], found: list[str]
) -> None:
    done = unpack(tar_of(layer), root)
    assert names(root) == found
    assert is_opaque(root / "d")
    assert b"d" in done.implied


def test_a_file_in_a_whiteouts_place_is_no_parent(root: Path) -> None:
    with pytest.raises(ArchiveError, match="used as a directory"):
        unpack(tar_of([member(".wh.d"), member("d"), member("d/.wh.x")]), root)


def test_a_hard_link_in_the_place_of_its_targets_parent(root: Path) -> None:
    with pytest.raises(ArchiveError, match="which the archive does not hold"):
        unpack(tar_of([member("a/b"), hard_link("a", "a/b")]), root)


def test_whiteouts_go_with_the_directory_that_they_were_in(root: Path) -> None:
    unpack(tar_of([member("d/.wh.x"), member("d"), directory("d"), directory("d/x")]), root)
    assert names(root) == ["d", "d/x"]
    assert not is_opaque(root / "d/x")


def test_duplicate_names_the_last_one_wins(root: Path) -> None:
    unpack(
        tar_of(
            [
                member("a", b"one"),
                member("a", b"two", mode=0o600),
                directory("b"),
                member("b/x"),
                member("b", b"file"),
                symlink("c", "a"),
                directory("c", 0o700),
                directory("d"),
                member("d/kept"),
                directory("d", 0o711),
            ]
        ),
        root,
    )
    assert (root / "a").read_bytes() == b"two"
    assert (root / "b").read_bytes() == b"file"
    assert not (root / "c").is_symlink() and (root / "c").is_dir()
    assert stat.S_IMODE((root / "d").stat().st_mode) == 0o711 and (root / "d/kept").exists()


def test_absolute_names_lose_their_slash(root: Path) -> None:
    unpack(tar_of([member("/etc/x", b"in"), member("./././y"), member("//z")]), root)
    assert names(root) == ["etc", "etc/x", "y", "z"]


@pytest.mark.parametrize("name", ["../x", "a/../../x", "a/..", "..", "/../x"])
def test_dot_dot_is_refused(root: Path, name: str) -> None:
    with pytest.raises(ArchiveError, match=r"'\.\.'"):
        unpack(tar_of([directory("a"), member(name, b"evil")]), root)
    assert not (root.parent / "x").exists()


@pytest.mark.parametrize("target", ["../outside", "../../../../../../../../{outside}", "{outside}", "/"])
def test_a_link_as_a_parent_stays_beneath_the_root(root: Path, target: str) -> None:
    target = target.format(outside=root.parent / "outside")
    unpack(
        tar_of([symlink("link", target), member("link/secret", b"evil"), member("link/new", b"evil")]), root
    )
    assert (root.parent / "outside/secret").read_text() == "secret"
    assert not (root.parent / "outside/new").exists()
    assert not Path("/new").exists()


def test_a_link_to_a_directory_of_the_same_layer_is_followed(root: Path) -> None:
    unpack(
        tar_of(
            [directory("usr/lib"), symlink("lib", "usr/lib"), member("lib/x", b"1"), hard_link("h", "lib/x")]
        ),
        root,
    )
    assert (root / "usr/lib/x").read_bytes() == b"1"
    assert (root / "h").stat().st_nlink == 2


def test_links_that_go_round(root: Path) -> None:
    with pytest.raises(ArchiveError, match="round"):
        unpack(tar_of([symlink("a", "b"), symlink("b", "a"), member("a/x")]), root)


def test_a_file_as_a_parent(root: Path) -> None:
    with pytest.raises(ArchiveError, match="used as a directory"):
        unpack(tar_of([member("f", b"x"), member("f/x")]), root)


@pytest.mark.parametrize("target", ["../outside/secret", "missing", "/etc/passwd", "", "d"])
def test_hard_links_out_of_the_archive_are_refused(root: Path, target: str) -> None:
    with pytest.raises(ArchiveError):
        unpack(tar_of([directory("d"), hard_link("l", target)]), root)
    assert (root.parent / "outside/secret").stat().st_nlink == 1


def test_a_hard_link_through_a_link_stays_beneath_the_root(root: Path) -> None:
    outside = root.parent / "outside"
    with pytest.raises(ArchiveError):
        unpack(tar_of([symlink("out", str(outside)), hard_link("l", "out/secret")]), root)
    assert (outside / "secret").stat().st_nlink == 1


def test_a_hard_link_to_a_link_is_the_link_itself(root: Path) -> None:
    unpack(tar_of([symlink("s", str(root.parent / "outside/secret")), hard_link("l", "s")]), root)
    assert os.readlink(root / "l") == str(root.parent / "outside/secret")


def test_a_hard_link_to_itself_changes_nothing(root: Path) -> None:
    unpack(tar_of([member("f", b"x"), hard_link("f", "f")]), root)
    assert (root / "f").read_bytes() == b"x"


def test_writing_over_a_hard_link_does_not_change_its_other_name(root: Path) -> None:
    unpack(tar_of([member("a", b"old"), hard_link("b", "a"), member("b", b"new")]), root)
    assert ((root / "a").read_bytes(), (root / "b").read_bytes()) == (b"old", b"new")


def test_overlays_own_xattrs_are_not_taken(root: Path) -> None:
    info, data = member("f", b"x")
    info.pax_headers = {"SCHILY.xattr.trusted.overlay.redirect": "/etc", "SCHILY.xattr.user.mine": "1"}
    unpack(tar_of([(info, data)]), root)
    assert [name for name in os.listxattr(root / "f") if "overlay" in name] == []
    assert os.getxattr(root / "f", "user.mine") == b"1"


@pytest.mark.parametrize("name", [".wh.", ".wh..", ".wh...", "d/.wh."])
def test_whiteouts_of_nothing(root: Path, name: str) -> None:
    with pytest.raises(ArchiveError, match="whiteout"):
        unpack(tar_of([member(name)]), root)


def test_a_file_in_the_roots_place(root: Path) -> None:
    with pytest.raises(ArchiveError, match="replace the root"):
        unpack(tar_of([symlink("./", "/etc")]), root)


def test_names_and_depths_that_are_too_long(root: Path) -> None:
    with pytest.raises(ArchiveError, match="component"):
        unpack(tar_of([member("x" * 300)]), root)
    unpack(
        tar_of([member("/".join(["d"] * 1500) + "/f", b"deep"), member("/".join(["d"] * 700) + "/g")]), root
    )
    with pytest.raises(ArchiveError, match="name of more"):
        unpack(tar_of([member("/".join(["d"] * 2100))]), root)
    remove_tree(str(root))  # too deep for shutil's recursion
    assert not root.exists()


def test_entry_limit(root: Path) -> None:
    with pytest.raises(ArchiveError, match="entries"):
        unpack_limited(tar_of([member(f"f{i}") for i in range(20)]), root, Limits(max_entries=10))


def unpack_limited(data: bytes, root: Path, limits: Limits) -> None:
    from corten.snapshot.overlay_marks import probe
    from corten.snapshot.unpack import Unpacker
    from tests.unit.snapshot.archives import reader_of

    root.mkdir()
    fd = os.open(root, os.O_RDONLY)
    try:
        Unpacker(fd, probe(str(root.parent)), limits=limits).unpack(reader_of(data, limits=limits))
    finally:
        os.close(fd)


@pytest.mark.root
def test_owners_devices_and_capabilities(root: Path) -> None:
    info, data = member("ping", b"x", mode=0o755, uid=12, gid=34)
    capability = bytes.fromhex("0100000200200000000000000000000000000000")
    info.pax_headers = {"SCHILY.xattr.security.capability": capability.decode("latin-1")}
    unpack(
        tar_of(
            [
                device("null", 1, 3),
                (info, data),
                directory("sg", 0o2775, gid=50),
                member("sg/f", uid=0, gid=0),
            ]
        ),
        root,
    )
    status = (root / "null").lstat()
    assert stat.S_ISCHR(status.st_mode) and status.st_rdev == os.makedev(1, 3)
    assert ((root / "ping").stat().st_uid, (root / "ping").stat().st_gid) == (12, 34)
    assert os.getxattr(root / "ping", "security.capability") == capability
    assert (root / "sg").stat().st_mode & 0o7777 == 0o2775
    assert (root / "sg/f").stat().st_gid == 0


@pytest.mark.root
def test_an_ordinary_user_gets_a_note_instead_of_a_device(root: Path) -> None:
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.chmod(root.parent, 0o777)
            for parent in root.parent.parents:
                if str(parent).startswith("/tmp/"):
                    os.chmod(parent, 0o755)
            os.setgid(65534)
            os.setuid(65534)
            done = unpack(tar_of([device("null", 1, 3), member("f", b"x", uid=1)]), root)
            status = 0 if names(root) == ["f"] and "device 'null' left out" in done.notes[0] else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
