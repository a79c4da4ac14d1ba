"""A build's files as they are."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from corten.errors import Conflict
from corten.oci.platform import Platform
from tests.unit.build.export.builds import AMD64, EPOCH, Builds, contents, output

pytestmark = pytest.mark.root
ARM = Platform("arm", "linux", "v7")


def names(data: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return tar.getnames()


async def test_all_layers_as_one_tree(builds: Builds) -> None:
    def change(tree: Path) -> None:
        os.mknod(tree / "gone", 0o020000, os.makedev(0, 0))
        (tree / "b").write_bytes(b"new")

    image = builds.image({"a": b"1", "b": b"old", "gone": b"x", "d/e": b"2"}, change)
    exported = await builds.export([image], output("tar", dest="-"))
    assert exported.image_id == "" and exported.metadata == {}
    data = await contents(exported)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert tar.getnames() == ["a", "b", "d", "d/e"]
        assert tar.extractfile("b").read() == b"new"  # type: ignore[union-attr]
        assert {item.mtime for item in tar} == {EPOCH}


async def test_local_and_tar_at_once(builds: Builds) -> None:
    image = builds.image({"a": b"1"})
    exported = await builds.export(
        [image], output("local", dest="/out"), output("tar", dest="/out.tar"), output("image"), tags=["app"]
    )
    assert [(file.destination, file.unpack) for file in exported.files] == [
        ("/out", True),
        ("/out.tar", False),
    ]
    assert await contents(exported, 0) == await contents(exported, 1)
    assert exported.image_id == builds.store.resolve("app").id


async def test_nothing_at_all(builds: Builds) -> None:
    exported = await builds.export([builds.image(None)], output("tar", dest="-"))
    assert names(await contents(exported)) == []


async def test_one_platform_in_a_directory_of_its_own(builds: Builds) -> None:
    image = builds.image({"x": b"1"}, platform=ARM)
    exported = await builds.export([image], output("local", dest="/out", platform_split="true"))
    assert names(await contents(exported)) == ["linux_arm_v7", "linux_arm_v7/x"]
    exported = await builds.export([image], output("local", dest="/out", mode="delete"))
    assert names(await contents(exported)) == ["x"] and exported.files[0].delete


async def test_platforms_side_by_side_or_in_one(builds: Builds) -> None:
    images = [builds.image({"bin/x": b"1"}, platform=AMD64), builds.image({"bin/y": b"2"}, platform=ARM)]
    exported = await builds.export(images, output("local", dest="/out"))
    assert names(await contents(exported)) == [
        "linux_amd64",
        "linux_amd64/bin",
        "linux_amd64/bin/x",
        "linux_arm_v7",
        "linux_arm_v7/bin",
        "linux_arm_v7/bin/y",
    ]
    exported = await builds.export(images, output("local", dest="/out", platform_split="false"))
    assert sorted(set(names(await contents(exported)))) == ["bin", "bin/x", "bin/y"]
    images[1] = builds.image({"bin/x": b"2"}, platform=ARM)
    exported = await builds.export(images, output("local", dest="/out", platform_split="false"))
    with pytest.raises(Conflict, match="several have the file 'bin/x'"):
        await contents(exported)
