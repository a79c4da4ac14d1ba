"""Copies between all kinds of places, what an index means for them, and sources that lie."""

from __future__ import annotations

import gzip
import itertools
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from corten.errors import ArchiveError, CortenError, IntegrityError, InvalidArgument, NotFound
from corten.image.copy.copier import CopyOptions, copy
from corten.image.copy.location import Location
from corten.image.copy.opening import open_destination, open_source
from corten.image.model import Progress
from corten.oci.manifest import DOCKER_MANIFEST, OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST
from corten.oci.platform import Platform
from tests.unit.image.images import docker_archive, layer_of, load, make_store, sha256
from tests.unit.image.registry.fake import FakeRegistry, registries

LAYERS = [layer_of("a"), layer_of("b", "c")]


class Places:
    """One fake registry and a directory; `copy` takes texts."""

    def __init__(self, directory: Path, fake: FakeRegistry) -> None:
        self.directory = directory
        self.fake = fake
        self.seen: list[Progress] = []

    def location(self, text: str) -> Location:
        transport, _, rest = text.partition(":")
        if transport == "docker":
            return Location.parse(f"docker://{self.fake.host}/{rest}")
        return Location.parse(f"{transport}:{self.directory}/{rest}")

    async def copy(self, source: str, destination: str, **options: Any) -> str:
        async with registries(self.directory) as known:
            reader = open_source(self.location(source), known)
            try:
                found = await reader.top()
                writer = open_destination(self.location(destination), known)
                try:
                    return await copy(reader, found, writer, CopyOptions(**options), self.seen.append)
                finally:
                    await writer.close()
            finally:
                await reader.close()


def names(path: Path) -> set[str]:
    with tarfile.open(path) as tar:
        return {name for name in tar.getnames() if not name.startswith("blobs")}


async def test_round_through_every_kind(tmp_path: Path) -> None:
    async with FakeRegistry() as fake:
        places = Places(tmp_path, fake)
        fake.add_image(LAYERS, "1")
        digest = sha256(fake.manifests["1"][1])
        way = [
            "docker:app:1",
            "oci:layout:one",
            "oci-archive:o.tar:x",
            "docker-archive:d.tar:x/y:2",
            "dir:dir",
        ]
        for source, destination in itertools.pairwise(way):
            assert await places.copy(source, destination) == digest
        fake.blobs.clear()
        assert await places.copy("dir:dir", "docker:other:2") == digest
        assert sha256(fake.manifests["2"][1]) == digest and len(fake.blobs) == 3
        assert names(tmp_path / "o.tar") == {"index.json", "oci-layout"}
        assert names(tmp_path / "d.tar") == {"index.json", "manifest.json", "oci-layout"}
    store = make_store(tmp_path / "store")
    load(store, (tmp_path / "d.tar").read_bytes())
    assert store.resolve("x/y:2").manifest.digest == digest
    store.close()


async def test_what_is_there_is_not_copied_again(tmp_path: Path) -> None:
    async with FakeRegistry() as fake:
        places = Places(tmp_path, fake)
        fake.add_image(LAYERS, "1")
        await places.copy("docker:app:1", "oci:l:1")
        before = fake.count("GET", "/blobs/")
        await places.copy("docker:app:1", "oci:l:2")
        assert fake.count("GET", "/blobs/") == before
        index = json.loads((tmp_path / "l/index.json").read_bytes())
        assert [entry["annotations"] for entry in index["manifests"]] == [
            {"org.opencontainers.image.ref.name": "1"},
            {"org.opencontainers.image.ref.name": "2"},
        ]
        await places.copy("docker:app:1", "oci:l:2")
        assert len(json.loads((tmp_path / "l/index.json").read_bytes())["manifests"]) == 2


async def test_an_old_docker_archive_is_compressed_for_a_registry(tmp_path: Path) -> None:
    (tmp_path / "old.tar").write_bytes(docker_archive(LAYERS))
    (tmp_path / "old.tar.gz").write_bytes(gzip.compress(docker_archive(LAYERS)))
    async with FakeRegistry() as fake:
        places = Places(tmp_path, fake)
        digest = await places.copy("docker-archive:old.tar", "docker:app:1")
        kind, data = fake.manifests["1"]
        manifest = json.loads(data)
        assert kind == manifest["mediaType"] == DOCKER_MANIFEST and sha256(data) == digest
        blobs = [gzip.decompress(fake.blobs[layer["digest"]]) for layer in manifest["layers"]]
        assert blobs == LAYERS
        # The same layer gives the same bytes, whether its archive was compressed or not.
        assert await places.copy("docker-archive:old.tar.gz", "docker:app:2") == digest
        plain = await places.copy("docker-archive:old.tar:app:1", "dir:plain")
        layers = json.loads((tmp_path / "plain/manifest.json").read_bytes())["layers"]
        assert [layer["digest"] for layer in layers] == [sha256(layer) for layer in LAYERS]
        assert plain != digest


async def test_a_layout_gets_ocis_media_types(tmp_path: Path) -> None:
    (tmp_path / "old.tar").write_bytes(docker_archive(LAYERS))
    async with FakeRegistry() as fake:
        places = Places(tmp_path, fake)
        docker = await places.copy("docker-archive:old.tar", "docker:app:1")
        oci = await places.copy("docker:app:1", "oci:l:1")
        assert oci != docker
        manifest = json.loads((tmp_path / "l/blobs" / oci.replace(":", "/")).read_bytes())
        assert manifest["mediaType"] == OCI_MANIFEST and manifest["config"]["mediaType"] == OCI_CONFIG
        assert {layer["mediaType"] for layer in manifest["layers"]} == {OCI_LAYER_GZIP}
        with pytest.raises(InvalidArgument, match="preserved"):
            await places.copy("docker:app:1", "oci:l:2", preserve_digests=True)


def two_platforms(fake: FakeRegistry) -> tuple[str, str, str]:
    """An index; the digests of itself and its two images."""
    entries = []
    for architecture in ("amd64", "arm64"):
        fake.add_image([layer_of(architecture)], architecture, architecture=architecture)
        data = fake.manifests[architecture][1]
        entries.append(
            {
                "mediaType": OCI_MANIFEST,
                "digest": sha256(data),
                "size": len(data),
                "platform": {"os": "linux", "architecture": architecture},
            }
        )
    return fake.add_index(entries, "multi"), entries[0]["digest"], entries[1]["digest"]


@pytest.mark.parametrize("destination", ["docker:other:1", "oci:l:1", "oci-archive:o.tar", "dir:d"])
async def test_which_images_of_an_index(tmp_path: Path, destination: str) -> None:
    async with FakeRegistry() as fake:
        places = Places(tmp_path, fake)
        index, amd64, arm64 = two_platforms(fake)
        assert await places.copy("docker:app:multi", "dir:one", platform=Platform("amd64", "linux")) == amd64
        assert await places.copy("docker:app:multi", "dir:two", platform=Platform("arm64", "linux")) == arm64
        assert await places.copy("docker:app:multi", destination, multi_arch="all") == index
        again = await places.copy(destination, "dir:again", multi_arch="all")
        assert again == index and len(list((tmp_path / "again").glob("*.manifest.json"))) == 2
        with pytest.raises(NotFound, match="linux/s390x"):
            await places.copy("docker:app:multi", "dir:x", platform=Platform("s390x", "linux"))


async def test_index_only(tmp_path: Path) -> None:
    async with FakeRegistry() as fake:
        places = Places(tmp_path, fake)
        index, _, _ = two_platforms(fake)
        assert await places.copy("docker:app:multi", "dir:d", multi_arch="index-only") == index
        assert fake.count("GET", "/blobs/") == 0
        with pytest.raises(InvalidArgument, match="system, all, index-only"):
            await places.copy("docker:app:multi", "dir:d", multi_arch="some")


async def test_a_docker_archive_holds_one_platform(tmp_path: Path) -> None:
    async with FakeRegistry() as fake:
        two_platforms(fake)
        places = Places(tmp_path, fake)
        with pytest.raises(InvalidArgument, match="one platform"):
            await places.copy("docker:app:multi", "docker-archive:d.tar", multi_arch="all")
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("destination", ["oci:l:1", "oci-archive:o.tar", "docker-archive:d.tar", "dir:d"])
async def test_a_blob_that_is_another_is_refused(tmp_path: Path, destination: str) -> None:
    async with FakeRegistry() as fake:
        document = fake.add_image(LAYERS, "1")
        layer = document["layers"][1]
        fake.blobs[layer["digest"]] = bytes(layer["size"])
        with pytest.raises(IntegrityError, match="digest mismatch"):
            await Places(tmp_path, fake).copy("docker:app:1", destination)
    assert not any(
        (tmp_path / name).exists() for name in ("o.tar", "d.tar", "l/index.json", "d/manifest.json")
    )
    left = [path for path in tmp_path.rglob("*") if path.is_file() and layer["digest"][7:] in path.name]
    assert not left


async def test_mounts_within_one_registry(tmp_path: Path) -> None:
    async with FakeRegistry() as fake:
        document = fake.add_image(LAYERS, "1")
        for blob in (document["config"], *document["layers"]):
            fake.mountable.add(("app", blob["digest"]))
        blobs, fake.hook = dict(fake.blobs), None
        places = Places(tmp_path, fake)
        await places.copy("docker:app:1", "docker:other:1")
        assert blobs == fake.blobs and fake.count("GET", "/blobs/") == 0


async def test_names_in_archives(tmp_path: Path) -> None:
    (tmp_path / "d.tar").write_bytes(docker_archive(LAYERS, ["a:1", "b:2"]))
    async with FakeRegistry() as fake:
        places = Places(tmp_path, fake)
        first = await places.copy("docker-archive:d.tar:b:2", "dir:1")
        assert await places.copy("docker-archive:d.tar:@0", "dir:2") == first
        with pytest.raises(NotFound, match=r"c:3.*a:1, b:2"):
            await places.copy("docker-archive:d.tar:c:3", "dir:3")
        await places.copy("docker-archive:d.tar", "oci:l:1")
        with pytest.raises(NotFound, match="has no image 'x'"):
            await places.copy("oci:l:x", "dir:3")
        assert not (tmp_path / "3").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("busybox", "write docker://busybox"),
        ("docker:busybox", "write docker://busybox"),
        ("docker://Busybox", "lowercase"),
        ("oci:", "path is empty"),
        ("tarball:x", "expected"),
    ],
)
def test_locations_that_are_none(text: str, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        Location.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "docker://docker.io/library/busybox:latest",
        "docker-archive:/a/b.tar:x/y:1",
        "oci:l:tag",
        "oci-archive:o.tar",
        "dir:/a:b",
    ],
)
def test_locations_print_as_they_are_written(text: str) -> None:
    assert str(Location.parse(text)) == text


@pytest.mark.parametrize(
    "source",
    ["docker-archive:no.tar", "oci:no", "dir:no", "oci-archive:junk", "docker-archive:junk", "oci:empty"],
)
async def test_sources_that_are_none(tmp_path: Path, source: str) -> None:
    (tmp_path / "junk").write_bytes(b"junk" * 1000)
    (tmp_path / "empty").mkdir()
    async with FakeRegistry() as fake:
        with pytest.raises((NotFound, ArchiveError)):
            await Places(tmp_path, fake).copy(source, "dir:d")
    assert not (tmp_path / "d").exists()


async def test_destinations_that_are_taken(tmp_path: Path) -> None:
    (tmp_path / "some").mkdir()
    (tmp_path / "some/file").write_text("mine")
    (tmp_path / "o.tar").write_bytes(b"mine")
    async with FakeRegistry() as fake:
        fake.add_image(LAYERS, "1")
        places = Places(tmp_path, fake)
        for destination in (
            "dir:some",
            "oci-archive:o.tar",
            "docker-archive:o.tar",
            "oci:o.tar",
            "oci:some/file",
        ):
            with pytest.raises(CortenError):
                await places.copy("docker:app:1", destination)
    assert (tmp_path / "o.tar").read_bytes() == b"mine" and [
        p.name for p in (tmp_path / "some").iterdir()
    ] == ["file"]


async def test_a_hostile_digest_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "l").mkdir()
    entry = {"mediaType": OCI_MANIFEST, "digest": "sha256:../../../etc/passwd", "size": 1}
    (tmp_path / "l/index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    async with FakeRegistry() as fake:
        with pytest.raises(InvalidArgument, match="invalid digest"):
            await Places(tmp_path, fake).copy("oci:l", "dir:d")
