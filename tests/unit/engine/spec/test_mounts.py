"""-v, --mount, --tmpfs and VOLUME, and who wins."""

from __future__ import annotations

from itertools import count

import pytest

from corten.api.container import ContainerConfig
from corten.api.host_config import (
    BindOptions,
    DriverConfig,
    HostConfig,
    Mount,
    TmpfsOptions,
    VolumeOptions,
)
from corten.engine.record import Container, Definition, MountRecord, StateRecord
from corten.engine.spec.mounts import Resolved, parse_bind, resolve_mounts
from corten.errors import InvalidArgument, NotFound


def resolve(host: HostConfig, config: ContainerConfig | None = None, *others: Container) -> Resolved:
    numbers = count(1)

    def find(ref: str) -> Container:
        for other in others:
            if other.name == ref:
                return other
        raise NotFound(f"No such container: {ref}")

    return resolve_mounts(
        config or ContainerConfig(),
        host,
        find=find,
        new_name=lambda: f"anonymous{next(numbers)}",
        image_id=lambda ref: "sha256:" + ref,
    )


def one(text: str) -> MountRecord:
    return parse_bind(text, driver="", new_name=lambda: "anonymous")


def test_binds() -> None:
    bind = one("/src/../host:/inside/:ro,rslave,z")
    assert (bind.type, bind.source, bind.destination) == ("bind", "/host", "/inside")
    assert (bind.rw, bind.propagation, bind.mode) == (False, "rslave", "ro,rslave,z")
    assert one("/a:/b").propagation == "rprivate"
    assert one("/a:/b:idmap").id_map


def test_volumes() -> None:
    named = one("store:/v:nocopy")
    assert (named.type, named.name, named.no_copy, named.anonymous) == ("volume", "store", True, False)
    alone = one("/v")
    assert (alone.name, alone.anonymous) == ("anonymous", True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "invalid volume specification"),
        (":/x", "invalid volume specification"),
        ("/a:", "invalid volume specification"),
        ("/a:b", "must be absolute"),
        ("/a:/..", "can't be '/'"),
        ("/a:/b:ro,rw", "invalid mode"),
        ("/a:/b:nocopy", "nocopy is for volumes"),
        ("store:/b:rshared", "propagation is for bind mounts"),
        ("s:/b", "invalid characters"),
    ],
)
def test_binds_that_are_none(text: str, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        one(text)


def test_what_the_image_declares_yields() -> None:
    config = ContainerConfig(volumes={"/data": {}, "/own": {}, "/tmp/x": {}})
    found = resolve(HostConfig(binds=["mine:/data"], tmpfs={"/tmp/x": ""}), config)
    by_place = {mount.destination: mount for mount in found.mounts}
    assert by_place["/data"].name == "mine"
    assert by_place["/own"].anonymous
    assert by_place["/tmp/x"].type == "tmpfs"


def test_parents_are_mounted_before_children() -> None:
    found = resolve(HostConfig(binds=["aa:/a/b/c", "bb:/a", "cc:/a/b"]))
    assert [mount.destination for mount in found.mounts] == ["/a", "/a/b", "/a/b/c"]


def test_volumes_from_others() -> None:
    mounts = [
        MountRecord(type="volume", destination="/v", name="store"),
        MountRecord(type="bind", destination="/b", source="/host"),
        MountRecord(type="tmpfs", destination="/t", origin="tmpfs"),
    ]
    definition = Definition(
        config=ContainerConfig(), host_config=HostConfig(), image_id="sha256:x", mounts=mounts
    )
    other = Container("a" * 64, "other", 1, definition, StateRecord())
    found = resolve(HostConfig(volumes_from=["other:ro"], binds=["mine:/b"]), None, other)
    by_place = {mount.destination: mount for mount in found.mounts}
    assert set(by_place) == {"/v", "/b"}
    assert (by_place["/v"].name, by_place["/v"].rw) == ("store", False)
    assert by_place["/b"].name == "mine"
    with pytest.raises(InvalidArgument, match="volumes-from"):
        resolve(HostConfig(volumes_from=["other:wrong"]), None, other)


def test_mounts_with_all_their_keys() -> None:
    options = VolumeOptions(
        no_copy=True,
        labels={"l": "1"},
        driver_config=DriverConfig(name="local", options={"type": "tmpfs", "device": "tmpfs"}),
    )
    found = resolve(
        HostConfig(
            mounts=[
                Mount(
                    type="bind",
                    source="/",
                    target="/host",
                    read_only=True,
                    bind_options=BindOptions(propagation="rshared", non_recursive=True, id_map=True),
                ),
                Mount(type="volume", source="store", target="/v", volume_options=options),
                Mount(
                    type="tmpfs", target="/t", tmpfs_options=TmpfsOptions(size_bytes=10, options=[["exec"]])
                ),
                Mount(type="image", source="tools", target="/i"),
            ]
        )
    )
    by_place = {mount.destination: mount for mount in found.mounts}
    bind = by_place["/host"]
    assert (bind.rw, bind.propagation, bind.non_recursive, bind.id_map) == (False, "rshared", True, True)
    assert found.drivers["store"] == ("local", {"type": "tmpfs", "device": "tmpfs"}, {"l": "1"})
    assert by_place["/v"].no_copy
    assert by_place["/t"].options == ("nosuid", "nodev", "size=10", "exec")
    assert (by_place["/i"].image_id, by_place["/i"].rw) == ("sha256:tools", False)


@pytest.mark.parametrize(
    ("mount", "words"),
    [
        (
            Mount(type="bind", source="/", target="/x", volume_options=VolumeOptions()),
            "VolumeOptions must not",
        ),
        (Mount(type="bind", target="/x"), "Source must not be empty"),
        (Mount(type="tmpfs", source="/s", target="/x"), "Source must not be specified"),
        (
            Mount(type="volume", source="vv", target="/x", volume_options=VolumeOptions(subpath="../up")),
            "subpath",
        ),
        (Mount(type="bind", source="/", target="/x", bind_options=BindOptions(propagation="wild")), "wild"),
        (Mount(type="image", target="/x"), "Source must not be empty"),
    ],
)
def test_mounts_that_make_no_sense(mount: Mount, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        resolve(HostConfig(mounts=[mount]))


@pytest.mark.parametrize("text", ["size=big", "mode=9", "wrong", "uid=x"])
def test_tmpfs_options_that_are_none(text: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid tmpfs option"):
        resolve(HostConfig(tmpfs={"/t": text}))
