"""Waiters, the trash, run directories, status words, the lock: parts that need no kernel."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from corten.api.container import ContainerConfig
from corten.api.host_config import HostConfig, LogConfig
from corten.engine import waiting
from corten.engine.disk import disk_error
from corten.engine.engine import take_lock
from corten.engine.listing import status_words
from corten.engine.paths import Paths
from corten.engine.record import Container, Definition, HealthRecord, StateRecord
from corten.engine.run_directory import clear_run_directory
from corten.engine.spec.validate import log_limits
from corten.engine.state import Status
from corten.engine.timestamp import now
from corten.engine.trash import Trash
from corten.errors import Conflict, CortenError, InvalidArgument, NoSpace


def container(**state: object) -> Container:
    definition = Definition(config=ContainerConfig(), host_config=HostConfig(), image_id="sha256:x")
    return Container("a" * 64, "name", 1, definition, StateRecord(**state))  # type: ignore[arg-type]


async def test_who_waits_for_what() -> None:
    idle = container(status=Status.EXITED, exit_code=4)
    assert (await waiting.register(idle, "not-running").result()).status_code == 4
    later = waiting.register(idle, "next-exit")
    removed = waiting.register(idle, "removed")
    idle.state.exit_code = 5
    waiting.wake(idle, "next-exit", "not-running")
    assert (await later.result()).status_code == 5
    task = asyncio.create_task(removed.result())
    await asyncio.sleep(0)
    assert not task.done()
    waiting.wake(idle, "removed")
    assert (await task).status_code == 5


async def test_a_waiter_that_gives_up_is_forgotten() -> None:
    busy = container(status=Status.RUNNING)
    waiter = waiting.register(busy, "not-running")
    waiter.cancel()
    await asyncio.sleep(0)
    assert busy.waiters["not-running"] == []
    waiting.wake(busy, "not-running")


async def test_the_trash_takes_at_once_and_empties_later(tmp_path: Path) -> None:
    place = tmp_path / "trash"
    place.mkdir()
    trash = Trash(place)
    for number in range(3):
        (tmp_path / "thing").mkdir()
        (tmp_path / "thing" / f"file{number}").write_text("x")
        trash.discard(tmp_path / "thing")
        assert not (tmp_path / "thing").exists()
    trash.discard(tmp_path / "was-never-there")
    assert len(os.listdir(place)) == 3
    async with asyncio.timeout(5):
        while os.listdir(place):
            await asyncio.sleep(0.05)
    (place / "left-by-a-crash").mkdir()
    await trash.close()
    assert not os.listdir(place)


def test_run_directories(tmp_path: Path) -> None:
    place = tmp_path / "run"
    (place / "exec-1").mkdir(parents=True)
    (place / "exec-1" / "exit.json").write_text("{}")
    (place / "shm").mkdir()
    (place / "state.json").write_text("{}")
    clear_run_directory(place)
    assert not place.exists()
    clear_run_directory(place)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({}, "Created"),
        ({"status": Status.RUNNING}, "Up 5 seconds"),
        ({"status": Status.PAUSED}, "Up 5 seconds (Paused)"),
        ({"status": Status.RUNNING, "health": HealthRecord()}, "Up 5 seconds (health: starting)"),
        ({"status": Status.RUNNING, "health": HealthRecord(status="healthy")}, "Up 5 seconds (healthy)"),
        ({"status": Status.EXITED, "exit_code": 3}, "Exited (3) 5 seconds ago"),
        ({"status": Status.RESTARTING, "exit_code": 1}, "Restarting (1) 5 seconds ago"),
    ],
)
def test_status_words(state: dict[str, object], words: str) -> None:
    moment = now() - 5_200_000_000
    assert status_words(container(started_at=moment, finished_at=moment, **state)) == words


def test_one_engine_per_directory(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "root", tmp_path / "run")
    paths.make()
    held = take_lock(paths)
    for other in (paths, Paths(paths.root, tmp_path / "other"), Paths(tmp_path / "another", paths.run)):
        other.make()
        with pytest.raises(Conflict, match="another engine is using"):
            take_lock(other)
    for descriptor in held:
        os.close(descriptor)
    for descriptor in take_lock(paths):
        os.close(descriptor)


def test_where_things_are(monkeypatch: pytest.MonkeyPatch) -> None:
    paths = Paths.from_environment({"CORTEN_ROOT": "/data", "CORTEN_RUN": "/run/mine"})
    assert (paths.root, paths.run) == (Path("/data"), Path("/run/mine"))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    paths = Paths.from_environment({})
    assert (paths.root, paths.run) == (Path("/var/lib/corten"), Path("/run/corten"))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    paths = Paths.from_environment({"HOME": "/home/me"})
    assert (paths.root, paths.run) == (Path("/home/me/.local/share/corten"), Path("/tmp/corten-1000"))
    assert Paths.from_environment({"HOME": "/h", "XDG_RUNTIME_DIR": "/run/user/1"}).run == Path(
        "/run/user/1/corten"
    )


def test_what_the_disk_refuses() -> None:
    full = disk_error(OSError(28, "No space left on device", "/x"), "write")
    assert isinstance(full, NoSpace)
    assert full.message == "cannot write: the disk is full (/x); free some space and try again"
    other = disk_error(PermissionError(13, "Permission denied", "/x"), "write")
    assert type(other) is CortenError
    assert other.message == "cannot write: Permission denied (/x)"


@pytest.mark.parametrize(
    ("options", "expected"),
    [({}, (0, 1)), ({"max-size": "10m", "max-file": "3"}, (10 << 20, 3)), ({"max-size": "1.5k"}, (1536, 1))],
)
def test_log_limits(options: dict[str, str], expected: tuple[int, int]) -> None:
    host = HostConfig(log_config=LogConfig(type="json-file", config=options))
    assert log_limits(host) == expected


@pytest.mark.parametrize("options", [{"max-size": "big"}, {"max-file": "0"}, {"colour": "red"}])
def test_log_options_that_are_none(options: dict[str, str]) -> None:
    with pytest.raises(InvalidArgument):
        log_limits(HostConfig(log_config=LogConfig(type="json-file", config=options)))
