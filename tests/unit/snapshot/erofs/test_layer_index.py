"""From a layer to an image: what stands in it, what is refused, and that it is the same every time."""

import os
import shutil
import stat
import struct
import subprocess
import tarfile
from pathlib import Path

import pytest

from corten.errors import ArchiveError, IntegrityError
from corten.snapshot.erofs.image_reader import ImageReader, check
from corten.snapshot.limits import Limits
from tests.unit.snapshot.archives import device, directory, hard_link, member, symlink, tar_of
from tests.unit.snapshot.erofs.images import contents, index, listing

ACL = struct.pack("<IHHIHHIHHI", 2, 1, 7, 0xFFFFFFFF, 4, 5, 0xFFFFFFFF, 0x20, 5, 0xFFFFFFFF)
CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")


@pytest.fixture(params=[False, True], ids=["copied", "in-tar"])
def in_tar(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return tmp_path / "layer.erofs"


def with_xattrs(name: str, xattrs: dict[str, bytes], **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info, data = member(name, **fields)
    info.pax_headers = {
        f"SCHILY.xattr.{key}": value.decode("utf-8", "surrogateescape") for key, value in xattrs.items()
    }
    return info, data


def rich() -> bytes:
    return tar_of(
        [
            directory("d", 0o1750, mtime=1000.125, uid=5),
            member("d/f", b"data" * 3000, mode=0o4711, mtime=-1.5, uid=70_000, gid=3),
            hard_link("d/hard", "d/f"),
            symlink("d/soft", "../d/f"),
            member("d/pipe", type=tarfile.FIFOTYPE, mode=0o622),
            device("d/null", 1, 3),
            device("d/far", 259, 70_000),
            member("empty", mtime=2**33),
            member("deep/er/file", b"x"),
        ]
    )


def test_every_kind_of_inode(image: Path, in_tar: bool) -> None:
    done = index(rich(), image, in_tar=in_tar)
    assert (done.size, done.inodes) == (12_001, 10)
    assert [path for path, _offset in done.implied] == [b"", b"deep", b"deep/er"]
    found = listing(image)
    assert found["d"] == ("0o41750", 5, 0, 0, 1000_125_000_000, 2, (0, 0), b"", ())
    assert found["d/f"] == ("0o104711", 70_000, 3, 12_000, -1_500_000_000, 2, (0, 0), b"", ())
    assert found["d/hard"] == found["d/f"]
    assert found["d/soft"][0] == "0o120777"
    assert found["d/soft"][7] == b"../d/f"
    assert found["d/pipe"][0] == "0o10622"
    assert (found["d/null"][6], found["d/far"][6]) == ((1, 3), (259, 70_000))
    assert found["empty"][3:5] == (0, 2**33 * 10**9)
    assert found["deep"][:5] == ("0o40755", 0, 0, 0, 0)
    assert contents(image, "d/hard") == b"data" * 3000
    assert check(image, device_size=image.with_suffix(".tar").stat().st_size if in_tar else 0) == 11


def test_deterministic_however_the_stream_is_cut(image: Path, tmp_path: Path, in_tar: bool) -> None:
    from corten.snapshot.erofs.layer_index import index_layer
    from tests.unit.snapshot.archives import reader_of

    data = rich()
    index(data, image, in_tar=in_tar)
    other = tmp_path / "other.erofs"
    fd = os.open(other, os.O_RDWR | os.O_CREAT)
    index_layer(reader_of(data, piece=700), fd, device_size=(lambda: len(data)) if in_tar else None)
    os.close(fd)
    assert other.read_bytes() == image.read_bytes()


@pytest.mark.skipif(shutil.which("fsck.erofs") is None, reason="erofs-utils is not installed")
def test_fsck_erofs_agrees(image: Path) -> None:
    many = [member(f"many/{number:05}-{'n' * (number % 200)}", b"x" * number) for number in range(600)]
    links = [symlink(f"link{size}", "t" * size) for size in (1, 100, 3900, 4000, 4050, 4080, 4095)]
    marked = [with_xattrs(f"x{n}", {"user.same": b"v", "user.own": b"%d" % n * 300}) for n in range(20)]
    index(tar_of([*many, *links, *marked, *map_rich()]), image)
    subprocess.run(["fsck.erofs", image], check=True)
    assert check(image) > 600


def map_rich() -> list[tuple[tarfile.TarInfo, bytes]]:
    return [directory("d"), member("d/.wh.gone"), member("d/.wh..wh..opq"), device("d/null", 1, 3)]


def test_attributes_shared_and_inline(image: Path, in_tar: bool) -> None:
    shared = {"user.common": b"c" * 100, "security.capability": CAPABILITY}
    layer = [with_xattrs(f"f{n}", {**shared, "user.own": b"%d" % n}) for n in range(50)]
    index(tar_of([*layer, with_xattrs("big", {"user.big": b"b" * 40_000})]), image, in_tar=in_tar)
    found = listing(image)
    for number in range(50):
        assert dict(found[f"f{number}"][8]) == {  # type: ignore[arg-type]
            b"user.common": b"c" * 100,
            b"security.capability": CAPABILITY,
            b"user.own": b"%d" % number,
        }
    assert found["big"][8] == ((b"user.big", b"b" * 40_000),)
    assert image.stat().st_size < 40_000 + 50 * 300 + 20_000


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("user.x", b"", True),
        ("system.posix_acl_access", ACL, True),
        ("system.posix_acl_access", ACL[:-8], False),
        ("system.posix_acl_access", b"\2\0\0\0", False),
        ("system.posix_acl_default", ACL, False),  # of a file
        ("security.capability", b"garbage", False),
        ("security.selinux", b"label", True),
        ("trusted.other", b"v", True),
        ("trusted.overlay.redirect", b"/etc", False),
        ("user.overlay.opaque", b"y", False),
        ("system.other", b"v", False),
        ("user.", b"v", False),
        ("nonsense", b"v", False),
        ("user.long", b"v" * 70_000, False),
    ],
)
def test_only_attributes_that_the_kernel_takes(image: Path, name: str, value: bytes, kept: bool) -> None:
    index(tar_of([with_xattrs("f", {name: value})]), image)
    assert dict(listing(image)["f"][8]) == ({name.encode(): value} if kept else {})  # type: ignore[arg-type]


def test_user_attributes_are_for_files_and_directories(image: Path) -> None:
    info, _ = symlink("l", "x")
    info.pax_headers = {"SCHILY.xattr.user.a": "v", "SCHILY.xattr.trusted.b": "v"}
    done = index(tar_of([(info, b"")]), image)
    assert listing(image)["l"][8] == ((b"trusted.b", b"v"),)
    assert "user.a" in done.notes[0]


def test_whiteouts_and_opaque_directories(image: Path, in_tar: bool) -> None:
    index(
        tar_of(
            [
                directory("a"),
                member("a/.wh..wh..opq"),
                member(".wh.gone"),
                member("b/f"),
                member(".wh.b"),  # the layer has it itself: only what is below is hidden
                member(".wh.c"),
                directory("c"),
                member(".wh.e"),
                member("e/f"),
                member(".wh.g"),
                member("g"),
                member(".wh..wh.plnk"),
            ]
        ),
        image,
        in_tar=in_tar,
    )
    found = listing(image)
    opaque = ((b"trusted.overlay.opaque", b"y"),)
    assert {name for name, fact in found.items() if fact[8] == opaque} == {"a", "b", "c", "e"}
    with ImageReader(image) as reader:
        whiteouts = {os.fsdecode(item.path) for item in reader.walk() if item.inode.is_whiteout}
    assert whiteouts == {"gone"}
    assert stat.S_ISREG(int(str(found["g"][0]), 8))
    assert set(found) == {"", "a", "gone", "b", "b/f", "c", "e", "e/f", "g"}


def test_the_parent_of_a_whiteout_takes_a_whiteouts_place(image: Path, in_tar: bool) -> None:
    index(tar_of([member(".wh.a"), member("a/.wh.a")]), image, in_tar=in_tar)
    found = listing(image)
    assert set(found) == {"", "a", "a/a"}
    assert found["a"][8] == ((b"trusted.overlay.opaque", b"y"),)


def test_duplicates_and_changed_types(image: Path, in_tar: bool) -> None:
    index(
        tar_of(
            [
                member("f", b"old"),
                hard_link("kept", "f"),
                member("f", b"new"),
                directory("d"),
                member("d/inside", b"x"),
                member("d", b"a file now"),
                member("g", b"x"),
                directory("g"),
                member("g/inside", b"y"),
                directory("h", 0o700),
                member("h/stays", b"z"),
                directory("h", 0o711),
            ]
        ),
        image,
        in_tar=in_tar,
    )
    found = listing(image)
    assert set(found) == {"", "f", "kept", "d", "g", "g/inside", "h", "h/stays"}
    assert (contents(image, "f"), contents(image, "kept"), contents(image, "d")) == (
        b"new",
        b"old",
        b"a file now",
    )
    assert found["kept"][5] == 1
    assert found["h"][0] == "0o40711"


def test_links_as_parents_stay_beneath_the_root(image: Path) -> None:
    index(
        tar_of(
            [
                directory("real"),
                symlink("abs", "/real"),
                symlink("up", "../../../real"),
                member("abs/one", b"1"),
                member("up/two", b"2"),
                member("/etc/x", b"3"),
            ]
        ),
        image,
    )
    assert {"real/one", "real/two", "etc/x"} <= set(listing(image))


@pytest.mark.parametrize(
    "layer",
    [
        [member("../x")],
        [member("a/../../x")],
        [member("", b"x")],
        [hard_link("l", "missing")],
        [hard_link("l", "../../etc/passwd")],
        [hard_link("l", "/")],
        [directory("d"), hard_link("l", "d")],
        [symlink("a", "b"), symlink("b", "a"), member("a/f")],
        [symlink("a", "a"), member("a/f")],
        [member("f"), member("f/below")],
        [member("n" * 256)],
        [symlink("l", "")],
        [device("d", 5000, 1)],
        [member("d/.wh.")],
        [member("d/.wh...")],
    ],
    ids=lambda layer: " and ".join(f"{entry.name}-{entry.type.decode()}"[:40] for entry, _content in layer),
)
def test_refused(image: Path, layer: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    with pytest.raises(ArchiveError):
        index(tar_of(layer), image)


def test_a_header_that_claims_petabytes(image: Path) -> None:
    info, _ = member("huge")
    info.size = 1 << 50
    block = info.tobuf(tarfile.GNU_FORMAT)
    with pytest.raises(ArchiveError, match="claims"):
        index(block + bytes(1024), image)


def test_too_many_entries(image: Path) -> None:
    with pytest.raises(ArchiveError, match="limit of 10"):
        index(tar_of([member(f"f{n}") for n in range(20)]), image, limits=Limits(max_entries=10))


def sparse_tar(tmp_path: Path, format: str, size: int, regions: dict[int, bytes]) -> bytes:
    (tmp_path / "s").mkdir()
    with (tmp_path / "s/sparse").open("wb") as file:
        for offset, data in regions.items():
            file.seek(offset)
            file.write(data)
        file.truncate(size)
    command = ["tar", *format.split(), "-S", "-C", str(tmp_path / "s"), "-cf", "-", "sparse"]
    return subprocess.run(command, check=True, capture_output=True).stdout


@pytest.mark.parametrize(
    "format",
    ["--format=gnu", *(f"--format=pax --sparse-version={version}" for version in ("0.0", "0.1", "1.0"))],
)
def test_sparse_files_keep_their_holes(image: Path, tmp_path: Path, in_tar: bool, format: str) -> None:
    regions = {0: b"start", 5_000_000: b"m" * 9000, 40_000_000: b"e" * 4096}
    data = sparse_tar(tmp_path, format, 50_000_000, regions)
    assert len(data) < 100_000
    index(data, image, in_tar=in_tar)
    assert contents(image, "sparse") == (tmp_path / "s/sparse").read_bytes()
    assert image.stat().st_blocks * 512 < 200_000


def test_a_huge_hole_costs_nothing(image: Path, tmp_path: Path, in_tar: bool) -> None:
    data = sparse_tar(tmp_path, "--format=pax", 1 << 42, {1 << 41: b"x" * 4096})
    index(data, image, in_tar=in_tar)
    assert listing(image)["sparse"][3] == 1 << 42
    assert image.stat().st_blocks * 512 < 2_000_000


def test_a_directory_of_many_blocks(image: Path, in_tar: bool) -> None:
    names = [f"{'ab' * (n % 100)}{n}" for n in range(3000)]
    index(tar_of([member(f"d/{name}") for name in names]), image, in_tar=in_tar)
    with ImageReader(image) as reader:
        inode = reader.find(b"d")
        assert inode is not None
        assert {name.decode() for name, _nid, _type in reader.directory(inode)} == {*names, ".", ".."}


@pytest.mark.parametrize("offset", [1024, 1028, 1040, 1064])
def test_a_damaged_superblock(image: Path, offset: int) -> None:
    index(rich(), image)
    data = bytearray(image.read_bytes())
    data[offset] ^= 1
    image.write_bytes(data)
    with pytest.raises(IntegrityError):
        check(image)


def test_damage_anywhere_makes_an_integrity_error_or_none(image: Path) -> None:
    index(rich(), image)
    data = image.read_bytes()
    for offset in range(4096, len(data), 61):
        damaged = bytearray(data)
        damaged[offset] ^= 0xFF
        image.write_bytes(damaged)
        try:
            check(image)
        except IntegrityError:
            pass
