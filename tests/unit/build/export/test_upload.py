"""A build's results pushed to a registry."""

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from corten.build.export.layer_blobs import blob_of
from corten.build.solve.result import Result
from corten.errors import CortenError
from corten.oci.manifest import OCI_INDEX, OCI_LAYER, OCI_LAYER_GZIP, OCI_MANIFEST
from corten.oci.platform import Platform
from tests.unit.build.export.builds import AMD64, Builds, output
from tests.unit.image.images import layer_of, sha256
from tests.unit.image.registry.fake import FakeRegistry, refused, registries

ARM64 = Platform("arm64", "linux", "v8")


@contextlib.asynccontextmanager
async def registry_and_builds(root: Path) -> AsyncIterator[tuple[FakeRegistry, Builds]]:
    async with FakeRegistry() as fake, registries(root) as known:
        builds = Builds(root / "root", known)
        try:
            yield fake, builds
        finally:
            builds.close()


async def test_pushed_alone(tmp_path: Path) -> None:
    async with registry_and_builds(tmp_path) as (fake, pushing):
        image = pushing.image({"a": b"1"}, base=pushing.base([layer_of("etc/a")]))
        exported = await pushing.export(
            [image], output("registry"), tags=[f"{fake.host}/app:1", f"{fake.host}/app:2"]
        )
        assert set(fake.manifests) == {"1", "2", exported.digest}
        kind, data = fake.manifests["1"]
        assert (kind, sha256(data)) == (OCI_MANIFEST, exported.digest)
        manifest = json.loads(data)
        assert [layer["mediaType"] for layer in manifest["layers"]] == [OCI_LAYER, OCI_LAYER_GZIP]
        assert set(fake.blobs) == {part["digest"] for part in (manifest["config"], *manifest["layers"])}
        assert [image.repo_tags for image in pushing.store.list()] == [("base:1",)]
        uploads = fake.count("PUT", "/uploads/")
        await pushing.export([image], output("registry"), tags=[f"{fake.host}/app:1"])
        assert fake.count("PUT", "/uploads/") == uploads


async def test_stored_and_pushed_under_one_digest(tmp_path: Path) -> None:
    async with registry_and_builds(tmp_path) as (fake, pushing):
        name = f"{fake.host}/app:1"
        exported = await pushing.export(
            [pushing.image({"a": b"1"})], output("image", push="true"), tags=[name]
        )
        assert sha256(fake.manifests["1"][1]) == exported.digest == exported.metadata["containerimage.digest"]
        found = pushing.store.resolve(name)
        assert found.manifest.digest == exported.digest
        assert found.repo_digests == (f"{fake.host}/app@{exported.digest}",)


async def test_by_digest(tmp_path: Path) -> None:
    async with registry_and_builds(tmp_path) as (fake, pushing):
        image = pushing.image({"a": b"1"})
        exported = await pushing.export(
            [image], output("registry", name=f"{fake.host}/app", push_by_digest="true")
        )
        assert list(fake.manifests) == [exported.digest]
        assert exported.metadata["image.name"] == f"{fake.host}/app"


async def test_an_index_comes_behind_its_manifests(tmp_path: Path) -> None:
    async with registry_and_builds(tmp_path) as (fake, pushing):
        images = [pushing.image({"a": name}, platform=p) for name, p in ((b"arm", ARM64), (b"amd", AMD64))]
        exported = await pushing.export(images, output("registry"), tags=[f"{fake.host}/app"])
        kind, data = fake.manifests["latest"]
        assert (kind, sha256(data)) == (OCI_INDEX, exported.digest)
        children = [child["digest"] for child in json.loads(data)["manifests"]]
        assert list(fake.manifests) == [*children, "latest", exported.digest]


async def test_a_base_that_is_not_here_is_mounted(tmp_path: Path) -> None:
    async with registry_and_builds(tmp_path) as (fake, pushing):
        result, resolved = pushing.base([layer_of("etc/a")])
        (layer,) = result.layers
        blob = blob_of(layer)
        data = pushing.store.content.path(blob.digest).read_bytes()
        elsewhere = msgspec.structs.replace(layer, origin=f"{fake.host}/library/base:1@{sha256(b'')}")
        pushing.store.content.path(blob.digest).unlink()
        image = pushing.image({"a": b"1"}, base=(Result((elsewhere,)), resolved))
        fake.mountable = {(blob.digest, "library/base")}
        await pushing.export([image], output("registry"), tags=[f"{fake.host}/app"])
        assert not pushing.store.content.contains(blob.digest) and blob.digest in fake.blobs | {
            blob.digest: b""
        }
        assert fake.count("GET", blob.digest) == 0

        # A registry that does not mount gets it by way of here.
        fake.mountable.clear()
        fake.blobs.pop(blob.digest, None)

        async def hook(request):  # type: ignore[no-untyped-def]
            if request.method == "GET" and request.path.endswith(blob.digest):
                fake.blobs[blob.digest] = data
                answer = fake.blob(request, blob.digest)
                del fake.blobs[blob.digest]
                return answer
            return None

        fake.hook = hook
        await pushing.export([image], output("registry"), tags=[f"{fake.host}/app"])
        assert fake.count("GET", blob.digest) == 1 and fake.blobs[blob.digest] == data


async def test_a_push_that_fails_leaves_no_tag(tmp_path: Path) -> None:
    async with registry_and_builds(tmp_path) as (fake, pushing):

        async def hook(request):  # type: ignore[no-untyped-def]
            return refused(403, "DENIED") if request.method == "PUT" and "/uploads/" in request.path else None

        fake.hook = hook
        with pytest.raises(CortenError, match="this account may not do that"):
            await pushing.export([pushing.image({"a": b"1"})], output("registry"), tags=[f"{fake.host}/app"])
        assert fake.manifests == {}
