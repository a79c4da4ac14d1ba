"""Volumes' records, names and options."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from corten.errors import Conflict, InvalidArgument, NotFound
from corten.volume.populate import may_exist
from corten.volume.store import VolumeStore
from corten.volume.usage import disk_usage


@pytest.fixture
def store(tmp_path: Path):  # type: ignore[no-untyped-def]
    for name in ("volumes", "trash"):
        (tmp_path / name).mkdir()
    connection = sqlite3.connect(tmp_path / "db", isolation_level=None)
    yield VolumeStore(connection, tmp_path / "volumes", tmp_path / "trash")
    connection.close()


def test_a_name_means_one_volume(store: VolumeStore) -> None:
    volume, new = store.create("data", labels={"a": "b"})
    assert new and volume.labels == {"a": "b"}
    again, new = store.create("data")
    assert not new and again == volume
    assert [found.name for found in store.list()] == ["data"]
    with pytest.raises(Conflict, match="a volume named data exists"):
        store.create("data", options={"type": "tmpfs", "device": "tmpfs"})


def test_an_empty_name_gets_a_random_one(store: VolumeStore) -> None:
    first, _ = store.create(anonymous=True)
    second, _ = store.create(anonymous=True)
    assert len(first.name) == 64 and first.name != second.name
    assert store.get(first.name).anonymous


@pytest.mark.parametrize("name", ["a", "../x", "a/b", "-x", "x y", "a" * 256, "ä2"])
def test_names_that_are_none(store: VolumeStore, name: str) -> None:
    with pytest.raises(InvalidArgument):
        store.create(name)
    assert not store.list()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"colour": "red"}, 'invalid option: "colour"'),
        ({"type": "tmpfs"}, "missing device"),
        ({"type": "nfs", "device": ":/x"}, "address of its server"),
    ],
)
def test_options_that_are_none(store: VolumeStore, options: dict[str, str], words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        store.create("data", options=options)
    assert not store.list()


def test_an_unknown_driver(store: VolumeStore) -> None:
    with pytest.raises(NotFound, match='plugin "cloud" not found'):
        store.create("data", driver="cloud")


def test_mounts_of_the_local_driver(store: VolumeStore, tmp_path: Path) -> None:
    store.create("plain")
    assert store.mount("plain").source == str(tmp_path / "volumes/plain/_data")
    store.create("memory", options={"type": "tmpfs", "device": "tmpfs", "o": "size=1m,uid=5"})
    mount = store.mount("memory")
    assert (mount.type, mount.source, mount.options) == ("tmpfs", "tmpfs", ("size=1m", "uid=5"))
    store.create("bound", options={"type": "none", "device": str(tmp_path), "o": "bind,ro"})
    mount = store.mount("bound")
    assert (mount.type, mount.source, mount.options) == ("bind", str(tmp_path), ("rbind", "ro"))
    store.create("lost", options={"type": "none", "device": "/no/such/place", "o": "bind"})
    with pytest.raises(NotFound, match="/no/such/place does not exist"):
        store.mount("lost")


def test_recovery_finishes_removals_and_forgets_half_made_ones(store: VolumeStore, tmp_path: Path) -> None:
    store.create("removed")
    store.create("kept")
    (tmp_path / "volumes/removed").rename(tmp_path / "trash/removed")
    (tmp_path / "volumes/half/_data").mkdir(parents=True)
    (tmp_path / "volumes/precious/_data").mkdir(parents=True)
    (tmp_path / "volumes/precious/_data/file").write_text("data of somebody")
    store.recover()
    assert [volume.name for volume in store.list()] == ["kept"]
    assert sorted(path.name for path in (tmp_path / "volumes").iterdir()) == ["kept", "precious"]


def test_usage_counts_hard_links_once(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/a").write_bytes(b"x" * 1000)
    (tmp_path / "d/b").hardlink_to(tmp_path / "d/a")
    (tmp_path / "c").write_bytes(b"x" * 10)
    assert disk_usage(tmp_path) == 1010
    assert disk_usage(tmp_path / "no") == 0


def test_may_exist_is_right_when_it_says_no(tmp_path: Path) -> None:
    (tmp_path / "top").mkdir()
    (tmp_path / "low/data/sub").mkdir(parents=True)
    (tmp_path / "low/link").symlink_to("data")
    lowers = [str(tmp_path / "top"), str(tmp_path / "low")]
    assert may_exist(lowers, "/data/sub")
    assert may_exist(lowers, "/link/sub"), "a link on the way"
    assert not may_exist(lowers, "/data/other")
