from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from pathlib import Path

import pytest
import zstandard

from corten.registry.page.layers.list_file import PART, FileEntry, ListFile
from corten.registry.page.layers.listing import Bounds, list_layer, normal
from tests.registry_gallery import layer_of, noise, tar_of


def listed(directory: Path, data: bytes, bounds: Bounds = Bounds()) -> ListFile:  # noqa: B008
    path = directory / "list"
    with open(path, "wb") as output:
        list_layer(io.BytesIO(data).read, output, bounds)
    return ListFile(str(path))


def test_members_of_every_kind(tmp_path: Path) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, kind, link in (
            ("./usr/", tarfile.DIRTYPE, ""),
            ("usr/file", tarfile.REGTYPE, ""),
            ("usr/name", tarfile.LNKTYPE, "./usr/file"),
            ("usr/link", tarfile.SYMTYPE, "../etc"),
            ("dev/null", tarfile.CHRTYPE, ""),
            ("pipe", tarfile.FIFOTYPE, ""),
            ("usr/.wh.gone", tarfile.REGTYPE, ""),
            ("etc/.wh..wh..opq", tarfile.REGTYPE, ""),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.uid, member.mode = kind, link, 7, 0o640
            member.size = 3 if name == "usr/file" else 0
            archive.addfile(member, io.BytesIO(b"abc"))
    content = hashlib.sha256(b"abc").digest()[:16]
    empty = hashlib.sha256().digest()[:16]
    with listed(tmp_path, data.getvalue()) as found:
        entries = {entry.path: entry for entry in found}
        assert {path: entry.kind for path, entry in entries.items()} == {
            b"usr": "dir",
            b"usr/file": "file",
            b"usr/name": "hardlink",
            b"usr/link": "link",
            b"dev/null": "device",
            b"pipe": "fifo",
            b"usr/gone": "removed",
            b"etc": "opaque",
        }
        assert entries[b"usr/file"] == FileEntry(b"usr/file", "file", 3, 0o640, 7, 0, b"", content)
        assert entries[b"usr/name"].content == content != empty
        assert entries[b"usr/link"].link == b"../etc"
        summary = found.summary
    assert (summary.files, summary.directories, summary.removed, summary.bytes) == (5, 1, 2, 3)


@pytest.mark.parametrize("compress", [bytes, gzip.compress, zstandard.ZstdCompressor().compress])
def test_every_compression(tmp_path: Path, compress: object) -> None:
    with listed(tmp_path, compress(tar_of({"a": b"1"}))) as found:  # type: ignore[operator]
        assert [entry.path for entry in found] == [b"a"]


def test_lists_of_many_parts_are_sorted_and_whole(tmp_path: Path) -> None:
    names = [f"{number:05}" for number in range(PART * 2 + 17)]
    with listed(tmp_path, layer_of(dict.fromkeys(reversed(names), b""))) as found:
        assert [entry.path.decode() for entry in found] == names
        assert [entry.path.decode() for entry in found.part(2)] == names[PART * 2 :]
        assert found.summary.count == len(names)


def test_where_the_space_is(tmp_path: Path) -> None:
    files: dict[str, bytes | str | None] = {
        "usr/lib/a/b/one": noise(500),
        "usr/lib/two": noise(300),
        "usr/bin/x": noise(50),
        "top": noise(7),
    }
    with listed(tmp_path, layer_of(files)) as found:
        assert [(d.path, d.files, d.size) for d in found.summary.by_directory] == [
            (b"usr/lib", 2, 800),
            (b"usr/bin", 1, 50),
            (b"", 1, 7),
        ]
        assert [entry.path for entry in found.summary.largest] == [
            b"usr/lib/a/b/one",
            b"usr/lib/two",
            b"usr/bin/x",
            b"top",
        ]


def test_bounds(tmp_path: Path) -> None:
    data = layer_of({f"file{number}": b"x" for number in range(100)})
    with listed(tmp_path, data, Bounds(entries=10)) as found:
        assert (found.summary.count, found.summary.problem) == (10, "only its first 10 files are listed")
    with listed(tmp_path, data, Bounds(names=30)) as found:
        assert 0 < found.summary.count < 10
    with listed(tmp_path, layer_of({"big": bytes(1 << 20)}), Bounds(bytes=1 << 16)) as found:
        assert "limit" in found.summary.problem


@pytest.mark.parametrize(
    "data",
    [b"", b"no tar at all" * 100, layer_of({"a": noise(100_000)})[:50_000], gzip.compress(b"x" * 5000)],
    ids=["nothing", "text", "cut short", "compressed text"],
)
def test_what_is_no_layer_has_a_list_that_says_so(tmp_path: Path, data: bytes) -> None:
    with listed(tmp_path, data) as found:
        assert "layer" in found.summary.problem


def test_names_without_what_means_nothing() -> None:
    assert normal(b"./usr//bin/.") == b"usr/bin"
    assert normal(b"/") == b""
    assert normal(b"../x") == b"../x"
