"""eStargz layers: parsed again by a reader that knows the document alone."""

from __future__ import annotations

import gzip
import hashlib
import io
import random
import subprocess
import tarfile
from pathlib import Path

import pytest

from corten.errors import ArchiveError, Unsupported
from corten.image.estargz.toc import Facts
from corten.image.estargz.writer import CHUNK, write_estargz
from tests.unit.image.estargz.estargz_reader import files, member, toc, toc_offset

NOISE = random.Random(4).randbytes(2 * CHUNK + 5)
CONTENTS = {
    "empty": b"",
    "small": b"hello\n",
    "a/one": bytes(CHUNK),
    "a/two": NOISE,
    "a/even": NOISE[: 2 * CHUNK],
    "a/block": b"x" * 512,
    "a/" + "long" * 60: b"name",
}


def make_tar(contents: dict[str, bytes] = CONTENTS) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as archive:
        directory = tarfile.TarInfo("a/")
        directory.type, directory.mode, directory.mtime = tarfile.DIRTYPE, 0o1755, 1_600_000_000
        archive.addfile(directory)
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size, info.uid, info.gid, info.mode = len(content), 7, 70000, 0o4711
            info.mtime = 1_600_000_000.6
            info.uname, info.pax_headers = "games", {"SCHILY.xattr.user.k": "v"}
            archive.addfile(info, io.BytesIO(content))
        for kind, link in ((tarfile.SYMTYPE, "small"), (tarfile.LNKTYPE, "small"), (tarfile.CHRTYPE, "")):
            info = tarfile.TarInfo(f"kind-{kind.decode()}")
            info.type, info.linkname, info.devmajor, info.devminor = kind, link, 5, 1
            archive.addfile(info)
    return data.getvalue()


def convert(tar: bytes, level: int = 2, piece: int = 1 << 20) -> tuple[bytes, Facts]:
    out: list[bytes] = []
    source = io.BytesIO(tar)
    facts = write_estargz(lambda size: source.read(min(size, piece)), out.append, level)
    return b"".join(out), facts


def test_every_file_is_found_by_the_table_of_contents() -> None:
    tar = make_tar()
    blob, facts = convert(tar)
    table, digest = toc(blob)
    assert table["version"] == 1
    assert files(blob) == {**CONTENTS, ".no.prefetch.landmark": b"\x0f"}
    assert digest == facts.toc_digest
    plain = gzip.decompress(blob)
    assert plain.startswith(tar)
    assert facts.diff_id == f"sha256:{hashlib.sha256(plain).hexdigest()}"
    assert facts.size == len(plain)


def test_entries_say_what_the_tar_says() -> None:
    table, _ = toc(convert(make_tar())[0])
    entries = {entry["name"]: entry for entry in table["entries"] if entry["type"] != "chunk"}
    with tarfile.open(fileobj=io.BytesIO(make_tar())) as archive:
        assert list(entries)[:-1] == [info.name + ("/" if info.isdir() else "") for info in archive]
    assert entries["a/"]["mode"] == 0o1755
    assert entries["a/"]["modtime"] == "2020-09-13T12:26:40Z"
    small = entries["small"]
    assert (small["uid"], small["gid"], small["mode"], small["userName"]) == (7, 70000, 0o4711, "games")
    assert small["modtime"] == "2020-09-13T12:26:41Z"
    assert small["xattrs"] == {"user.k": "dg=="}
    assert "chunkSize" not in small
    assert "chunkSize" not in entries["a/one"]
    assert entries["a/two"]["chunkSize"] == CHUNK
    assert entries["kind-2"]["linkName"] == entries["kind-1"]["linkName"] == "small"
    assert (entries["kind-3"]["type"], entries["kind-3"]["devMajor"], entries["kind-3"]["devMinor"]) == (
        "char",
        5,
        1,
    )


def test_members_begin_where_the_format_wants_them() -> None:
    blob, _ = convert(make_tar())
    table, _ = toc(blob)
    offsets = [entry["offset"] for entry in table["entries"] if "offset" in entry]
    assert offsets == sorted(set(offsets))
    assert len(offsets) == len(CONTENTS) - 1 + 3 + 1  # chunks of two files, the landmark; none of the empty
    assert member(blob, 0)[257:262] == b"ustar"
    assert member(blob, toc_offset(blob))[:17] == b"stargz.index.json"
    assert len(blob) > toc_offset(blob) + 51


@pytest.mark.parametrize("level", [0, 1, 6, 9])
def test_the_same_tar_gives_the_same_bytes(level: int, monkeypatch: pytest.MonkeyPatch) -> None:
    first = convert(make_tar(), level)
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    assert convert(make_tar(), level, piece=1000) == first
    assert gzip.decompress(first[0]).startswith(make_tar())


def test_gnu_tar_and_gzip_read_the_layer(tmp_path: Path) -> None:
    layer = tmp_path / "layer.tar.gz"
    layer.write_bytes(convert(make_tar())[0])
    subprocess.run(["gzip", "-t", layer], check=True)
    listed = subprocess.run(["tar", "-tzf", layer], check=True, capture_output=True, text=True)
    with tarfile.open(fileobj=io.BytesIO(make_tar())) as archive:
        wanted = [info.name + ("/" if info.isdir() else "") for info in archive]
    assert listed.stdout.splitlines() == wanted
    everything = subprocess.run(
        ["tar", "--ignore-zeros", "-tzf", layer], check=True, capture_output=True, text=True
    )
    assert everything.stdout.splitlines() == [*wanted, ".no.prefetch.landmark", "stargz.index.json"]


def test_a_landmark_of_the_layer_is_the_only_one() -> None:
    table, _ = toc(convert(make_tar({".prefetch.landmark": b"\x0f"}))[0])
    names = [entry["name"] for entry in table["entries"]]
    assert ".no.prefetch.landmark" not in names


def test_an_empty_layer() -> None:
    blob, _ = convert(bytes(1024))
    assert files(blob) == {".no.prefetch.landmark": b"\x0f"}


def test_what_lies_behind_the_end_stays() -> None:
    tar = make_tar() + bytes(9 << 20) + b"more"
    blob, _ = convert(tar)
    assert gzip.decompress(blob).startswith(tar)
    assert files(blob)["a/two"] == NOISE


def test_what_lies_behind_the_end_is_not_kept_in_memory() -> None:
    tar = io.BytesIO(make_tar({}) + 4 * NOISE)
    out: list[bytes] = []
    write_estargz(tar.read, out.append, 2)
    assert gzip.decompress(b"".join(out)).startswith(tar.getvalue())
    assert max(len(piece) for piece in out) < len(NOISE)


@pytest.mark.parametrize(
    ("name", "said"),
    [("stargz.index.json", "has a file of that name itself"), ("\udcff", "no UTF-8")],
    ids=["index", "bytes"],
)
def test_what_the_format_cannot_hold(name: str, said: str) -> None:
    data = io.BytesIO()
    with tarfile.open(
        fileobj=data, mode="w", format=tarfile.GNU_FORMAT, encoding="utf-8", errors="surrogateescape"
    ) as archive:
        archive.addfile(tarfile.TarInfo(name))
    with pytest.raises(Unsupported, match=said):
        convert(data.getvalue())


def test_no_tar_is_an_error() -> None:
    with pytest.raises(ArchiveError):
        convert(b"x" * 5000)
    with pytest.raises(ArchiveError):
        convert(make_tar()[: CHUNK + 3000])
