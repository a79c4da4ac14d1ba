"""Digests that are known by what stat tells."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from corten.build.context import stat_cache
from corten.build.context.seen_file import stat_key
from corten.build.context.stat_cache import StatCache, StatCaches, is_settled

DIGEST = bytes(range(32))


@pytest.fixture
def status(tmp_path: Path) -> os.stat_result:
    path = tmp_path / "file"
    path.write_text("x")
    return path.stat()


def later(status: os.stat_result) -> int:
    return max(status.st_mtime_ns, status.st_ctime_ns) + 10_000_000_000


def test_what_was_noted_is_found_after_a_restart(tmp_path: Path, status: os.stat_result) -> None:
    caches = StatCaches(tmp_path / "caches")
    caches.open("/context").add(stat_key(status), DIGEST, later(status))
    caches.release("/context")

    again = StatCaches(tmp_path / "caches")
    assert again.open("/context").find(stat_key(status)) == DIGEST
    assert again.open("/other").find(stat_key(status)) is None


def test_a_file_that_has_just_changed_is_not_noted(tmp_path: Path, status: os.stat_result) -> None:
    cache = StatCache(tmp_path / "cache")
    cache.add(stat_key(status), DIGEST, max(status.st_mtime_ns, status.st_ctime_ns) + 1_000_000)
    assert cache.find(stat_key(status)) is None


def test_whole_seconds_may_be_all_that_a_file_system_counts(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("x")
    second = (time.time_ns() // 1_000_000_000 + 100) * 1_000_000_000
    os.utime(path, ns=(second, second))
    key = stat_key(path.stat())
    assert not is_settled(key, second + 1_500_000_000)
    assert is_settled(key, second + 3_500_000_000)


@pytest.mark.parametrize("change", ["content", "mode", "time", "other"])
def test_every_change_gives_another_key(tmp_path: Path, change: str) -> None:
    path = tmp_path / "file"
    path.write_text("one")
    before = stat_key(path.stat())
    time.sleep(0.02)  # the kernel's clock for files goes by ticks
    if change == "content":
        times = path.stat()
        path.write_text("two")
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    elif change == "mode":
        path.chmod(0o600)
    elif change == "time":
        os.utime(path)
    else:
        path.rename(tmp_path / "old")
        path.write_text("one")
    assert stat_key(path.stat()) != before


@pytest.mark.parametrize("damage", ["cut", "bit", "version", "empty", "garbage"])
def test_a_damaged_file_counts_as_empty(tmp_path: Path, status: os.stat_result, damage: str) -> None:
    path = tmp_path / "cache"
    cache = StatCache(path)
    cache.add(stat_key(status), DIGEST, later(status))
    cache.save()
    data = bytearray(path.read_bytes())
    if damage == "cut":
        del data[-1:]
    elif damage == "bit":
        data[-1] ^= 1
    elif damage == "version":
        data[7] += 1
    elif damage == "empty":
        data.clear()
    else:
        data[:] = os.urandom(500)
    path.write_bytes(data)
    assert StatCache(path).find(stat_key(status)) is None


def test_nothing_is_written_when_nothing_is_new(tmp_path: Path, status: os.stat_result) -> None:
    path = tmp_path / "cache"
    cache = StatCache(path)
    cache.add(stat_key(status), DIGEST, later(status))
    cache.save()
    first = path.stat().st_ino
    again = StatCache(path)
    assert again.find(stat_key(status)) == DIGEST
    again.save()
    assert (
        path.stat().st_ino == first
        and [entry.name for entry in tmp_path.iterdir() if "." in entry.name] == []
    )


def test_it_is_bounded(tmp_path: Path, status: os.stat_result, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stat_cache, "_MAX_ENTRIES", 30)
    monkeypatch.setattr(stat_cache, "_SPARE_ENTRIES", 10)
    seen = later(status)

    def at(number: int) -> os.stat_result:
        names = ("st_dev", "st_size", "st_mtime_ns", "st_ctime_ns")
        fields = {name: getattr(status, name) for name in names}
        return cast(os.stat_result, SimpleNamespace(st_ino=number, **fields))

    path = tmp_path / "cache"
    for build in range(5):
        cache = StatCache(path)
        for number in range(build * 8, build * 8 + 8):
            cache.add(stat_key(at(number)), DIGEST, seen)
        cache.save()
    kept = StatCache(path)
    found = [number for number in range(40) if kept.find(stat_key(at(number))) is not None]
    # Those of the last build, and of those before as many as may be spared, the newest.
    assert found == list(range(22, 40))

    cache = StatCache(path)
    for number in range(100, 200):
        cache.add(stat_key(at(number)), DIGEST, seen)
    cache.save()
    assert (path.stat().st_size - 40) // 72 == 30


def test_contexts_that_nobody_builds_any_more_are_forgotten(
    tmp_path: Path, status: os.stat_result, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stat_cache, "_MAX_FILES", 3)
    caches = StatCaches(tmp_path)
    for number in range(6):
        caches.open(f"/context{number}").add(stat_key(status), DIGEST, later(status))
        caches.release(f"/context{number}")
        newest = max(tmp_path.iterdir(), key=lambda entry: entry.stat().st_mtime_ns)
        os.utime(newest, ns=(number, number))
    assert len(list(tmp_path.iterdir())) == 3


def test_builds_of_one_context_share_a_cache(tmp_path: Path, status: os.stat_result) -> None:
    caches = StatCaches(tmp_path)
    first, second = caches.open("/context"), caches.open("/context")
    first.add(stat_key(status), DIGEST, later(status))
    assert second.find(stat_key(status)) == DIGEST
    caches.release("/context")
    assert second.find(stat_key(status)) == DIGEST
    caches.release("/context")


def test_a_cache_that_cannot_be_written_fails_nothing(tmp_path: Path, status: os.stat_result) -> None:
    cache = StatCache(tmp_path / "gone/cache")
    cache.add(stat_key(status), DIGEST, later(status))
    cache.save()
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]
