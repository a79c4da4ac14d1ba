"""cp, export, diff and commit, of containers that run and of those that do not."""

from __future__ import annotations

import io
import tarfile
from collections.abc import AsyncIterator

import pytest

from corten.api.container import ContainerCreate
from corten.api.host_config import HostConfig
from corten.engine.results import CommitOptions
from corten.errors import CortenError, InvalidArgument, NotFound
from tests.system.engine.conftest import Boat

pytestmark = pytest.mark.root


async def stream_of(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 1 << 16):
        yield data[start : start + (1 << 16)]


def tar_of(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.uid, entry.mode = len(content), 1000, 0o640
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


async def members(stream: AsyncIterator[bytes]) -> dict[str, bytes | None]:
    data = b"".join([piece async for piece in stream])
    found: dict[str, bytes | None] = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for entry in tar:
            file = tar.extractfile(entry) if entry.isfile() else None
            found[entry.name.rstrip("/")] = file.read() if file else None
    return found


@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
async def test_copying_in_and_out(boat: Boat, running: bool) -> None:
    identity = await boat.create("sleep", "60")
    if running:
        await boat.containers.start(identity)
    big = bytes(range(256)) * 40_000
    await boat.containers.archive_put(identity, "/tmp", stream_of(tar_of(small=b"content\n", big=big)))
    stat = await boat.containers.archive_stat(identity, "/tmp/small")
    assert (stat.name, stat.size, stat.mode) == ("small", 8, 0o640)
    archive = await boat.containers.archive_get(identity, "/tmp/big")
    assert await members(archive.stream) == {"big": big}
    archive = await boat.containers.archive_get(identity, "/data")
    assert await members(archive.stream) == {"data": None, "data/seed": b"seed\n"}
    with pytest.raises(NotFound):
        await boat.containers.archive_get(identity, "/no/such/path")
    with pytest.raises(CortenError):
        await boat.containers.archive_put(identity, "/no/such/path", stream_of(tar_of(a=b"")))
    with pytest.raises(CortenError):
        await boat.containers.archive_put(identity, "/tmp", stream_of(b"no tar at all" * 1000))


@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
async def test_exporting_everything(boat: Boat, running: bool) -> None:
    identity = await boat.create("sleep", "60")
    if running:
        await boat.containers.start(identity)
    found = await members(await boat.containers.export(identity))
    assert found["data/seed"] == b"seed\n"
    assert "bin/busybox" in found


async def test_a_client_that_goes_away_in_the_middle(boat: Boat) -> None:
    identity = await boat.create("true")
    stream = await boat.containers.export(identity)
    assert await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined]
    await boat.containers.remove(identity)


async def test_a_read_only_root_takes_nothing(boat: Boat) -> None:
    identity = await boat.create("true", host={"readonly_rootfs": True})
    with pytest.raises(InvalidArgument, match="read-only"):
        await boat.containers.archive_put(identity, "/tmp", stream_of(tar_of(a=b"x")))


async def test_changes(boat: Boat) -> None:
    ran = await boat.sh("echo x > /tmp/new; rm /data/seed; echo y >> /etc/passwd")
    found = {change.path: change.kind for change in await boat.containers.changes(ran.id)}
    assert found["/tmp/new"] == 1
    assert found["/data/seed"] == 2
    assert found["/etc/passwd"] == 0


async def test_an_image_of_what_it_has_become(boat: Boat) -> None:
    ran = await boat.sh("echo committed > /tmp/new; rm /data/seed", env=["OWN=1"])
    options = CommitOptions(
        container=ran.id, repository="made", tag="1", comment="why", changes=('CMD ["cat", "/tmp/new"]',)
    )
    identity = await boat.containers.commit(options)
    image = await boat.engine.images.inspect("made:1")
    assert image.id == identity
    assert len(image.root_fs.layers) == 2
    assert image.config is not None and image.config.env is not None and "OWN=1" in image.config.env
    request = ContainerCreate(image="made:1", host_config=HostConfig(network_mode="none"))
    created = await boat.containers.create(request)
    waiter = boat.containers.wait(created.id, "next-exit")
    await boat.containers.start(created.id)
    assert (await waiter.result()).status_code == 0
    assert (await boat.output(created.id))[0] == "committed\n"


async def test_an_image_of_a_running_container(boat: Boat) -> None:
    identity = await boat.start("sleep", "60")
    await boat.containers.commit(CommitOptions(container=identity, repository="live"))
    assert await boat.status(identity) == "running"
    await boat.containers.remove(identity, force=True)
    await boat.engine.images.remove("live")
