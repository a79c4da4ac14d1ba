"""A build's results as images of the store."""

import os
import time
from pathlib import Path

import pytest

from corten.build.export.assembly import EMPTY_TAR
from corten.errors import InvalidArgument
from corten.oci.image_config import decode_config, parse_time
from corten.oci.manifest import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD,
    OCI_MANIFEST,
    decode_index,
    decode_manifest,
)
from corten.oci.platform import Platform
from tests.unit.build.export.builds import AMD64, Builds, output
from tests.unit.image.images import everything, layer_of

ARM64 = Platform("arm64", "linux", "v8")


async def test_an_image_over_a_base(builds: Builds) -> None:
    base = builds.base([layer_of("etc/a"), layer_of("etc/b")])
    image = builds.image({"app/x": b"hello"}, None, {"app/y": b"more"}, base=base)
    exported = await builds.export([image], tags=["app:1", "other/app"])
    assert exported.names == ("docker.io/library/app:1", "docker.io/other/app:latest")
    found = builds.store.resolve("app:1")
    assert found.id == exported.image_id == builds.store.resolve("other/app").id
    assert found.manifest.digest == exported.digest
    assert found.config.diff_ids[:2] == base[1].config.diff_ids
    assert found.layers[:2] == tuple(layer.blob for layer in base[0].layers)
    assert found.config.created == "2020-09-13T12:26:40Z" and found.parent == ""
    steps = builds.store.history("app:1")
    assert [(step.created_by, step.size) for step in steps] == [
        ("step 2", 4),
        ("step 1", 0),
        ("step 0", 5),
        ("step 1", 5),
        ("step 0", 5),
    ]
    manifest = decode_manifest(builds.store.content.read(found.manifest.digest))
    assert manifest.media_type == OCI_MANIFEST
    assert {layer.media_type for layer in manifest.layers} == {OCI_LAYER}
    assert manifest.annotations is None


async def test_its_layers_are_those_that_the_build_made(builds: Builds) -> None:
    image = builds.image({"a": b"1"}, {"b": b"2"})
    inodes = {path.lstat().st_ino for path in Path(builds.layers.lowers(_layers(image))[0]).iterdir()}
    await builds.export([image], tags=["app"])
    chain = builds.store.resolve("app").chain
    lowers = builds.store.snapshotter.lowers(chain)
    assert {path.lstat().st_ino for path in Path(lowers[0]).iterdir()} == inodes
    assert sorted(os.listdir(lowers[1])) == ["a"]
    # And the build cache has them still, after the image has gone.
    builds.store.remove("app")
    assert Path(builds.layers.lowers(_layers(image))[0], "b").read_bytes() == b"2"


async def test_twice_is_the_same_image(builds: Builds, tmp_path: Path) -> None:
    other = Builds(tmp_path / "other")
    digests = set()
    for one in (builds, builds, other):
        image = one.image({"d/b": b"2", "d/a": b"1"}, base=one.base([layer_of("etc/a")]))
        digests.add((await one.export([image], tags=["app"])).digest)
    other.close()
    assert len(digests) == 1


async def test_holes_make_no_difference(builds: Builds) -> None:
    def sparse(tree: Path) -> None:
        with open(tree / "f", "wb") as file:
            file.truncate(1 << 20)

    found = [
        (await builds.export([image])).digest
        for image in (builds.image({"f": bytes(1 << 20)}), builds.image(sparse))
    ]
    assert found[0] == found[1]


async def test_steps_that_change_nothing_have_no_layer(builds: Builds) -> None:
    image = builds.image({"a": b"1"}, {}, {"b": b"2"}, {})
    exported = await builds.export([image], tags=["app"])
    found = builds.store.resolve("app")
    assert len(found.config.diff_ids) == 2 and EMPTY_TAR not in found.config.diff_ids
    assert [step.empty_layer for step in found.config.history or ()] == [False, True, False, True]
    assert exported.image_id == found.id


async def test_nothing_but_a_config(builds: Builds) -> None:
    exported = await builds.export([builds.image(None)], tags=["empty"])
    assert builds.store.resolve("empty").layers == () and exported.image_id


async def test_without_a_name(builds: Builds) -> None:
    exported = await builds.export([builds.image({"a": b"1"})])
    (image,) = builds.store.list()
    assert image.id == exported.image_id and image.repo_tags == () and exported.names == ()


async def test_names_of_an_output(builds: Builds) -> None:
    image = builds.image({"a": b"1"})
    exported = await builds.export([image], output("image", name="one:1,two", name_canonical="true"))
    found = builds.store.resolve("one:1")
    assert found.repo_tags == ("one:1", "two:latest")
    assert found.repo_digests == (f"one@{exported.digest}", f"two@{exported.digest}")
    dangling = builds.image({"b": b"1"})
    exported = await builds.export([dangling], output("image", dangling_name_prefix="pre"))
    assert builds.store.resolve(exported.image_id).repo_digests == (f"pre@{exported.digest}",)


@pytest.mark.parametrize(
    ("kind", "level", "media_type", "magic"),
    [
        ("gzip", "", OCI_LAYER_GZIP, b"\x1f\x8b\x08\x00\x00\x00\x00\x00"),
        ("gzip", "9", OCI_LAYER_GZIP, b"\x1f\x8b\x08\x00\x00\x00\x00\x00"),
        ("zstd", "", OCI_LAYER_ZSTD, b"\x28\xb5\x2f\xfd"),
        ("zstd", "19", OCI_LAYER_ZSTD, b"\x28\xb5\x2f\xfd"),
    ],
)
async def test_compressed(builds: Builds, kind: str, level: str, media_type: str, magic: bytes) -> None:
    base = builds.base([layer_of("etc/a")])
    image = builds.image({"a": b"1" * 100_000}, base=base)
    plain = await builds.export([image])
    attributes = {"compression": kind} | ({"compression_level": level} if level else {})
    exported = await builds.export([image], output("image", **attributes))
    assert exported.image_id == plain.image_id and exported.digest != plain.digest
    manifest = decode_manifest(builds.store.content.read(exported.digest))
    assert manifest.layers[0] == base[0].layers[0].blob
    assert manifest.layers[1].media_type == media_type and manifest.layers[1].size < 2_000
    assert builds.store.content.read(manifest.layers[1].digest).startswith(magic)


async def test_compression_forced_upon_the_base(builds: Builds) -> None:
    base = builds.base([layer_of("etc/a")])
    image = builds.image({"a": b"1"}, base=base)
    forced = {"compression": "zstd", "force_compression": "true"}
    exported = await builds.export([image], output("image", **forced), tags=["app"])
    manifest = decode_manifest(builds.store.content.read(exported.digest))
    assert {layer.media_type for layer in manifest.layers} == {OCI_LAYER_ZSTD}
    assert builds.store.resolve("app").config.diff_ids[:1] == base[1].config.diff_ids


async def test_dockers_media_types(builds: Builds) -> None:
    image = builds.image({"a": b"1"}, base=builds.base([layer_of("etc/a")]))
    exported = await builds.export([image], output("image", oci_mediatypes="false"))
    manifest = decode_manifest(builds.store.content.read(exported.digest))
    assert (manifest.media_type, manifest.config.media_type) == (DOCKER_MANIFEST, DOCKER_CONFIG)
    assert {layer.media_type for layer in manifest.layers} == {DOCKER_LAYER}


async def test_annotations(builds: Builds) -> None:
    image = builds.image({"a": b"1"})
    exported = await builds.export(
        [image], annotations=["b=2", "manifest:a=1=1", "manifest[linux/arm64]:c=3"]
    )
    manifest = decode_manifest(builds.store.content.read(exported.digest))
    assert manifest.annotations == {"a": "1=1", "b": "2"}
    with pytest.raises(InvalidArgument, match="an annotation of type index needs an index"):
        await builds.export([image], annotations=["index:a=1"])


async def test_several_platforms(builds: Builds) -> None:
    images = [builds.image({"a": name}, platform=p) for name, p in ((b"arm", ARM64), (b"amd", AMD64))]
    exported = await builds.export(
        images,
        tags=["app"],
        annotations=["index:i=1", "manifest[linux/arm64]:m=2", "manifest-descriptor:d=3"],
    )
    index = decode_index(builds.store.content.read(exported.digest))
    assert index.media_type == OCI_INDEX and index.annotations == {"i": "1"}
    assert [child.platform for child in index.manifests] == [ARM64, AMD64]
    assert [child.annotations for child in index.manifests] == [{"d": "3"}] * 2
    manifests = [decode_manifest(builds.store.content.read(child.digest)) for child in index.manifests]
    assert [manifest.annotations for manifest in manifests] == [{"m": "2"}, None]
    found = builds.store.resolve("app")
    assert found.id == manifests[1].config.digest
    lower = Path(builds.store.snapshotter.lowers(found.chain)[0])
    assert (lower / "a").read_bytes() == b"amd"
    assert "containerimage.config.digest" not in exported.metadata
    # The other platform's blobs are the index'.
    before = everything(builds.store)[0]
    builds.lease.close()
    builds.store.collect()
    assert everything(builds.store)[0] == before


async def test_metadata(builds: Builds) -> None:
    exported = await builds.export([builds.image({"a": b"1"})], tags=["app", "app:2"])
    size = builds.store.content.info(exported.digest).size
    assert exported.metadata == {
        "containerimage.config.digest": exported.image_id,
        "containerimage.descriptor": {"mediaType": OCI_MANIFEST, "digest": exported.digest, "size": size},
        "containerimage.digest": exported.digest,
        "image.name": "docker.io/library/app:latest,docker.io/library/app:2",
    }


async def test_the_time_of_the_build_where_there_is_no_epoch(builds: Builds) -> None:
    before = time.time_ns()
    exported = await builds.export([builds.image({"a": b"1"}, base=builds.base([layer_of("x")]), epoch=None)])
    config = decode_config(builds.store.content.read(exported.image_id))
    assert before <= parse_time(config.created) <= time.time_ns()
    history = config.history or ()
    assert [step.created for step in history] == ["2024-01-02T03:04:05Z", config.created]


async def test_files_of_every_kind(builds: Builds) -> None:
    def fill(tree: Path) -> None:
        (tree / "dir").mkdir(mode=0o711)
        (tree / "dir" / ("long" * 60)).write_bytes(b"x")
        (tree / "f").write_bytes(b"1")
        (tree / "f").chmod(0o4755)
        os.link(tree / "f", tree / "g")
        os.symlink("/dir/../f", tree / "s")
        os.mkfifo(tree / "p")
        os.setxattr(tree / "f", "user.note", b"\0v")

    await builds.export([builds.image(fill)], tags=["app"])
    found = builds.store.resolve("app")
    # Unpacked again from the tar, it is the same.
    builds.store.snapshotter.remove(found.chain[0])
    tree = Path(builds.store.lowers(found)[0])
    assert (tree / "f").stat().st_ino == (tree / "g").stat().st_ino
    assert (tree / "f").stat().st_mode & 0o7777 == 0o4755 and os.getxattr(tree / "f", "user.note") == b"\0v"
    assert os.readlink(tree / "s") == "/dir/../f" and (tree / "p").is_fifo()
    assert [path.name for path in (tree / "dir").iterdir()] == ["long" * 60]
    assert (tree / "dir").stat().st_mode & 0o777 == 0o711


def _layers(image):  # type: ignore[no-untyped-def]
    planned, results = image
    return results.result(planned.target).layers
