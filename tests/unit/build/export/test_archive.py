"""A build's results as archives and image layouts."""

import asyncio
import io
import json
import tarfile
from pathlib import Path

import pytest

from corten.errors import IntegrityError, InvalidArgument
from corten.oci.platform import Platform
from tests.unit.build.export.builds import AMD64, Builds, contents, output
from tests.unit.image.images import layer_of, make_store, sha256

ARM64 = Platform("arm64", "linux", "v8")


def members(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {item.name: tar.extractfile(item).read() for item in tar if item.isfile()}  # type: ignore[union-attr]


async def test_oci(builds: Builds) -> None:
    image = builds.image({"a": b"1"}, base=builds.base([layer_of("etc/a")]))
    exported = await builds.export([image], output("oci", dest="/tmp/x.tar"), tags=["app:1", "app:2"])
    (file,) = exported.files
    assert (file.destination, file.unpack) == ("/tmp/x.tar", False)
    files = members(await contents(exported))
    index = json.loads(files["index.json"])
    assert [
        (entry["digest"], entry["platform"], entry["annotations"]["org.opencontainers.image.ref.name"])
        for entry in index["manifests"]
    ] == [(exported.digest, {"architecture": "amd64", "os": "linux"}, tag) for tag in ("1", "2")]
    assert "manifest.json" not in files
    blobs = {name for name in files if name.startswith("blobs/")}
    assert all(sha256(files[name]) == name[6:].replace("/", ":") for name in blobs)
    manifest = json.loads(files[_blob(exported.digest)])
    assert blobs == {
        _blob(part["digest"])
        for part in (manifest["config"], *manifest["layers"], {"digest": exported.digest})
    }
    # Nothing of it is in the store under a name.
    assert [image.repo_tags for image in builds.store.list()] == [("base:1",)]


async def test_docker_is_loaded_again(builds: Builds, tmp_path: Path) -> None:
    image = builds.image({"a": b"1"}, base=builds.base([layer_of("etc/a")]))
    exported = await builds.export([image], output("docker", dest="-"), tags=["app:1"])
    data = await contents(exported)
    files = members(data)
    (entry,) = json.loads(files["manifest.json"])
    assert entry["RepoTags"] == ["app:1"] and set(entry["Layers"]) <= set(files)
    other = make_store(tmp_path / "other")
    (loaded,) = other.load(io.BytesIO(data))
    assert loaded.id == exported.image_id and other.resolve("app:1").manifest.digest == exported.digest
    other.close()


async def test_the_same_bytes_twice(builds: Builds, tmp_path: Path) -> None:
    other = Builds(tmp_path / "other")
    found = []
    for one in (builds, other):
        image = one.image({"a": b"1"}, {"b": b"2" * 3_000_000})
        found.append(await contents(await one.export([image], output("oci", dest="/x", compression="gzip"))))
    other.close()
    assert found[0] == found[1]


async def test_into_a_layout_that_is_there(builds: Builds, tmp_path: Path) -> None:
    directory = tmp_path / "layout"
    directory.mkdir()
    digests = {}
    for tag, data in (("1", b"old"), ("2", b"other"), ("1", b"new")):
        destination = str(directory)
        exported = await builds.export(
            [builds.image({"a": data})], output("oci", dest=destination, tar="false"), tags=[f"app:{tag}"]
        )
        assert exported.files[0].unpack
        with tarfile.open(fileobj=io.BytesIO(await contents(exported))) as tar:
            tar.extractall(directory)
        digests[tag] = exported.digest
    index = json.loads((directory / "index.json").read_bytes())
    assert {
        entry["annotations"]["org.opencontainers.image.ref.name"]: entry["digest"]
        for entry in index["manifests"]
    } == digests
    (directory / "index.json").unlink()
    (directory / "index.json").mkdir()
    exported = await builds.export(
        [builds.image({"a": b"1"})], output("oci", dest=str(directory), tar="false")
    )
    with pytest.raises(InvalidArgument, match=r"cannot read .*index.json"):
        await contents(exported)


async def test_several_platforms(builds: Builds) -> None:
    images = [builds.image({"a": name}, platform=p) for name, p in ((b"arm", ARM64), (b"amd", AMD64))]
    exported = await builds.export(
        images, output("docker", dest="-"), tags=["app"], annotations=["index-descriptor:a=1"]
    )
    files = members(await contents(exported))
    (entry,) = json.loads(files["index.json"])["manifests"]
    assert entry["digest"] == exported.digest and entry["annotations"]["a"] == "1"
    index = json.loads(files[_blob(exported.digest)])
    assert len(index["manifests"]) == 2
    (docker,) = json.loads(files["manifest.json"])
    assert json.loads(files[docker["Config"]])["architecture"] == "amd64"


async def test_a_damaged_layer_is_said(builds: Builds) -> None:
    exported = await builds.export([builds.image({"a": b"1"})], output("oci", dest="-"))
    manifest = json.loads(members(await contents(exported))[_blob(exported.digest)])
    path = builds.store.content.path(manifest["layers"][0]["digest"])
    data = bytearray(path.read_bytes())
    data[512] ^= 1
    path.write_bytes(data)
    exported = await builds.export([builds.image({"a": b"1"})], output("oci", dest="-"))
    builds.store.content.path(manifest["layers"][0]["digest"]).write_bytes(data)
    with pytest.raises(IntegrityError, match="is damaged on disk"):
        await contents(exported)


async def test_a_reader_may_leave(builds: Builds) -> None:
    image = builds.image({"a": bytes(20 << 20)})
    exported = await builds.export([image], output("oci", dest="-"), output("tar", dest="/x.tar"))
    for file in exported.files:
        async for piece in file.pieces:
            assert piece
            break
        await file.pieces.aclose()  # type: ignore[attr-defined]
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


def _blob(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")
