"""Pushing to a registry: what is sent, mounted, skipped; in one piece and in chunks, through failures."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiohttp import web

from corten.errors import IntegrityError, NotFound, Unavailable
from corten.image.model import Progress
from corten.image.pull import pull
from corten.image.push import push
from corten.image.store import ImageStore
from corten.oci.descriptor import Descriptor
from corten.oci.digest import Digest
from corten.oci.manifest import OCI_MANIFEST
from corten.oci.reference import Reference
from tests.unit.image.images import docker_archive, layer_of, load, make_store, sha256
from tests.unit.image.registry.fake import FakeRegistry, noise, refused, registries


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ImageStore]:
    store = make_store(tmp_path / "root")
    yield store
    store.close()


def blob_of(data: bytes) -> Descriptor:
    return Descriptor("application/octet-stream", Digest(sha256(data)), len(data))


def reader(data: bytes):  # type: ignore[no-untyped-def]
    async def read(offset: int) -> AsyncIterator[bytes]:
        while offset < len(data):
            yield data[offset : offset + 50_000]
            offset += 50_000

    return read


async def test_there_and_back(store: ImageStore, tmp_path: Path) -> None:
    seen: list[Progress] = []
    async with FakeRegistry() as fake, registries(tmp_path) as known:
        client = known.client(fake.host)
        (image_id,) = load(store, docker_archive([layer_of("a"), layer_of("b")], [f"{fake.host}/app:1"]))
        reference = Reference.parse(f"{fake.host}/app:1")
        (pushed,) = await push(store, client, reference, report=seen.append)
        assert sha256(fake.manifests["1"][1]) == pushed.digest
        assert seen[-1].status == f"1: digest: {pushed.digest} size: {pushed.size}"
        assert store.resolve(image_id).repo_digests == (f"{fake.host}/app@{pushed.digest}",)
        uploads = fake.count("PUT", "/blobs/")
        await push(store, client, reference, report=seen.append)
        assert fake.count("PUT", "/blobs/") == uploads == 3
        assert "Layer already exists" in {item.status for item in seen}
        other = make_store(tmp_path / "other")
        (pulled,) = await pull(other, client, reference)
        assert pulled.image_id == image_id and pulled.digest == pushed.digest
        other.close()


async def test_what_was_pulled_keeps_its_digests(store: ImageStore, tmp_path: Path) -> None:
    async with FakeRegistry() as fake, FakeRegistry() as target, registries(tmp_path) as known:
        entries = []
        for name in ("amd64", "arm64"):
            data = json.dumps(fake.add_image([layer_of(name)], "x", architecture=name)).encode()
            platform = {"os": "linux", "architecture": name}
            entries.append(
                {"mediaType": OCI_MANIFEST, "digest": sha256(data), "size": len(data), "platform": platform}
            )
        digest = fake.add_index(entries, "latest")
        reference = Reference.parse(f"{fake.host}/app")
        await pull(store, known.client(fake.host), reference)
        (single,) = await push(store, known.client(fake.host), reference)
        assert single.digest == entries[0]["digest"]  # the other platform is not here
        fake.add_index(entries, "latest")
        await pull(store, known.client(fake.host), reference, all_platforms=True)
        row = store.registrar.tables.tag(reference.repository, "latest")
        assert row is not None
        moved = Reference.parse(f"{target.host}/app")
        store.registrar.name(
            row.image, moved, Descriptor("application/vnd.oci.image.index.v1+json", digest, 1)
        )
        (index,) = await push(store, known.client(target.host), moved)
        assert index.digest == digest and set(target.manifests) == {digest, "latest"} | {
            entry["digest"] for entry in entries
        }
        assert set(target.blobs) == set(fake.blobs)


async def test_mount_from_another_repository(store: ImageStore, tmp_path: Path) -> None:
    seen: list[Progress] = []
    async with FakeRegistry() as fake, registries(tmp_path) as known:
        document = fake.add_image([layer_of("a")])
        layer = document["layers"][0]["digest"]
        fake.mountable = {(layer, "team/one")}
        await pull(store, known.client(fake.host), Reference.parse(f"{fake.host}/team/one"))
        store.tag(f"{fake.host}/team/one", f"{fake.host}/team/two")
        data = fake.blobs.pop(layer)
        await push(
            store, known.client(fake.host), Reference.parse(f"{fake.host}/team/two"), report=seen.append
        )
        assert "Mounted from team/one" in {item.status for item in seen}
        assert fake.count("PUT", "/uploads/") == 0 and data


async def test_nothing_to_push(store: ImageStore, tmp_path: Path) -> None:
    async with FakeRegistry() as fake, registries(tmp_path) as known:
        with pytest.raises(NotFound, match=r"does not exist locally with the tag: .*/app:latest"):
            await push(store, known.client(fake.host), Reference.parse(f"{fake.host}/app"))
        load(store, docker_archive([layer_of("a")], [f"{fake.host}/app:latest"]))
        image = store.resolve(f"{fake.host}/app")
        store.content.path(image.layers[0].digest).write_bytes(b"short")
        with pytest.raises(IntegrityError, match="is damaged on disk"):
            await push(store, known.client(fake.host), Reference.parse(f"{fake.host}/app"))
        assert fake.log == []


async def test_chunks_go_on_where_the_registry_is(tmp_path: Path) -> None:
    data = noise(300_000)
    failures = 1

    async def hook(request: web.Request) -> web.StreamResponse | None:
        nonlocal failures
        if request.method == "PATCH" and request.headers["Content-Range"].startswith("100000") and failures:
            failures -= 1
            fake.uploads[request.path.split("/")[-1]] += (await request.read())[:30_000]
            return refused(500, "UNKNOWN")
        return None

    async with FakeRegistry() as fake, registries(tmp_path) as known:
        fake.hook = hook
        done: list[int] = []
        client = known.client(fake.host)
        sent = await client.upload_blob(
            "app", blob_of(data), reader(data), chunk_size=100_000, progress=done.append
        )
        assert sent and fake.blobs[sha256(data)] == data and done[-1] == 300_000
        assert fake.count("PATCH", "/uploads/") == 4


async def test_monolithic_upload_is_begun_again(tmp_path: Path) -> None:
    data = noise(300_000)
    failures = 2

    async def hook(request: web.Request) -> web.StreamResponse | None:
        nonlocal failures
        if request.method == "PUT" and failures:
            failures -= 1
            if failures:
                return refused(503, "UNAVAILABLE")
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        return None

    async with FakeRegistry() as fake, registries(tmp_path) as known:
        fake.hook = hook
        await known.client(fake.host).upload_blob("app", blob_of(data), reader(data))
        assert fake.blobs[sha256(data)] == data and fake.count("POST", "/uploads/") == 3


async def test_uploads_that_fail(tmp_path: Path) -> None:
    async def hook(request: web.Request) -> web.StreamResponse | None:
        return refused(503, "UNAVAILABLE", "out of disk") if request.method == "PUT" else None

    async with FakeRegistry() as fake, registries(tmp_path) as known:
        client = known.client(fake.host)
        with pytest.raises(IntegrityError, match="provided digest did not match"):
            await client.upload_blob("app", blob_of(b"abc"), reader(b"abd"))
        fake.hook = hook
        with pytest.raises(Unavailable, match="out of disk"):
            await client.upload_blob("app", blob_of(b"abc"), reader(b"abc"))
        assert fake.blobs == {}


@pytest.mark.parametrize("location", ["http://h:port/x", "http://[h/x", "ftp://h/x"])
async def test_uploads_to_what_is_no_url(tmp_path: Path, location: str) -> None:
    async def hook(request: web.Request) -> web.StreamResponse | None:
        return web.Response(status=202, headers={"Location": location}) if request.method == "POST" else None

    async with FakeRegistry() as fake, registries(tmp_path) as known:
        fake.hook = hook
        with pytest.raises(Unavailable, match="which is no URL"):
            await known.client(fake.host).upload_blob("app", blob_of(b"abc"), reader(b"abc"))
