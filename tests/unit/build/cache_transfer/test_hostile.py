"""Caches that lie: nothing is believed but digests."""

import base64
import os
from pathlib import Path

import msgspec
import pytest
import zstandard

from corten.build.cache_transfer.document import (
    INLINE_ANNOTATION,
    CacheDocument,
    CacheLayer,
    CacheRecord,
    decode_document,
    encode_document,
)
from corten.build.cache_transfer.importer import records_of
from corten.build.cache_transfer.inline import document_of
from corten.build.cache_transfer.mount_import import restore
from corten.build.cache_transfer.mount_index import MountFile, MountIndex, decode_index, scan
from corten.build.cache_transfer.sources import LayoutSource
from corten.build.solve.result import BuiltLayer
from corten.errors import CortenError, IntegrityError, InvalidArgument
from corten.oci.descriptor import Descriptor
from corten.oci.digest import Digest, chain_ids
from corten.oci.manifest import OCI_LAYER_GZIP, OCI_MANIFEST, Manifest
from tests.unit.image.images import sha256
from tests.unit.snapshot.archives import member, tar_of

KEY = sha256(b"key")
ONE, TWO = sha256(b"one"), sha256(b"two")
BLOB = Descriptor(OCI_LAYER_GZIP, Digest(sha256(b"blob")), 10)


def layered(*layers: CacheLayer) -> CacheDocument:
    record = CacheRecord(KEY, "partial", tuple(range(len(layers))))
    return CacheDocument(1, tuple(layers), (record,))


def test_chain_ids_are_worked_out() -> None:
    """A layer cannot be put into the place of another one, whose diff ID it has not."""
    document = layered(CacheLayer(ONE, "maker", 0), CacheLayer(TWO, "maker", 0))
    found = records_of(document, [BLOB], "there", {})[KEY].result
    assert found is not None
    assert [layer.id for layer in found.layers] == list(chain_ids([ONE, TWO]))
    assert {layer.origin for layer in found.layers} == {"there"}


def test_a_base_is_what_this_build_has() -> None:
    base = BuiltLayer(chain_ids([ONE])[0], ONE, BLOB, "registry.example/base@x")
    lying = layered(CacheLayer(ONE, "maker", 0), CacheLayer(TWO, "maker", 0))
    found = records_of(lying, [BLOB], "there", {base.id: base})[KEY].result
    assert found is not None and found.layers[0] is base
    # A layer without a maker is a base's; this build has none of that kind.
    assert records_of(layered(CacheLayer(ONE)), [BLOB], "there", {})[KEY].result is None
    assert records_of(layered(CacheLayer(ONE, "", 0)), [BLOB], "there", {})[KEY].result is None


def test_blobs_that_are_no_layers() -> None:
    document = layered(CacheLayer(ONE, "maker", 0))
    with pytest.raises(IntegrityError, match="a layer of type 'application/x'"):
        records_of(document, [Descriptor("application/x", BLOB.digest, 10)], "there", {})
    with pytest.raises(IntegrityError, match="a blob that it does not have"):
        decode_document(encode_document(document), 0)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"version":2}',
        b'{"version":"1"}',
        b'{"version":1,"records":[{"key":"x","partial":""}]}',
        b'{"version":1,"records":[{"key":"' + KEY.encode() + b'","partial":"","layers":[0]}]}',
        b'{"version":1,"records":[{"key":"' + KEY.encode() + b'","partial":"","layers":[-1]}]}',
        b'{"version":1,"layers":[{"diffId":"../../x"}]}',
        b'{"version":1,"layers":[{"diffId":"' + b"x" * 5000 + b'"}]}',
        b'{"version":1,"contents":[{"key":"' + KEY.encode() + b'","digest":"x"}]}',
        b'{"version":1,"mounts":[{"id":"x","index":0,"packs":[1]}]}',
        b"[" * 100_000,
    ],
)
def test_documents(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        decode_document(data, 1)


@pytest.mark.parametrize(
    "text",
    [
        "%%%",
        base64.b64encode(b"no zstd").decode(),
        base64.b64encode(zstandard.compress(b"{}")).decode(),
        base64.b64encode(zstandard.compress(bytes(40 << 20))).decode(),
    ],
)
def test_inline(text: str) -> None:
    config = Descriptor("application/vnd.oci.image.config.v1+json", BLOB.digest, 1)
    manifest = Manifest(config, (), 2, OCI_MANIFEST, annotations={INLINE_ANNOTATION: text})
    with pytest.raises(CortenError):
        document_of(manifest)


# -- cache mounts

CONTENT = b"content"
NAME = sha256(CONTENT)[7:]


def file(path: bytes, kind: str = "f", **more: object) -> MountFile:
    values = {"mode": 0o644, "uid": os.getuid(), "gid": os.getgid(), "mtime_ns": 0} | more
    if kind == "f":
        values = {"size": len(CONTENT), "digest": NAME, "pack": 0} | values
    return MountFile(path, kind, **values)  # type: ignore[arg-type]


def restored(root: Path, *files: MountFile, pack: bytes | None = None) -> None:
    root.mkdir()
    data = tar_of([member(NAME, CONTENT)]) if pack is None else pack
    (root.parent / "pack").write_bytes(zstandard.compress(data))
    index = MountIndex(1, (file(b"", "d", mode=0o755), *files), (len(CONTENT),))
    fd = os.open(root, os.O_RDONLY)
    try:
        restore(fd, index, [root.parent / "pack"])
    finally:
        os.close(fd)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([file(b"../out")], "leaves its directory"),
        ([file(b"a/../../out")], "leaves its directory"),
        ([file(b"a", "d", mode=0o755), file(b"a")], "File exists"),
        ([file(b"a"), file(b"a")], "File exists"),
        ([file(b"a"), file(b"a/b")], "is used as a directory"),
        ([file(b"")], "its root is no directory"),
        ([file(b"", "l", target=b"x")], "its root is no directory"),
        ([file(b"h", "h", target=b"/etc/passwd")], "No such file"),
        ([file(b"h", "h", target=b"../../etc/passwd")], "leaves its directory"),
        ([file(b"h", "h", target=b"")], "points to nothing"),
        ([file(b"a", size=3)], "another size"),
        ([file(b"a", digest="0" * 64)], "contents are missing"),
        ([file(b"x" * 300)], "more than 255 bytes"),
    ],
)
def test_refused(tmp_path: Path, files: list[MountFile], said: str) -> None:
    with pytest.raises(CortenError, match=said):
        restored(tmp_path / "mount", *files)
    assert sorted(os.listdir(tmp_path)) == ["mount", "pack"]


def test_links_lead_nowhere_while_files_are_made(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    files = [
        file(b"l", "l", target=os.fsencode(outside)),
        file(b"l/x", "h", target=b"a"),
        file(b"a"),
    ]
    restored(tmp_path / "mount", *files)
    assert list(outside.iterdir()) == []


def test_a_pack_that_is_none(tmp_path: Path) -> None:
    for number, pack in enumerate((b"", b"x" * 1000, tar_of([member("../" + NAME, CONTENT)]))):
        (tmp_path / f"{number}").mkdir()
        with pytest.raises(CortenError):
            restored(tmp_path / f"{number}" / "mount", file(b"a"), pack=pack)


@pytest.mark.parametrize(
    "change",
    [
        {"mode": 0o10000},
        {"uid": -1},
        {"mtime_ns": 1 << 63},
        {"size": -1},
        {"digest": "x"},
        {"pack": 1},
        {"pack": -1},
    ],
)
def test_an_index(change: dict[str, object]) -> None:
    index = MountIndex(1, (file(b"a", **change),), (len(CONTENT),))
    with pytest.raises(IntegrityError):
        decode_index(msgspec.json.encode(index), 1)
    with pytest.raises(IntegrityError):
        decode_index(msgspec.json.encode(MountIndex(1, ())), 1)


def test_devices_and_pipes_stay_behind(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"1")
    os.mkfifo(tmp_path / "p")
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        assert [found.path for found in scan(fd, None, lambda: None)] == [b"", b"f"]
    finally:
        os.close(fd)


async def test_a_directory_with_pipes_and_links_in_it(tmp_path: Path) -> None:
    source = LayoutSource(tmp_path, "latest")
    assert await source.manifests() == []
    os.mkfifo(tmp_path / "index.json")
    with pytest.raises(InvalidArgument, match="is no file"):
        await source.manifests()
    (tmp_path / "index.json").unlink()
    (tmp_path / "index.json").symlink_to("/etc/passwd")
    with pytest.raises(InvalidArgument, match="cannot read"):
        await source.manifests()
    (tmp_path / "blobs/sha256").mkdir(parents=True)
    os.mkfifo(tmp_path / "blobs/sha256" / BLOB.digest[7:])
    with pytest.raises(InvalidArgument, match="no regular file"):
        [piece async for piece in source.blob(BLOB)]
    with pytest.raises(IntegrityError, match="is no digest"):
        [piece async for piece in source.blob(Descriptor("x", Digest("sha256:../../x"), 1))]
