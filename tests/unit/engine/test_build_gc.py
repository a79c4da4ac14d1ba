"""What goes from the build cache by itself, and what corten.toml says of it."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from corten.build.solve.pruning import Pruned, PruneOptions
from corten.engine.build_gc import CacheLimits, GcPolicy, configured_policies
from corten.engine.disk_budget import configured_limit
from corten.errors import InvalidArgument

HOUR = 3600 * 10**9


class RecordingPruner:
    def __init__(self) -> None:
        self.asked: list[PruneOptions] = []

    async def prune(self, options: PruneOptions) -> Pruned:
        self.asked.append(options)
        return Pruned((str(len(self.asked)),), 10)


def policies(directory: Path, text: str) -> list[GcPolicy]:
    config = directory / "corten.toml"
    config.write_text(text)
    return configured_policies(directory, {"CORTEN_CONFIG": str(config)})


async def test_limits_without_policies(tmp_path: Path) -> None:
    pruner = RecordingPruner()
    limits = CacheLimits(pruner, policies(tmp_path, '[build]\nmax_disk = "5GiB"\n'))  # type: ignore[arg-type]
    assert await limits.enforce() == Pruned(("1", "2"), 20)
    old, much = pruner.asked
    assert old.unused_since is not None
    assert old.unused_since < time.time_ns() - 59 * 24 * HOUR
    assert (much.all, much.most) == (True, 5 << 30)
    assert policies(tmp_path, "")[1].max_used_space >= 2 << 30
    limits.soon()
    await limits.close()
    assert len(pruner.asked) == 2, "not while builds may come"


POLICIES = """
[[build.gc]]
filters = ["type==source.local", "type=exec.cachemount"]
keep_duration = "48h"
max_used_space = "512MB"

[[build.gc]]
filters = ["description==x,shared==false", "id==abc"]
keep_duration = 3600

[[build.gc]]
all = true
reserved_space = 7
min_free_space = "10%"
"""


async def test_policies_in_order(tmp_path: Path) -> None:
    pruner = RecordingPruner()
    await CacheLimits(pruner, policies(tmp_path, POLICIES)).enforce()  # type: ignore[arg-type]
    first, second, third, last = pruner.asked
    assert (first.types, first.most, first.all) == (("source.local", "exec.cachemount"), 512_000_000, False)
    assert first.unused_since is not None
    assert abs(first.unused_since - (time.time_ns() - 48 * HOUR)) < HOUR
    assert (second.descriptions, second.shared, second.ids) == (("x",), False, ())
    assert third.ids == ("abc",)
    assert third.unused_since is not None
    assert abs(third.unused_since - (time.time_ns() - HOUR)) < HOUR // 10
    assert (last.all, last.least, last.unused_since) == (True, 7, None)
    assert last.free == shutil.disk_usage(tmp_path).total // 10


async def test_filters_are_alternatives_and_their_parts_are_not(tmp_path: Path) -> None:
    pruner = RecordingPruner()
    found = policies(
        tmp_path,
        """
        [[build.gc]]
        filters = ["shared==true", "shared==false", "until==2h", "until==9h", "until==72h,type==regular"]
        keep_duration = "4h"
        """,
    )
    await CacheLimits(pruner, found).enforce()  # type: ignore[arg-type]
    assert [asked.shared for asked in pruner.asked] == [True, False, None, None, None]
    spans = [(time.time_ns() - (asked.unused_since or 0)) / HOUR for asked in pruner.asked]
    assert [round(span) for span in spans] == [4, 4, 4, 9, 72], "never what was used within keep_duration"
    assert pruner.asked[-1].types == ("regular",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[build]\nmax_disc = 1\n", r"\[build\] is a table with the key max_disk or gc"),
        ("[build]\nmax_disk = 1\n[[build.gc]]\nkeep_duration = 1\n", "max_disk and gc"),
        ("[build]\ngc = 1\n", "build.gc: Expected `array`"),
        ("[[build.gc]]\nkeep = 1\n", "unknown field `keep`"),
        ("[[build.gc]]\nall = true\n", r"gc\[0\] would leave nothing"),
        ('[[build.gc]]\nkeep_duration = "soon"\n', r"gc\[0\]: invalid time"),
        ('[[build.gc]]\nmax_used_space = "much"\n', r"gc\[0\].max_used_space: 'much' is no size"),
        ('[[build.gc]]\nmin_free_space = "101%"\n', "no share of the disk"),
        ('[[build.gc]]\nfilters = ["type"]\nkeep_duration = 1\n', "invalid filter 'type'"),
        ('[[build.gc]]\nfilters = ["kind==x"]\nkeep_duration = 1\n', "invalid filter 'kind'"),
        ('[[build.gc]]\nfilters = ["type!=x"]\nkeep_duration = 1\n', "invalid filter 'type!=x'"),
        ('[[build.gc]]\nfilters = ["type==x,type==y"]\nkeep_duration = 1\n', "it has type twice"),
    ],
)
def test_policies_that_are_none(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        policies(tmp_path, text)


def test_tables_do_not_meet(tmp_path: Path) -> None:
    config = tmp_path / "corten.toml"
    config.write_text('[images]\nmax_disk = "1GiB"\n[build]\nmax_disk = "3GB"\n')
    environ = {"CORTEN_CONFIG": str(config)}
    assert configured_limit(environ) == 1 << 30
    assert configured_policies(tmp_path, environ)[1].max_used_space == 3_000_000_000
