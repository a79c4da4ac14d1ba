"""Pulling from a registry that is honest, and from many that are not: one sentence, nothing half-made."""

import asyncio
import json
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web

from corten.errors import CortenError, Denied, IntegrityError, NotFound, Unavailable, Unsupported
from corten.image.model import Progress
from corten.image.pull import PulledImage, pull
from corten.image.registry.client import Registries
from corten.image.registry.config import HostConfig, RegistryConfig
from corten.image.registry.retry import RetryPolicy
from corten.image.store import ImageStore
from corten.oci.manifest import DOCKER_MANIFEST, OCI_MANIFEST
from corten.oci.platform import Platform
from corten.oci.reference import Reference
from tests.unit.image.images import everything, layer_of, make_store, sha256
from tests.unit.image.registry.fake import (
    FakeRegistry,
    broken_off,
    certificate,
    noise,
    refused,
    registries,
)
from tests.unit.snapshot.archives import member, tar_of

BIG = tar_of([member("big", noise(6 << 20))])


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ImageStore]:
    store = make_store(tmp_path / "root")
    yield store
    store.close()


async def fetch(
    store: ImageStore, fake: FakeRegistry, tmp_path: Path, name: str = "team/app:latest", **options: object
) -> list[PulledImage]:
    reference = Reference.parse(f"{fake.host}/{name}")
    async with registries(tmp_path) as known:
        return await pull(store, known.client(reference.domain), reference, **options)  # type: ignore[arg-type]


def leftovers(store: ImageStore) -> list[str]:
    return [path.name for path in (store.content.root / "ingest").iterdir()]


async def fails(
    store: ImageStore,
    fake: FakeRegistry,
    tmp_path: Path,
    kind: type[CortenError],
    words: str,
    **options: object,
) -> None:
    """One sentence of this kind with these words; no image, no blob, no layer, no file."""
    with pytest.raises(kind, match=words) as caught:
        await fetch(store, fake, tmp_path, **options)  # type: ignore[arg-type]
    assert "\n" not in caught.value.message
    assert everything(store) == ([], [], [])
    assert leftovers(store) == []


async def test_pull(store: ImageStore, tmp_path: Path) -> None:
    seen: list[Progress] = []
    async with FakeRegistry() as fake:
        fake.add_image([layer_of("a"), BIG])
        (pulled,) = await fetch(store, fake, tmp_path, report=seen.append)
        image = store.resolve(pulled.image_id)
        assert pulled.newer and image.repo_tags == (f"{fake.host}/team/app:latest",)
        assert image.repo_digests == (f"{fake.host}/team/app@{pulled.digest}",)
        (top, bottom) = store.lowers(image)
        assert (Path(top) / "big").stat().st_size == 6 << 20 and (Path(bottom) / "a").exists()
        assert {item.status.split(":")[0] for item in seen} >= {
            "Pulling from team/app",
            "Pulling fs layer",
            "Verifying Checksum",
            "Download complete",
            "Pull complete",
            "Digest",
            "Status",
        }
        blobs = fake.count("GET", "/blobs/")
        (again,) = await fetch(store, fake, tmp_path)
        assert not again.newer and again.image_id == pulled.image_id
        assert fake.count("GET", "/blobs/") == blobs and fake.count("GET", "/manifests/") == 1
        by_digest = await fetch(store, fake, tmp_path, f"team/app@{pulled.digest}")
        assert by_digest[0].image_id == pulled.image_id
        assert leftovers(store) == []
        assert store.registrar.tables.kept(0) == set()


async def test_shared_layers_are_not_pulled_again(store: ImageStore, tmp_path: Path) -> None:
    async with FakeRegistry() as fake:
        fake.add_image([BIG, layer_of("a")], "1")
        fake.add_image([BIG, layer_of("b")], "2")
        await fetch(store, fake, tmp_path, "team/app:1")
        before = fake.count("GET", "/blobs/")
        seen: list[Progress] = []
        await fetch(store, fake, tmp_path, "team/app:2", report=seen.append)
        assert fake.count("GET", "/blobs/") == before + 2  # the config and the new layer
        assert "Already exists" in {item.status for item in seen}


async def test_all_tags(store: ImageStore, tmp_path: Path) -> None:
    async with FakeRegistry() as fake:
        fake.add_image([layer_of("a")], "1")
        fake.add_image([layer_of("b")], "2")
        pulled = await fetch(store, fake, tmp_path, "team/app", all_tags=True)
        assert sorted(item.reference.tag or "" for item in pulled) == ["1", "2"]


async def test_many_layers_and_equal_ones(store: ImageStore, tmp_path: Path) -> None:
    layers = [layer_of(f"file{number % 120}") for number in range(127)]
    layers[5] = tar_of([])
    async with FakeRegistry() as fake:
        fake.add_image(layers)
        (pulled,) = await fetch(store, fake, tmp_path)
        assert len(store.lowers(store.resolve(pulled.image_id))) == 127


async def test_platforms(store: ImageStore, tmp_path: Path) -> None:
    async with FakeRegistry() as fake:
        entries = []
        for name in ("amd64", "arm64"):
            document = fake.add_image([layer_of(name)], "x", architecture=name)
            data = json.dumps(document).encode()
            entries.append(
                {
                    "mediaType": OCI_MANIFEST,
                    "digest": sha256(data),
                    "size": len(data),
                    "platform": {"os": "linux", "architecture": name},
                }
            )
        fake.add_index(entries, "latest")
        (mine,) = await fetch(store, fake, tmp_path)
        assert store.resolve(mine.image_id).config.architecture == "amd64"
        assert not store.content.contains(entries[1]["digest"])
        (other,) = await fetch(store, fake, tmp_path, platform=Platform.parse("linux/arm64"))
        assert store.resolve(other.image_id).config.architecture == "arm64"
        with pytest.raises(
            NotFound, match=r"no image for linux/s390x \(it is for: linux/amd64, linux/arm64\)"
        ):
            await fetch(store, fake, tmp_path, platform=Platform.parse("linux/s390x"))
        with pytest.raises(NotFound, match="is for linux/amd64, not for the platform linux/s390x"):
            fake.add_image([layer_of("amd64")], "single")
            await fetch(store, fake, tmp_path, "team/app:single", platform=Platform.parse("linux/s390x"))
        (all_,) = await fetch(store, fake, tmp_path, all_platforms=True)
        assert all_.image_id == mine.image_id and store.content.contains(entries[1]["digest"])


async def test_artifact(store: ImageStore, tmp_path: Path) -> None:
    seen: list[Progress] = []
    async with FakeRegistry() as fake:
        blob = fake.add_blob(b"signature")
        empty = fake.add_blob(b"{}")
        fake.add_manifest(
            {
                "schemaVersion": 2,
                "mediaType": OCI_MANIFEST,
                "artifactType": "application/vnd.example.signature",
                "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": empty, "size": 2},
                "layers": [{"mediaType": "application/octet-stream", "digest": blob, "size": 9}],
                "subject": {"mediaType": OCI_MANIFEST, "digest": sha256(b"x"), "size": 1},
            },
            "latest",
        )
        (pulled,) = await fetch(store, fake, tmp_path, report=seen.append)
        assert pulled.image_id == "" and pulled.artifact_type == "application/vnd.example.signature"
        assert "no container image" in seen[-1].status
        store.collect()
        assert store.content.read(blob) == b"signature"
        assert store.list() == []
        name = f"{fake.host}/team/app:latest"
        assert [item.untagged for item in store.remove(name)] == [name]
        assert everything(store) == ([], [], [])


# -- what lies


async def test_wrong_digest_of_a_layer(store: ImageStore, tmp_path: Path) -> None:
    async with FakeRegistry() as fake:
        document = fake.add_image([layer_of("a"), BIG])
        digest = document["layers"][1]["digest"]
        damaged = bytearray(fake.blobs[digest])
        damaged[-9] ^= 1
        fake.blobs[digest] = bytes(damaged)
        await fails(store, fake, tmp_path, IntegrityError, f"{digest}: digest mismatch.*thrown away")


async def test_wrong_digest_of_a_manifest(store: ImageStore, tmp_path: Path) -> None:
    async with FakeRegistry() as fake:
        fake.add_image([layer_of("a")])
        digest = sha256(b"another")
        fake.manifests[digest] = fake.manifests["latest"]
        name = f"team/app@{digest}"
        with pytest.raises(IntegrityError, match="digest mismatch"):
            await fetch(store, fake, tmp_path, name)
        assert everything(store) == ([], [], [])


async def test_wrong_diff_id(store: ImageStore, tmp_path: Path) -> None:
    async with FakeRegistry() as fake:
        document = fake.add_image([layer_of("a"), layer_of("b")])
        document["layers"].reverse()
        fake.add_manifest(document, "latest")
        await fails(store, fake, tmp_path, IntegrityError, "is not what the image says")


async def test_layer_longer_than_its_descriptor(store: ImageStore, tmp_path: Path) -> None:
    async with FakeRegistry() as fake:
        document = fake.add_image([BIG])
        digest = document["layers"][0]["digest"]
        fake.blobs[digest] += b"more"
        await fails(
            store, fake, tmp_path, IntegrityError, f"{digest}.*more than the .* bytes that the manifest"
        )


async def test_endless_layer_is_cut_off(store: ImageStore, tmp_path: Path) -> None:
    sent = 0

    async def hook(request: web.Request) -> web.StreamResponse | None:
        nonlocal sent
        if digest not in request.path:
            return None
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        with pytest.raises((ConnectionError, asyncio.CancelledError)):
            while sent < 1 << 30:
                await response.write(b"\0" * (1 << 16))
                sent += 1 << 16
        return response

    async with FakeRegistry() as fake:
        digest = fake.add_image([BIG])["layers"][0]["digest"]
        fake.hook = hook
        await fails(store, fake, tmp_path, IntegrityError, "more than the")
        assert sent < 64 << 20


async def test_endless_manifest_is_cut_off(store: ImageStore, tmp_path: Path) -> None:
    async def hook(request: web.Request) -> web.StreamResponse | None:
        return web.Response(body=b" " * (5 << 20), content_type=OCI_MANIFEST)

    async with FakeRegistry() as fake:
        fake.hook = hook
        await fails(store, fake, tmp_path, IntegrityError, "more than the 4194304 bytes that are allowed")


async def test_config_over_its_limit(store: ImageStore, tmp_path: Path) -> None:
    async with FakeRegistry() as fake:
        document = fake.add_image([layer_of("a")])
        document["config"]["size"] = 9 << 20
        fake.add_manifest(document, "latest")
        await fails(store, fake, tmp_path, IntegrityError, "at most 8388608")
        assert fake.count("GET", "/blobs/") == 0


async def test_wrong_media_types(store: ImageStore, tmp_path: Path) -> None:
    async with FakeRegistry() as fake:
        fake.add_image([layer_of("a")])
        data = fake.manifests["latest"][1]
        fake.manifests["latest"] = ("text/html", b"<html>log in to the hotel's network</html>")
        await fails(store, fake, tmp_path, IntegrityError, "sent 'text/html' instead of an image manifest")
        fake.manifests["latest"] = ("application/vnd.oci.image.index.v1+json", data)
        await fails(store, fake, tmp_path, IntegrityError, "says .*index.*but sent .*manifest")
        fake.manifests["latest"] = ("application/vnd.docker.distribution.manifest.v1+prettyjws", b"{}")
        await fails(store, fake, tmp_path, Unsupported, "schema 1, which is obsolete")
        fake.manifests["latest"] = (DOCKER_MANIFEST, b'{"schemaVersion":')
        await fails(store, fake, tmp_path, IntegrityError, "invalid manifest")


async def test_errors_in_words(store: ImageStore, tmp_path: Path) -> None:
    async with FakeRegistry() as fake:
        for status, code, kind, words in (
            (404, "MANIFEST_UNKNOWN", NotFound, "no such tag or digest"),
            (404, "NAME_UNKNOWN", NotFound, "no such repository"),
            (403, "DENIED", Denied, "this account may not do that"),
            (401, "UNAUTHORIZED", Denied, "wants a login"),
            (429, "TOOMANYREQUESTS", Unavailable, "too many requests; try again later"),
        ):

            async def hook(request: web.Request, answer: tuple[int, str] = (status, code)) -> web.Response:
                return refused(*answer)

            fake.hook = hook
            await fails(store, fake, tmp_path, kind, words)


# -- what breaks


async def test_truncated_layer_is_resumed(store: ImageStore, tmp_path: Path) -> None:
    cuts = [1 << 20, 3 << 20, (3 << 20) + 5]

    async def hook(request: web.Request) -> web.StreamResponse | None:
        if digest in request.path and cuts:
            start = request.http_range.start or 0
            blob = fake.blobs[digest]
            if not start:
                return await broken_off(request, blob[: cuts.pop(0)], len(blob))
            headers = {"Content-Range": f"bytes {start}-{len(blob) - 1}/{len(blob)}"}
            response = web.StreamResponse(status=206, headers=headers)
            response.content_length = len(blob) - start
            await response.prepare(request)
            await response.write(blob[start : cuts.pop(0)])
            await asyncio.sleep(0.02)
            assert request.transport is not None
            request.transport.close()
            return response
        return None

    async with FakeRegistry() as fake:
        digest = fake.add_image([BIG])["layers"][0]["digest"]
        fake.hook = hook
        (pulled,) = await fetch(store, fake, tmp_path)
        assert store.resolve(pulled.image_id)
        assert fake.ranges == ["bytes=1048576-", "bytes=3145728-", "bytes=3145733-"]


async def test_server_that_ignores_ranges(store: ImageStore, tmp_path: Path) -> None:
    first = True

    async def hook(request: web.Request) -> web.StreamResponse | None:
        nonlocal first
        if digest not in request.path:
            return None
        if first:
            first = False
            return await broken_off(request, fake.blobs[digest][: 2 << 20], len(fake.blobs[digest]))
        return web.Response(body=fake.blobs[digest])

    async with FakeRegistry() as fake:
        digest = fake.add_image([BIG])["layers"][0]["digest"]
        fake.hook = hook
        await fetch(store, fake, tmp_path)


async def test_pull_that_died_is_resumed_by_the_next(store: ImageStore, tmp_path: Path) -> None:
    async def hook(request: web.Request) -> web.StreamResponse | None:
        if digest not in request.path:
            return None
        if request.headers.get("Range"):
            return refused(503, "UNAVAILABLE")
        return await broken_off(request, fake.blobs[digest][: 4 << 20], len(fake.blobs[digest]))

    async with FakeRegistry() as fake:
        document = fake.add_image([layer_of("a"), BIG])
        small, digest = (layer["digest"] for layer in document["layers"])
        fake.hook = hook
        with pytest.raises(Unavailable):
            await fetch(store, fake, tmp_path)
        assert store.list() == [] and store.content.contains(small)  # what was verified stays
        (partial,) = (store.content.root / "ingest").iterdir()
        there = partial.stat().st_size
        assert 1 << 20 < there <= 4 << 20
        store.recover()  # as the next engine does
        fake.hook, fake.ranges, fake.log = None, [], []
        await fetch(store, fake, tmp_path)
        assert fake.ranges == [f"bytes={there}-"] and fake.count("GET", small) == 0
        assert leftovers(store) == [] and store.registrar.tables.kept(0) == set()


async def test_damaged_partial_is_pulled_anew(store: ImageStore, tmp_path: Path) -> None:
    async with FakeRegistry() as fake:
        digest = fake.add_image([BIG])["layers"][0]["digest"]
        store.content.partial_path(digest).write_bytes(b"x" * (2 << 20))
        (pulled,) = await fetch(store, fake, tmp_path)
        assert store.resolve(pulled.image_id) and leftovers(store) == []


async def test_always_truncated(store: ImageStore, tmp_path: Path) -> None:
    async def hook(request: web.Request) -> web.StreamResponse | None:
        return await broken_off(request, b"abc", 133) if digest in request.path else None

    async with FakeRegistry() as fake:
        digest = fake.add_image([layer_of("a")])["layers"][0]["digest"]
        fake.hook = hook
        with pytest.raises(Unavailable, match=f"{digest}"):
            await fetch(store, fake, tmp_path)
        assert leftovers(store) == [] and store.list() == []


@pytest.mark.parametrize("status", [429, 503])
async def test_busy_in_the_middle(store: ImageStore, tmp_path: Path, status: int) -> None:
    busy = 2

    async def hook(request: web.Request) -> web.StreamResponse | None:
        nonlocal busy
        if "/blobs/" in request.path and busy:
            busy -= 1
            return refused(status, "TOOMANYREQUESTS", headers={"Retry-After": "1"})
        return None

    async with FakeRegistry() as fake:
        fake.add_image([layer_of("a")])
        fake.hook = hook
        began = time.monotonic()
        await fetch(store, fake, tmp_path)
        assert 1.9 < time.monotonic() - began < 10


async def test_retry_after_is_bounded(store: ImageStore, tmp_path: Path) -> None:
    async def hook(request: web.Request) -> web.StreamResponse | None:
        return refused(429, "TOOMANYREQUESTS", headers={"Retry-After": "86400"})

    async with FakeRegistry() as fake:
        fake.hook = hook
        await fails(store, fake, tmp_path, Unavailable, "asks to wait 86400 s")
        assert len(fake.log) == 1


async def test_stalled_body(store: ImageStore, tmp_path: Path) -> None:
    async def hook(request: web.Request) -> web.StreamResponse | None:
        if digest not in request.path:
            return None
        response = web.StreamResponse(headers={"Content-Length": str(len(fake.blobs[digest]))})
        await response.prepare(request)
        await response.write(b"\x1f")
        await asyncio.sleep(30)
        return response

    async with FakeRegistry() as fake:
        digest = fake.add_image([layer_of("a")])["layers"][0]["digest"]
        fake.hook = hook
        with pytest.raises(Unavailable, match=r"sent nothing for 0\.5 s"):
            await fetch(store, fake, tmp_path)


async def test_trickling_body(store: ImageStore, tmp_path: Path) -> None:
    async def hook(request: web.Request) -> web.StreamResponse | None:
        if digest not in request.path:
            return None
        response = web.StreamResponse(headers={"Content-Length": str(len(fake.blobs[digest]))})
        await response.prepare(request)
        while True:
            await response.write(b"x")
            await asyncio.sleep(0.1)

    async with FakeRegistry() as fake:
        digest = fake.add_image([BIG])["layers"][0]["digest"]
        fake.hook = hook
        with pytest.raises(Unavailable, match="sent nothing for"):
            await fetch(store, fake, tmp_path)


async def test_nobody_listens(store: ImageStore, tmp_path: Path) -> None:
    fake = FakeRegistry()
    fake.host = "127.0.0.1:1"
    await fails(store, fake, tmp_path, Unavailable, "cannot reach 127.0.0.1:1")


# -- redirects, mirrors, TLS


async def test_redirects_carry_no_credentials_elsewhere(store: ImageStore, tmp_path: Path) -> None:
    async with FakeRegistry() as fake, FakeRegistry() as storage:
        fake.auth = {"user": "secret"}
        (tmp_path / "config.json").write_text(
            json.dumps({"auths": {fake.host: {"username": "user", "password": "secret"}}})
        )
        fake.add_image([layer_of("a")])
        storage.blobs = fake.blobs

        async def hook(request: web.Request) -> web.StreamResponse | None:
            if "/blobs/" in request.path and request.headers.get("Authorization"):
                where = f"http://{storage.host}{request.path}?signature=a%2Fb"
                return web.Response(status=307, headers={"Location": where})
            return None

        fake.hook = hook
        await fetch(store, fake, tmp_path)
        assert storage.count("GET", "signature=a%2Fb") == 2
        assert {authorization for _, _, authorization in storage.log} == {""}


async def test_a_redirect_target_that_asks_gets_nothing(store: ImageStore, tmp_path: Path) -> None:
    async with FakeRegistry() as fake, FakeRegistry() as thief:
        thief.auth = {"user": "secret"}
        (tmp_path / "config.json").write_text(
            json.dumps({"auths": {fake.host: {"username": "user", "password": "secret"}}})
        )
        fake.add_image([layer_of("a")])

        async def hook(request: web.Request) -> web.StreamResponse | None:
            if "/blobs/" in request.path:
                return web.Response(status=302, headers={"Location": f"http://{thief.host}{request.path}"})
            return None

        fake.hook = hook
        await fails(store, fake, tmp_path, Denied, "wants a login")
        assert {authorization for _, _, authorization in thief.log} == {""}


@pytest.mark.parametrize("location", ["http://h:port/x", "http://[h/x", "http://h:0/x", "ftp://h/x"])
async def test_redirects_to_what_is_no_url(store: ImageStore, tmp_path: Path, location: str) -> None:
    async def hook(request: web.Request) -> web.StreamResponse | None:
        return web.Response(status=302, headers={"Location": location})

    async with FakeRegistry() as fake:
        fake.hook = hook
        await fails(store, fake, tmp_path, Unavailable, "which is no URL")


async def test_redirects_in_circles(store: ImageStore, tmp_path: Path) -> None:
    async def hook(request: web.Request) -> web.StreamResponse | None:
        return web.Response(status=302, headers={"Location": request.path})

    async with FakeRegistry() as fake:
        fake.hook = hook
        await fails(store, fake, tmp_path, Unavailable, "redirects in circles")


async def test_mirrors(store: ImageStore, tmp_path: Path) -> None:
    async with FakeRegistry() as fake, FakeRegistry() as mirror:
        document = fake.add_image([layer_of("a"), BIG])
        mirror.blobs = dict(fake.blobs)
        mirror.blobs[document["layers"][1]["digest"]] = noise(document["layers"][1]["size"])
        del mirror.blobs[document["layers"][0]["digest"]]
        config = RegistryConfig(
            {fake.host: HostConfig(mirrors=("http://127.0.0.1:1", f"http://{mirror.host}"))}
        )
        async with registries(tmp_path, config=config) as known:
            reference = Reference.parse(f"{fake.host}/team/app")
            (pulled,) = await pull(store, known.client(fake.host), reference)
        assert store.resolve(pulled.image_id)
        assert mirror.count("GET", document["layers"][1]["digest"]) == 1  # the lie
        assert fake.count("GET", document["layers"][1]["digest"]) == 1  # the truth


async def test_certificates(store: ImageStore, tmp_path: Path) -> None:
    cert, key = certificate(tmp_path / "tls")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    fake = await FakeRegistry().start(context)
    try:
        fake.add_image([layer_of("a")])
        reference = Reference.parse(f"{fake.host}/team/app")
        strict = RegistryConfig(certs_dirs=(tmp_path / "certs.d",), loopback=False)
        async with registries(tmp_path, config=strict) as known:
            with pytest.raises(
                Unavailable, match=r"TLS certificate of .* is not valid: self-signed certificate"
            ):
                await pull(store, known.client(fake.host), reference)
        assert everything(store) == ([], [], [])
        directory = tmp_path / "certs.d" / fake.host
        directory.mkdir(parents=True)
        (directory / "ca.crt").write_bytes(cert.read_bytes())
        async with registries(tmp_path, config=strict) as known:
            await pull(store, known.client(fake.host), reference)
        async with registries(tmp_path, config=RegistryConfig(loopback=False)) as known:
            assert await known.client(fake.host, insecure=True).tags("team/app") == ["latest"]
    finally:
        await fake.stop()


async def test_client_certificates(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path / "tls")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    context.load_verify_locations(cert)
    context.verify_mode = ssl.CERT_REQUIRED
    fake = await FakeRegistry().start(context)
    try:
        fake.add_image([layer_of("a")])
        directory = tmp_path / "certs.d" / fake.host
        directory.mkdir(parents=True)
        (directory / "ca.crt").write_bytes(cert.read_bytes())
        config = RegistryConfig(certs_dirs=(tmp_path / "certs.d",), loopback=False)
        async with registries(tmp_path, config=config) as known:
            with pytest.raises(Unavailable):
                await known.client(fake.host).tags("team/app")
        (directory / "me.cert").write_bytes(cert.read_bytes())
        (directory / "me.key").write_bytes(key.read_bytes())
        async with registries(tmp_path, config=config) as known:
            assert await known.client(fake.host).tags("team/app") == ["latest"]
    finally:
        await fake.stop()


async def test_plain_http_is_for_insecure_hosts_only(tmp_path: Path) -> None:
    async with FakeRegistry() as fake:
        fake.add_image([layer_of("a")])
        async with registries(tmp_path, config=RegistryConfig(loopback=False)) as known:
            with pytest.raises(Unavailable, match="no TLS with"):
                await known.client(fake.host).tags("team/app")
            assert fake.log == []


# -- several at once


async def test_two_pulls_download_once(store: ImageStore, tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def hook(request: web.Request) -> web.StreamResponse | None:
        if digest in request.path:
            await gate.wait()
        return None

    async with FakeRegistry() as fake, registries(tmp_path) as known:
        digest = fake.add_image([BIG, layer_of("a")], "1")["layers"][0]["digest"]
        fake.add_image([BIG, layer_of("b")], "2")
        fake.hook = hook
        tasks = [
            asyncio.create_task(
                pull(store, known.client(fake.host), Reference.parse(f"{fake.host}/team/app:{tag}"))
            )
            for tag in ("1", "2")
        ]
        while not any(digest in path for _, path, _ in fake.log):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        gate.set()
        first, second = await asyncio.gather(*tasks)
        assert first[0].image_id != second[0].image_id
        assert fake.count("GET", digest) == 1
        assert leftovers(store) == [] and not list(store.snapshotter.staging.iterdir())  # type: ignore[attr-defined]


async def test_the_other_pull_goes_on_when_one_is_cancelled(store: ImageStore, tmp_path: Path) -> None:
    half = asyncio.Event()
    gate = asyncio.Event()

    async def hook(request: web.Request) -> web.StreamResponse | None:
        if digest not in request.path:
            return None
        blob = fake.blobs[digest]
        response = web.StreamResponse(headers={"Content-Length": str(len(blob))})
        await response.prepare(request)
        await response.write(blob[: 3 << 20])
        half.set()
        await gate.wait()
        await response.write(blob[3 << 20 :])
        return response

    async with FakeRegistry() as fake:
        digest = fake.add_image([BIG], "1")["layers"][0]["digest"]
        fake.hook = hook
        reference = Reference.parse(f"{fake.host}/team/app:1")
        async with Registries(config=RegistryConfig(), retry=RetryPolicy()) as known:
            first = asyncio.create_task(pull(store, known.client(fake.host), reference))
            await half.wait()
            second = asyncio.create_task(pull(store, known.client(fake.host), reference))
            await asyncio.sleep(0.2)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            gate.set()
            (pulled,) = await second
            assert store.resolve(pulled.image_id) and fake.count("GET", digest) == 1


async def test_cancelled_pull_can_be_resumed(store: ImageStore, tmp_path: Path) -> None:
    half = asyncio.Event()

    async def hook(request: web.Request) -> web.StreamResponse | None:
        if digest not in request.path or request.headers.get("Range"):
            return None
        response = web.StreamResponse(headers={"Content-Length": str(len(fake.blobs[digest]))})
        await response.prepare(request)
        await response.write(fake.blobs[digest][: 3 << 20])
        half.set()
        await asyncio.sleep(30)
        return response

    async with FakeRegistry() as fake:
        digest = fake.add_image([BIG])["layers"][0]["digest"]
        fake.hook = hook
        task = asyncio.create_task(fetch(store, fake, tmp_path))
        await half.wait()
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(leftovers(store)) == 1 and store.list() == []
        await fetch(store, fake, tmp_path)
        assert len(fake.ranges) == 1 and leftovers(store) == []


async def test_foreign_layers(store: ImageStore, tmp_path: Path) -> None:
    async with FakeRegistry() as fake, FakeRegistry() as elsewhere:
        document = fake.add_image([layer_of("a")])
        layer = document["layers"][0]
        layer["mediaType"] = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
        layer["urls"] = [f"http://{elsewhere.host}/v2/x/blobs/{layer['digest']}"]
        elsewhere.blobs[layer["digest"]] = fake.blobs.pop(layer["digest"])
        fake.add_manifest(document, "latest")
        (pulled,) = await fetch(store, fake, tmp_path)
        assert store.resolve(pulled.image_id)
