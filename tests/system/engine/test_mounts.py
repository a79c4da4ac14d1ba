"""Volumes, binds and tmpfs, from inside and from outside."""

from __future__ import annotations

from pathlib import Path

import pytest

from corten.api.host_config import BindOptions, Mount, TmpfsOptions, VolumeOptions
from corten.api.volume import VolumeCreate
from corten.errors import Conflict, InvalidArgument, NotFound
from tests.system.engine.conftest import Boat

pytestmark = pytest.mark.root


async def test_a_volume_outlives_its_container(boat: Boat) -> None:
    first = await boat.sh("echo kept > /v/file", host={"binds": ["store:/v"]})
    await boat.containers.remove(first.id, volumes=True)
    second = await boat.sh("cat /v/file", host={"binds": ["store:/v:ro"]})
    assert second.out == "kept\n"
    third = await boat.sh("touch /v/other", host={"binds": ["store:/v:ro"]})
    assert third.code != 0


async def test_the_first_use_copies_what_the_image_has_there(boat: Boat) -> None:
    ran = await boat.sh("cat /data/seed; stat -c '%u %a' /data", host={"binds": ["seeded:/data"]})
    assert ran.out.split() == ["seed", "1000", "750"]
    await boat.sh("rm /data/seed", host={"binds": ["seeded:/data"]})
    again = await boat.sh("ls /data | wc -l", host={"binds": ["empty:/data:nocopy"]})
    assert again.out.strip() == "0"


async def test_two_share_one(boat: Boat) -> None:
    await boat.start(
        "sh", "-c", "echo hello > /v/from-first; sleep 60", host={"binds": ["both:/v"]}, name="one"
    )
    second = await boat.sh(
        "while ! test -s /v/from-first; do sleep 0.01; done; cat /v/from-first",
        host={"volumes_from": ["one:ro"]},
    )
    assert second.out == "hello\n"


async def test_a_volume_in_use_stays(boat: Boat) -> None:
    identity = await boat.create("true", host={"binds": ["held:/v"]})
    with pytest.raises(Conflict, match="volume is in use"):
        await boat.engine.volumes.remove("held")
    await boat.containers.remove(identity)
    await boat.engine.volumes.remove("held")
    with pytest.raises(NotFound):
        await boat.engine.volumes.inspect("held")


async def test_anonymous_volumes_go_with_their_container(boat: Boat) -> None:
    kept = await boat.create("true", volumes={"/anonymous": {}})
    name = (await boat.containers.inspect(kept)).mounts[0].name
    await boat.containers.remove(kept)
    assert (await boat.engine.volumes.inspect(name)).name == name
    pruned = await boat.engine.volumes.prune()
    assert pruned.removed == (name,)
    gone = await boat.create("true", volumes={"/anonymous": {}})
    name = (await boat.containers.inspect(gone)).mounts[0].name
    await boat.containers.remove(gone, volumes=True)
    with pytest.raises(NotFound):
        await boat.engine.volumes.inspect(name)


async def test_a_bind_shows_the_host_directory(boat: Boat, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("host\n")
    ran = await boat.sh(
        "cat /b/file; echo inside > /b/new; touch /r/x",
        host={"binds": [f"{tmp_path}:/b", f"{tmp_path}:/r:ro"]},
    )
    assert ran.out == "host\n"
    assert ran.code != 0
    assert (tmp_path / "new").read_text() == "inside\n"


async def test_the_source_of_v_is_made_and_that_of_mount_is_not(boat: Boat, tmp_path: Path) -> None:
    await boat.create("true", host={"binds": [f"{tmp_path}/made:/b"]})
    assert (tmp_path / "made").is_dir()
    with pytest.raises(InvalidArgument, match="bind source path does not exist"):
        await boat.create("true", host={"mounts": [Mount(type="bind", source=f"{tmp_path}/no", target="/b")]})
    assert not (tmp_path / "no").exists()


async def test_an_idmapped_bind_writes_as_the_owner(boat: Boat, tmp_path: Path) -> None:
    import os

    source = tmp_path / "owned"
    source.mkdir()
    os.chown(source, 4321, 4321)
    mount = Mount(type="bind", source=str(source), target="/b", bind_options=BindOptions(id_map=True))
    ran = await boat.sh("stat -c %u /b; touch /b/file", host={"mounts": [mount]})
    assert (ran.code, ran.out) == (0, "0\n"), ran.err
    assert (source / "file").stat().st_uid == 4321


async def test_a_tmpfs_with_its_size(boat: Boat) -> None:
    ran = await boat.sh(
        "df -k /t /m | awk 'NR>1 {print $2}'; stat -c %a /m",
        host={
            "tmpfs": {"/t": "size=1m"},
            "mounts": [
                Mount(type="tmpfs", target="/m", tmpfs_options=TmpfsOptions(size_bytes=2 << 20, mode=0o700))
            ],
        },
    )
    assert ran.out.split() == ["1024", "2048", "700"]


async def test_a_local_volume_may_be_a_tmpfs(boat: Boat) -> None:
    await boat.engine.volumes.create(
        VolumeCreate(name="memory", driver_opts={"type": "tmpfs", "device": "tmpfs", "o": "size=3m"})
    )
    ran = await boat.sh("df -k /v | tail -1 | awk '{print $2}'", host={"binds": ["memory:/v"]})
    assert ran.out == "3072\n"


async def test_a_part_of_a_volume(boat: Boat) -> None:
    await boat.sh("mkdir -p /v/sub; echo part > /v/sub/file", host={"binds": ["whole:/v"]})
    mount = Mount(type="volume", source="whole", target="/p", volume_options=VolumeOptions(subpath="sub"))
    ran = await boat.sh("cat /p/file", host={"mounts": [mount]})
    assert ran.out == "part\n"


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ({"binds": ["aa:relative"]}, "mount path must be absolute"),
        ({"binds": ["aa:/"]}, "destination can't be '/'"),
        ({"binds": ["aa:/x:wrong"]}, "invalid mode: wrong"),
        ({"binds": ["aa:/x", "bb:/x"]}, "Duplicate mount point: /x"),
        ({"binds": ["a:b:c:d"]}, "invalid volume specification"),
        ({"binds": ["../up:/x"]}, "includes invalid characters"),
        ({"mounts": [Mount(type="wrong", target="/x")]}, "mount type unknown"),
        ({"mounts": [Mount(type="bind", source="x", target="/x")]}, "must be absolute"),
        ({"mounts": [Mount(type="volume", source="v", target="")]}, "Target must not be empty"),
        ({"tmpfs": {"/t": "wrong=1"}}, "invalid tmpfs option"),
    ],
)
async def test_mounts_that_are_none(boat: Boat, host: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        await boat.create("true", host=host)
    assert not await boat.engine.volumes.list()
    assert not list(boat.engine.paths.containers.iterdir())
