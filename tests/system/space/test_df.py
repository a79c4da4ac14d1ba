"""`system df` is what the disk says, and `system fsck` finds nothing in a store that is whole."""

from __future__ import annotations

import os

import pytest

from corten.api.container import ContainerCreate
from corten.api.host_config import HostConfig
from corten.api.volume import VolumeUsage
from corten.engine.engine import Engine
from tests.unit.content.test_allocation import du
from tests.unit.image.images import docker_archive
from tests.unit.snapshot.archives import member, tar_of

pytestmark = pytest.mark.root


async def fsck(engine: Engine, *, repair: bool = False) -> tuple[list[dict[str, object]], dict[str, int]]:
    lines = [line async for line in engine.system.fsck.run(repair=repair)]
    return [line["problem"] for line in lines if "problem" in line], lines[-1]["summary"]


async def load(engine: Engine, archive: bytes) -> None:
    async def stream():  # type: ignore[no-untyped-def]
        yield archive

    async for _ in engine.images.load(stream()):
        pass


async def test_df_is_du(engine: Engine) -> None:
    shared = tar_of([member("shared", os.urandom(300_000))])
    await load(engine, docker_archive([shared, tar_of([member("a", os.urandom(200_000))])], ["a:1"]))
    await load(engine, docker_archive([shared, tar_of([member("b", os.urandom(100_000))])], ["b:1"]))
    script = (
        "dd if=/dev/urandom of=/x bs=1000 count=300; ln /x /y; truncate -s 1G /sparse; "
        "dd if=/dev/urandom of=/v/z bs=1000 count=50"
    )
    host = HostConfig(network_mode="none", binds=["vol:/v"])
    request = ContainerCreate(image="busybox", cmd=["sh", "-c", script], host_config=host)
    made = await engine.containers.create(request)
    waiter = engine.containers.wait(made.id, "next-exit")
    await engine.containers.start(made.id)
    assert (await waiter.result()).status_code == 0
    paths = engine.paths
    os.sync()

    usage = await engine.system.df()
    assert usage.layers_size == du(paths.content, paths.snapshots)
    assert usage.containers is not None and usage.volumes is not None
    assert usage.containers[0].size_rw == du(paths.container(made.id))
    assert 300_000 < usage.containers[0].size_rw < 600_000  # neither twice, nor a gigabyte
    assert isinstance(usage.volumes[0].usage_data, VolumeUsage)
    assert usage.volumes[0].usage_data.size == du(paths.volumes / "vol")

    told = usage.images_disk_usage
    assert (told.total_count, told.active_count) == (3, 1)
    await engine.images.remove("a:1")
    await engine.images.remove("b:1")
    os.sync()
    after = du(paths.content, paths.snapshots)
    # The directories themselves may have shrunk or not.
    assert abs(usage.layers_size - after - told.reclaimable) <= 16 << 10
    assert told.reclaimable > 600_000
    problems, summary = await fsck(engine)
    assert problems == [] and summary["left"] == 0 and summary["checked"] >= 5
