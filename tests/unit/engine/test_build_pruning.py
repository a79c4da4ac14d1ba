"""Docker's filters of a prune, what contexts keep."""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec
import pytest

from corten.build.context.http_source import Download
from corten.build.solve.pruning import CacheItem
from corten.engine.build_pruning import (
    KeptDownloads,
    KeptRepositories,
    cache_item,
    prune_options,
)
from corten.errors import InvalidArgument

HOUR = 3600 * 10**9


def item(**more: object) -> CacheItem:
    fields = {
        "id": "abc", "type": "regular", "description": "RUN make", "size": 1, "created": 1,
        "used": time.time_ns() - 100 * HOUR, "uses": 1,
    } | more  # fmt: skip
    return CacheItem(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("filters", "change", "goes"),
    [
        ({}, {}, True),
        ({}, {"in_use": True}, False),
        ({}, {"shared": True}, False),
        ({}, {"type": "exec.cachemount"}, True),
        ({}, {"type": "exec.cachemount", "used": time.time_ns()}, False),
        ({"until": ["24h"]}, {}, True),
        ({"until": ["24h"]}, {"used": time.time_ns() - 23 * HOUR}, False),
        ({"unused-for": ["200h"]}, {}, False),
        ({"until": ["24h", "200h"]}, {}, False),
        ({"until": ["1h"]}, {"type": "exec.cachemount", "used": time.time_ns() - 2 * HOUR}, True),
        ({"id": ["ab"]}, {}, True),
        ({"id": ["bc", "xy"]}, {}, False),
        ({"type": ["regular", "x"]}, {}, True),
        ({"type": ["exec.cachemount"]}, {}, False),
        ({"description": ["ma.e$"]}, {}, True),
        ({"description": ["nothing"]}, {}, False),
        ({"inuse": ["false"]}, {}, True),
        ({"inuse": ["true"]}, {}, False),
        ({"shared": ["1"]}, {}, False),
        ({"private": ["1"]}, {}, True),
        ({"private": ["0"]}, {}, False),
        ({"mutable": ["true"]}, {}, False),
        ({"immutable": ["true"]}, {}, True),
        ({"mutable": ["true"]}, {"type": "exec.cachemount"}, True),
        ({"immutable": ["false"]}, {"type": "source.git.checkout"}, True),
        ({"parent": ["de"]}, {"parents": ("def",)}, True),
        ({"parents": ["xy", "de"]}, {"parents": ("def",)}, True),
        ({"parents": ["ef"]}, {"parents": ("def",)}, False),
        ({"parents": ["de"]}, {}, False),
    ],
)
def test_filters(filters: dict[str, list[str]], change: dict[str, object], goes: bool) -> None:
    assert prune_options(filters).allows(item(**change)) is goes


def test_all() -> None:
    options = prune_options({}, all=True)
    assert options.allows(item(shared=True))
    assert options.allows(item(type="exec.cachemount", used=time.time_ns()))
    assert not options.allows(item(in_use=True))


@pytest.mark.parametrize(
    "filters", [{"label": ["x"]}, {"until": ["soon"]}, {"shared": ["perhaps"]}, {"description": ["("]}]
)
def test_bad_filters(filters: dict[str, list[str]]) -> None:
    with pytest.raises(InvalidArgument):
        prune_options(filters)


def test_an_item_as_the_api_has_it() -> None:
    made = cache_item(item(parents=("p",), used=10**9, created=0))
    assert (made.id, made.parents, made.type) == ("abc", ["p"], "regular")
    assert made.last_used_at == "1970-01-01T00:00:01.000000000Z"


class TestRepositories:
    def make(self, directory: Path) -> None:
        (directory / "aaaa").mkdir(parents=True)
        (directory / "aaaa" / "FETCH_HEAD").write_text("1234\t\tbranch 'main' of https://example.com/x\n")
        (directory / "aaaa" / "pack").write_bytes(bytes(10_000))
        (directory / "bbbb").mkdir()

    def test_usage(self, tmp_path: Path) -> None:
        cache = KeptRepositories(tmp_path / "git", lambda: False)
        assert cache.usage() == []
        self.make(tmp_path / "git")
        first, second = cache.usage()
        assert first.description == "git repository https://example.com/x"
        assert first.size >= 10_000
        assert (second.id, second.description, second.in_use) == ("bbbb", "git repository", False)

    def test_removal(self, tmp_path: Path) -> None:
        self.make(tmp_path)
        busy = KeptRepositories(tmp_path, lambda: True)
        assert all(entry.in_use for entry in busy.usage())
        assert busy.remove("aaaa") is None
        delete = KeptRepositories(tmp_path, lambda: False).remove("aaaa")
        assert delete is not None
        assert not (tmp_path / "aaaa").exists()
        delete()
        assert os.listdir(tmp_path) == ["bbbb"]


class TestDownloads:
    def make(self, directory: Path) -> None:
        for name, digest in (("one", "d1"), ("two", "d1"), ("three", "d3")):
            record = Download(f"sha256:{digest}", 5, f"{name}.tar")
            (directory / f"{name}.json").write_bytes(msgspec.json.encode(record))
            (directory / digest).write_text("12345")
        (directory / "bad.json").write_text("{")

    def test_usage(self, tmp_path: Path) -> None:
        self.make(tmp_path)
        found = {entry.description: entry.size for entry in KeptDownloads(tmp_path, lambda: False).usage()}
        assert found.keys() == {"one.tar", "two.tar", "three.tar"}
        assert sum(found.values()) == 10, "bytes that two URLs have count once"

    def test_bytes_stay_for_as_long_as_a_url_yields_them(self, tmp_path: Path) -> None:
        self.make(tmp_path)
        cache = KeptDownloads(tmp_path, lambda: False)
        for name, left in (("one.json", True), ("two.json", False)):
            delete = cache.remove(name)
            assert delete is not None
            delete()
            assert (tmp_path / "d1").exists() is left
        assert (tmp_path / "d3").exists()
