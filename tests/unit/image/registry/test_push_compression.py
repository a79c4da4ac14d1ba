"""Plain layers on their way to a registry: compressed once, under the same image ID."""

import json
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from corten.errors import IntegrityError
from corten.image.model import Progress
from corten.image.pull import pull
from corten.image.push import push
from corten.image.store import ImageStore
from corten.oci.manifest import DOCKER_LAYER_GZIP, DOCKER_MANIFEST, OCI_LAYER, OCI_LAYER_GZIP
from corten.oci.reference import Reference
from tests.unit.image.images import Layout, docker_archive, everything, layer_of, load, make_store, sha256
from tests.unit.image.registry.fake import FakeRegistry, registries

LAYERS = [layer_of("a"), layer_of("b")]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ImageStore]:
    store = make_store(tmp_path / "root")
    yield store
    store.close()


async def test_sent_as_gzip_under_the_same_id(store: ImageStore, tmp_path: Path) -> None:
    seen: list[Progress] = []
    async with FakeRegistry() as fake, registries(tmp_path) as known:
        client = known.client(fake.host)
        (image_id,) = load(store, docker_archive(LAYERS, [f"{fake.host}/app:1"]))
        before = store.resolve(image_id).manifest
        (pushed,) = await push(store, client, Reference.parse(f"{fake.host}/app:1"), report=seen.append)
        manifest = json.loads(fake.manifests["1"][1])
        assert [layer["mediaType"] for layer in manifest["layers"]] == [OCI_LAYER_GZIP] * 2
        assert manifest["config"]["digest"] == image_id
        sent = [fake.blobs[layer["digest"]] for layer in manifest["layers"]]
        assert [zlib.decompress(blob, 31) for blob in sent] == LAYERS
        assert [len(blob) for blob in sent] == [layer["size"] for layer in manifest["layers"]]
        assert store.resolve(f"{fake.host}/app:1").manifest == before != pushed.digest
        # Progress knows a layer by one name, and of nothing but layers.
        names = {sha256(layer)[7:19] for layer in LAYERS}
        assert {item.id for item in seen if item.id} == names
        assert {item.id for item in seen if item.status == "Pushed"} == names

        seen.clear()
        fake.blobs.clear()
        (again,) = await push(store, client, Reference.parse(f"{fake.host}/app:1"), report=seen.append)
        assert again == pushed
        assert "Compressing" not in {item.status for item in seen}
        assert set(fake.blobs) == {image_id, *(layer["digest"] for layer in manifest["layers"])}


async def test_two_stores_send_the_same_bytes(store: ImageStore, tmp_path: Path) -> None:
    other = make_store(tmp_path / "other")
    digests = set()
    async with FakeRegistry() as fake, registries(tmp_path) as known:
        for one in (store, other):
            load(one, docker_archive(LAYERS, [f"{fake.host}/app:1"]))
            (pushed,) = await push(one, known.client(fake.host), Reference.parse(f"{fake.host}/app:1"))
            digests.add(pushed.digest)
    other.close()
    assert len(digests) == 1


async def test_mounted_from_the_repository_that_has_it(store: ImageStore, tmp_path: Path) -> None:
    async with FakeRegistry() as fake, registries(tmp_path) as known:
        load(store, docker_archive(LAYERS, [f"{fake.host}/one:1", f"{fake.host}/two:1"]))
        await push(store, known.client(fake.host), Reference.parse(f"{fake.host}/one:1"))
        layers = [layer["digest"] for layer in json.loads(fake.manifests["1"][1])["layers"]]
        fake.mountable = {(digest, "one") for digest in layers}
        kept = [fake.blobs.pop(digest) for digest in layers]
        uploads = fake.count("PUT", "/uploads/")
        await push(store, known.client(fake.host), Reference.parse(f"{fake.host}/two:1"))
        assert fake.count("PUT", "/uploads/") == uploads and kept


async def test_dockers_media_types_stay_dockers(store: ImageStore, tmp_path: Path) -> None:
    async with FakeRegistry() as fake, registries(tmp_path) as known:
        layout = Layout()
        entry = layout.image(LAYERS)
        manifest = json.loads(layout.files["blobs/" + entry["digest"].replace(":", "/")])
        manifest["mediaType"] = DOCKER_MANIFEST
        for layer in manifest["layers"]:
            layer["mediaType"] = "application/vnd.docker.image.rootfs.diff.tar"
        layout.name(layout.put(json.dumps(manifest).encode(), DOCKER_MANIFEST), f"{fake.host}/app:1")
        load(store, layout.archive())
        await push(store, known.client(fake.host), Reference.parse(f"{fake.host}/app:1"))
        kind, data = fake.manifests["1"]
        assert kind == DOCKER_MANIFEST
        assert {layer["mediaType"] for layer in json.loads(data)["layers"]} == {DOCKER_LAYER_GZIP}


async def test_every_image_of_an_index(store: ImageStore, tmp_path: Path) -> None:
    async with FakeRegistry() as fake, registries(tmp_path) as known:
        layout = Layout()
        entries = [
            layout.image([layer]) | {"platform": {"os": "linux", "architecture": name}}
            for name, layer in zip(("amd64", "arm64"), LAYERS, strict=True)
        ]
        layout.name(layout.index(entries), f"{fake.host}/app:1")
        load(store, layout.archive())
        (pushed,) = await push(store, known.client(fake.host), Reference.parse(f"{fake.host}/app:1"))
        index = json.loads(fake.manifests["1"][1])
        assert sha256(fake.manifests["1"][1]) == pushed.digest
        for child, entry in zip(index["manifests"], entries, strict=True):
            assert child["platform"] == entry["platform"]
            manifest = json.loads(fake.manifests[child["digest"]][1])
            assert len(fake.manifests[child["digest"]][1]) == child["size"]
            assert {layer["mediaType"] for layer in manifest["layers"]} == {OCI_LAYER_GZIP}


async def test_what_a_registry_has_plain_stays_so(store: ImageStore, tmp_path: Path) -> None:
    async with FakeRegistry() as fake, registries(tmp_path) as known:
        document = fake.add_image([])
        config = json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "rootfs": {"type": "layers", "diff_ids": [sha256(layer) for layer in LAYERS]},
            }
        ).encode()
        document["config"] |= {"digest": fake.add_blob(config), "size": len(config)}
        document["layers"] = [
            {"mediaType": OCI_LAYER, "digest": fake.add_blob(layer), "size": len(layer)} for layer in LAYERS
        ]
        digest = fake.add_manifest(document, "1")
        await pull(store, known.client(fake.host), Reference.parse(f"{fake.host}/app:1"))
        store.tag(f"{fake.host}/app:1", f"{fake.host}/other", "2")
        (pushed,) = await push(store, known.client(fake.host), Reference.parse(f"{fake.host}/other:2"))
        assert pushed.digest == digest


async def test_damage_gets_no_digest_of_its_own(store: ImageStore, tmp_path: Path) -> None:
    async with FakeRegistry() as fake, registries(tmp_path) as known:
        load(store, docker_archive(LAYERS, [f"{fake.host}/app:1"]))
        path = store.content.path(sha256(LAYERS[1]))
        path.write_bytes(LAYERS[1][:-1] + b"x")
        with pytest.raises(IntegrityError, match="is damaged on disk"):
            await push(store, known.client(fake.host), Reference.parse(f"{fake.host}/app:1"))
        assert "1" not in fake.manifests
        assert everything(store)[2] == []


async def test_kept_as_long_as_what_it_was_made_of(store: ImageStore, tmp_path: Path) -> None:
    async with FakeRegistry() as fake, registries(tmp_path) as known:
        (image_id,) = load(store, docker_archive(LAYERS, [f"{fake.host}/app:1"]))
        await push(store, known.client(fake.host), Reference.parse(f"{fake.host}/app:1"))
        blobs = everything(store)[0]
        store.collect()
        assert everything(store)[0] == blobs
        assert len(store.registrar.tables.variants()) == 2
        store.remove(image_id, force=True)
        assert everything(store) == ([], [], [])
        store.collect()
        assert store.registrar.tables.variants() == []
