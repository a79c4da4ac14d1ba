"""Ways out of a container with default settings."""

from __future__ import annotations

import asyncio
import io
import os
import stat
import tarfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from corten.api.host_config import ImageOptions, Mount, VolumeOptions
from corten.engine.results import CommitOptions
from corten.errors import CortenError, InvalidArgument, NotFound
from tests.system.engine.conftest import Boat

pytestmark = pytest.mark.root

_DESCRIPTORS = range(3, 28)


async def test_a_command_is_not_found_through_our_descriptors(boat: Boat) -> None:
    """execve(2) opens what it executes before it closes what is close-on-exec: the command of a hostile image
    would be the host's program, and its /proc/<pid>/exe the way to overwrite that."""
    for fd in _DESCRIPTORS:
        for way in ("self/root/bin/true", "1/root/bin/true", "bin/true", "usr/bin/true", "true"):
            with pytest.raises(CortenError):
                await boat.start(f"/proc/self/fd/{fd}/{way}")
    for container in await boat.containers.list(all=True):
        await boat.containers.remove(container.id)


async def test_an_interpreter_is_not_found_through_our_descriptors(boat: Boat) -> None:
    for fd in _DESCRIPTORS:
        script = f"printf '#!/proc/self/fd/{fd}/self/root/bin/true\\n' > /x; chmod 755 /x; exec /x"
        ran = await boat.sh(script)
        assert ran.code in (126, 127), (fd, ran)
        await boat.containers.remove(ran.id)


async def test_an_exec_is_not_found_through_our_descriptors(boat: Boat) -> None:
    identity = await boat.start("sleep", "1000")
    for fd in _DESCRIPTORS:
        for way in ("1/root/bin/true", "self/root/bin/true"):
            with pytest.raises(CortenError):
                await boat.exec(identity, f"/proc/self/fd/{fd}/{way}")


async def test_the_hosts_null_device_cannot_be_changed(boat: Boat) -> None:
    """It is stdin, and it masks files of /proc."""
    host = os.stat("/dev/null")
    ran = await boat.sh(
        "for f in /dev/stdin /proc/self/fd/0 /proc/keys /proc/timer_list /proc/kcore; do"
        " touch -d 2001-01-01 $f; chown 1:1 $f; chmod 640 $f; done; echo x > /proc/keys; wc -c < /proc/keys",
    )
    assert ran.out.split()[-1] == "0"
    after = os.stat("/dev/null")
    assert (after.st_mode, after.st_uid, after.st_mtime) == (host.st_mode, host.st_uid, host.st_mtime)
    identity = await boat.start("sleep", "1000")
    await boat.exec(
        identity, "sh", "-c", "touch -d 2001-01-01 /dev/stdin; chmod 640 /dev/stdin; rm /dev/null"
    )
    await boat.exec(identity, "sh", "-c", "touch -d 2001-01-01 /dev/stdin; chmod 640 /dev/stdin")
    after = os.stat("/dev/null")
    assert (after.st_mode, after.st_uid, after.st_mtime) == (host.st_mode, host.st_uid, host.st_mtime)


async def test_a_primary_group_is_supplementary_too(boat: Boat) -> None:
    """CVE-2022-36109: what is forbidden to a group must not open up by leaving it."""
    for user, groups in (("user", "1000 2000"), ("1000:2000", "2000"), ("5000", "0"), ("", "0")):
        ran = await boat.sh("grep Groups /proc/self/status", user=user)
        assert ran.out.split(":")[1].split() == groups.split(), user


async def test_a_passwd_that_leads_out(boat: Boat) -> None:
    """An /etc/passwd that is a link into /proc/self/fd is none."""
    for fd in _DESCRIPTORS:
        identity = await boat.create("true", user="daemon")
        upper = boat.engine.paths.container(identity) / "upper/etc"
        upper.mkdir()
        (upper / "passwd").symlink_to(f"/proc/self/fd/{fd}/self/root/etc/passwd")
        with pytest.raises(CortenError, match="unable to find user daemon"):
            await boat.containers.start(identity)
        await boat.containers.remove(identity)


async def test_a_part_of_a_volume_stays_in_the_volume(boat: Boat) -> None:
    await boat.sh("ln -s / /v/out; ln -s ../../../../../../../etc /v/up", host={"binds": ["parts:/v"]})
    for part in ("out", "up", "out/etc"):
        options = VolumeOptions(subpath=part, no_copy=True)
        mount = Mount(type="volume", source="parts", target="/w", volume_options=options)
        identity = await boat.create("ls", "/w", host={"mounts": [mount]})
        waiter = boat.containers.wait(identity, "next-exit")
        try:
            await boat.containers.start(identity)
        except CortenError:
            continue
        await waiter.result()
        assert "hostname" not in (await boat.output(identity))[0]
        assert "root" not in (await boat.output(identity))[0].split()


async def test_a_part_of_an_image_stays_in_the_image(boat: Boat) -> None:
    ran = await boat.sh("ln -s / /out")
    await boat.containers.commit(CommitOptions(container=ran.id, repository="hostile", tag="1"))
    mount = Mount(type="image", source="hostile:1", target="/w", image_options=ImageOptions(subpath="out"))
    identity = await boat.create("ls", "/w", host={"mounts": [mount]})
    waiter = boat.containers.wait(identity, "next-exit")
    try:
        await boat.containers.start(identity)
        await waiter.result()
        assert "srv" not in (await boat.output(identity))[0].split()
    except CortenError:
        pass
    await boat.containers.remove(identity)
    await boat.containers.remove(ran.id)


@pytest.mark.parametrize("place", ["/proc", "/proc/sys", "/proc/self/attr", "/x/../proc/sys/kernel"])
async def test_nothing_is_mounted_in_proc(boat: Boat, place: str) -> None:
    with pytest.raises(InvalidArgument, match="inside /proc"):
        await boat.create("true", host={"binds": [f"/tmp:{place}"]})
    with pytest.raises(InvalidArgument, match="inside /proc"):
        await boat.create("true", host={"tmpfs": {place: ""}})
    with pytest.raises(InvalidArgument, match="inside /proc"):
        await boat.create("true", volumes={place: {}})


async def test_cve_2021_30465_a_volume_with_links_in_another(boat: Boat, tmp_path: Path) -> None:
    (tmp_path / "host").mkdir()
    await boat.sh(f"ln -s {tmp_path}/host /a/link; ln -s /proc /a/proc", host={"binds": ["one:/a"]})
    for destination in ("/a/link/x", "/a/link/../y", "/a/proc/self/attr/z"):
        identity = await boat.create("true", host={"binds": ["one:/a", f"two:{destination}"]})
        try:
            await boat.containers.start(identity)
        except CortenError:
            continue
    assert not list((tmp_path / "host").iterdir())
    assert not list(tmp_path.glob("y"))


async def test_cp_into_a_container_that_swaps_directories_for_links(boat: Boat, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o750)
    (outside / "pipe").write_text("untouched")
    (outside / "pipe").chmod(0o600)
    script = (
        f"mkdir /d; while :; do mv /d /e; ln -s {outside} /d; rm /d; mv /e /d;"
        f" rm -f /d/pipe; ln -s {outside}/pipe /d/pipe; rm -rf /d/pipe; done 2>/dev/null"
    )
    identity = await boat.start("sh", "-c", script)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, kind in (
            ("sub", tarfile.DIRTYPE),
            ("sub/file", tarfile.REGTYPE),
            ("pipe", tarfile.FIFOTYPE),
        ):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = kind, 0o777
            tar.addfile(entry)

    async def archive() -> AsyncIterator[bytes]:
        yield buffer.getvalue()

    arrived = tried = 0
    deadline = time.monotonic() + 60
    while tried < 60 or not arrived:  # on a busy machine, the script can stand still with the link in place
        assert time.monotonic() < deadline
        tried += 1
        try:
            await boat.containers.archive_put(identity, "/d", archive())
            arrived += 1
        except (CortenError, OSError):
            await asyncio.sleep(0.01)
    assert sorted(path.name for path in outside.iterdir()) == ["pipe"]
    assert (outside / "pipe").read_text() == "untouched"
    assert stat.S_IMODE((outside / "pipe").stat().st_mode) == 0o600
    assert stat.S_IMODE(outside.stat().st_mode) == 0o750


@pytest.mark.parametrize("name", ["../../etc", "a/b", "..", ".", "a\nb", "-x", "a b", "%2e%2e", "é"])
async def test_a_name_is_no_path(boat: Boat, name: str) -> None:
    with pytest.raises(InvalidArgument):
        await boat.create("true", name=name)
    with pytest.raises(CortenError):
        await boat.create("true", host={"mounts": [Mount(type="volume", source=name, target="/v")]})
    with pytest.raises(NotFound):
        await boat.containers.inspect(name)


async def test_the_init_shows_nothing_of_the_host(boat: Boat) -> None:
    ran = await boat.sh(
        "cat /proc/1/cmdline; ls -l /proc/1/exe /proc/1/cwd /proc/1/root; cat /proc/1/maps /proc/1/environ",
        host={"init": True, "cap_add": ["SYS_PTRACE"]},
    )
    assert ran.out.startswith("corten-init\0")
    assert "python" not in ran.out.partition("\n")[0]


async def test_data_is_nobody_elses(boat: Boat) -> None:
    """CVE-2021-41091: images hold set-user-id programs and device nodes, under names that can be guessed."""
    root = boat.engine.paths.root
    for directory in ("snapshots", "containers", "volumes", "content", "trash"):
        assert not stat.S_IMODE((root / directory).stat().st_mode) & 0o077, directory
