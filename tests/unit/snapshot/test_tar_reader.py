"""The tar reader against tarfile and GNU tar, against truncation at every block, and against noise."""

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corten.errors import ArchiveError
from corten.snapshot import tar_header as h
from corten.snapshot.limits import Limits
from corten.snapshot.tar_reader import TarReader
from tests.unit.snapshot.archives import directory, hard_link, member, reader_of, symlink, tar_of

SAMPLE = [
    directory("dir/", 0o1777, mtime=1234.5),
    member("dir/file", b"hello\n" * 1000, mode=0o4755, uid=3_000_000, gid=7, mtime=1_600_000_000.25),
    member("n" * 90 + "/" + "m" * 90, b"x"),
    member("p" * 140 + "/" + "q" * 140, b"long"),
    member("ünï/cödé", b""),
    symlink("link", "t" * 150),
    hard_link("hard", "dir/file"),
]


def as_tuples(data: bytes, piece: int = 1 << 20) -> list[tuple[object, ...]]:
    result = []
    reader = reader_of(data, piece=piece, require_end=True)
    for entry in reader:
        content = b"".join(bytes(part) for part in reader.data())
        name = entry.name.rstrip(b"/").decode()
        result.append((name, entry.type, entry.mode, entry.uid, entry.gid, entry.linkname.decode(), content))
    return result


def as_tarfile_says(data: bytes) -> list[tuple[object, ...]]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return [
            (
                info.name.rstrip("/"),
                info.type,
                info.mode,
                info.uid,
                info.gid,
                info.linkname,
                tar.extractfile(info).read() if info.isreg() else b"",  # type: ignore[union-attr]
            )
            for info in tar
        ]


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
@pytest.mark.parametrize("piece", [1 << 20, 700, 13])
def test_reads_what_tarfile_reads(format: int, piece: int) -> None:
    data = tar_of(SAMPLE, format)
    assert as_tuples(data, piece) == as_tarfile_says(data)


def test_times_keep_their_nanoseconds() -> None:
    entries = {entry.name: entry.mtime_ns for entry in reader_of(tar_of(SAMPLE))}
    assert entries[b"dir/file"] == 1_600_000_000_250_000_000


def test_xattrs_and_global_headers() -> None:
    info, data = member("f", b"x")
    info.pax_headers = {"SCHILY.xattr.user.a": "one\ntwo", "SCHILY.xattr.security.capability": "\x01\x02"}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"uid": "42"}) as tar:
        tar.addfile(info, io.BytesIO(data))
    entry = reader_of(buffer.getvalue()).next()
    assert entry is not None
    assert entry.xattrs == {b"user.a": b"one\ntwo", b"security.capability": b"\x01\x02"}
    assert entry.uid == 42


def test_base_256_numbers() -> None:
    block = bytearray(tar_of([member("f")])[:512])
    block[108:116] = b"\x80" + (5_000_000).to_bytes(7, "big")
    block[136:148] = b"\xff" + (-5).to_bytes(11, "big", signed=True)
    block[148:156] = b"%06o\0 " % h.checksum(bytes(block))
    entry = reader_of(bytes(block) + bytes(1024)).next()
    assert entry is not None
    assert (entry.uid, entry.mtime_ns) == (5_000_000, -5_000_000_000)


def test_signed_checksums_of_old_tars() -> None:
    block = bytearray(tar_of([member("é" * 20)], tarfile.GNU_FORMAT)[:512])
    block[148:156] = b"%06o\0 " % h.signed_checksum(bytes(block))
    assert sum(block[:148]) + 256 + sum(block[156:]) == h.checksum(bytes(block))
    assert reader_of(bytes(block) + bytes(1024)).next() is not None


@pytest.mark.parametrize("format", ["gnu", "0.0", "0.1", "1.0"])
def test_sparse_files_of_gnu_tar(tmp_path: Path, format: str) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        for position in range(40):  # more regions than one header holds
            file.seek(position * 1_000_000)
            file.write(b"data%d" % position)
        file.truncate(50_000_000)
    options = ["--format=gnu"] if format == "gnu" else ["--format=pax", f"--sparse-version={format}"]
    subprocess.run(["tar", "-C", tmp_path, "-S", *options, "-cf", tmp_path / "t.tar", "sparse"], check=True)
    reader = reader_of((tmp_path / "t.tar").read_bytes(), require_end=True)
    entry = reader.next()
    assert entry is not None and entry.sparse is not None
    assert (entry.name, entry.real_size) == (b"sparse", 50_000_000)
    content = bytearray(entry.real_size)
    stored = b"".join(bytes(piece) for piece in reader.data())
    for offset, length in entry.sparse:
        content[offset : offset + length], stored = stored[:length], stored[length:]
    assert bytes(content) == path.read_bytes()
    assert reader.next() is None


def test_truncation_at_every_block_is_an_error() -> None:
    data = tar_of(SAMPLE)
    end = len(data.rstrip(b"\0"))
    end += -end % 512
    for size in range(0, end + 1, 512):
        with pytest.raises(ArchiveError):
            list(reader_of(data[:size], require_end=True))
    assert len(list(reader_of(data[: end + 512], require_end=True))) == len(SAMPLE)


@pytest.mark.parametrize("skip", [False, True])
def test_an_archive_may_end_in_the_padding_of_its_last_file(skip: bool) -> None:
    """As docker's client writes one when it adds a Dockerfile from elsewhere."""
    content = bytes(range(256)) * 20_000 + b"end"
    data = tar_of([member("a", b"small"), member("b", content)])
    end = data.rindex(b"end") + 3

    def read_all(data: bytes, *, require_end: bool = False) -> list[bytes]:
        stream = io.BytesIO(data)
        jump = (lambda count: stream.seek(count, os.SEEK_CUR)) if skip else None
        reader = TarReader(lambda size: stream.read(size), skip=jump, require_end=require_end)
        return [entry.name for entry in reader]

    for size in (end, end + 100):
        assert read_all(data[:size]) == [b"a", b"b"]
        with pytest.raises(ArchiveError, match="truncated"):
            read_all(data[:size], require_end=True)
    for size in (end - 1, end - 600, end - 2_000_000):
        with pytest.raises(ArchiveError, match="truncated"):
            read_all(data[:size])


@pytest.mark.parametrize(
    ("limits", "why"),
    [
        (Limits(max_entries=3), "entries"),
        (Limits(max_path=64), "name of more than"),
        (Limits(max_bytes=100), "claims 6000 bytes"),
        (Limits(max_pax=100), "PAX header"),
    ],
)
def test_limits(limits: Limits, why: str) -> None:
    with pytest.raises(ArchiveError, match=why):
        list(reader_of(tar_of(SAMPLE), limits=limits))


def test_a_header_that_claims_petabytes_is_refused_at_once() -> None:
    info, _ = member("big")
    info.pax_headers = {"size": str(5 << 50)}
    with pytest.raises(ArchiveError, match="claims"):
        list(reader_of(tar_of([(info, b"")])))


@pytest.mark.parametrize(
    "record", [b"5 a=b\n", b"x path=b\n", b"999 path=b\n", b"6 path\n", b"0 a=b\n", b"12 size=-5\n "]
)
def test_malformed_pax_records(record: bytes) -> None:
    block = bytearray(tar_of([member("x" * 10, record)], tarfile.GNU_FORMAT))
    block[156:157] = b"x"
    block[148:156] = b"%06o\0 " % h.checksum(bytes(block[:512]))
    with pytest.raises(ArchiveError):
        list(reader_of(bytes(block[:1024]) + tar_of([member("y")])))


def test_what_is_no_tar() -> None:
    for data in (b"", b"hello", b"\x7fELF" + bytes(600), os.urandom(4096)):
        with pytest.raises(ArchiveError):
            list(reader_of(data, require_end=True))
    with pytest.raises(ArchiveError, match="this is no tar"):
        list(reader_of(b"root:x:0:0:root:/root:/bin/sh\n" * 200))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_noise_is_refused_or_read_but_never_anything_else(data: st.DataObject) -> None:
    archive = bytearray(tar_of(SAMPLE))
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(archive) - 1))
        archive[position] = data.draw(st.integers(0, 255))
    header = data.draw(st.integers(0, 12)) * 512
    archive[header + 148 : header + 156] = b"%06o\0 " % h.checksum(bytes(archive[header : header + 512]))
    try:
        reader = reader_of(bytes(archive), require_end=True)
        for _ in reader:
            for _ in reader.data():
                pass
    except ArchiveError:
        pass


_name = st.text(
    st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), min_size=1, max_size=120
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(_name, st.binary(max_size=2000), st.integers(0, 0o7777), st.integers(0, 1 << 31)),
        max_size=6,
    )
)
def test_any_archive_of_tarfile_is_read_alike(files: list[tuple[str, bytes, int, int]]) -> None:
    data = tar_of(
        [member(name.strip("/") or "x", content, mode=mode, uid=uid) for name, content, mode, uid in files]
    )
    assert as_tuples(data) == as_tarfile_says(data)
