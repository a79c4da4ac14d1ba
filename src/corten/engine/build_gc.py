"""What goes from the build cache without anybody asking, when builds have come to rest.

::

    [build]
    max_disk = "20GiB"

of corten.toml limits what the build cache takes; without it a tenth of the disk does, but 2 GiB at least.
What no build has used for two months goes in any case. In place of both, a list of policies (BuildKit's
gcpolicy) that are applied in order::

    [[build.gc]]
    filters = ["type==source.local", "type==exec.cachemount"]   # what goes: one of these; none: anything
    keep_duration = "48h"        # not what was used since
    max_used_space = "512MB"     # until the cache takes no more, ...
    min_free_space = "10%"       # ... and so much of the disk is free, ...
    reserved_space = "1GiB"      # ... but so much may stay
    all = true                   # also what images share, and sources and cache mounts used within two days
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from corten.build.solve.pruning import Pruned, PruneOptions, Pruner
from corten.engine.build_pruning import prune_options
from corten.engine.disk_budget import configured_table, size_in_bytes
from corten.engine.results import Filters
from corten.errors import CortenError, InvalidArgument

_QUIET_SECONDS = 20.0
_UNUSED = "1440h"
_SHARE_OF_DISK = 10
_LEAST_BUDGET = 2 << 30
_ANY_OF = frozenset({"id", "parent", "parents", "type", "description"})
"""Filters of which several values in one pass mean any of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GcPolicy:
    """What may go (one of `filters` matches, and it was not used within `keep`, a span), and how far."""

    filters: tuple[Filters, ...] = ({},)
    keep: str = ""
    all: bool = False
    reserved_space: int = 0
    max_used_space: int = 0
    min_free_space: int = 0

    def options(self) -> list[PruneOptions]:
        """What to prune now, one after the other. InvalidArgument."""
        kept = [self.keep] if self.keep else []
        return [
            prune_options(
                {**filters, "until": [*filters.get("until", ()), *kept]},
                all=self.all,
                reserved_space=self.reserved_space,
                max_used_space=self.max_used_space,
                min_free_space=self.min_free_space,
            )
            for filters in self.filters
        ]


class CacheLimits:
    """Applies the policies, in the background."""

    def __init__(self, pruner: Pruner, policies: Sequence[GcPolicy]) -> None:
        self._pruner = pruner
        self._policies = policies
        self._task: asyncio.Task[None] | None = None
        self._again = 0.0

    def soon(self) -> None:
        """A build has ended."""
        self._again = asyncio.get_running_loop().time() + _QUIET_SECONDS
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._later())

    async def close(self) -> None:
        """Gives up what is not done."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def enforce(self) -> Pruned:
        """Removes what each policy lets go, what was used least recently first."""
        ids: list[str] = []
        freed = 0
        for policy in self._policies:
            for options in policy.options():
                result = await self._pruner.prune(options)
                ids += result.ids
                freed += result.freed
        return Pruned(tuple(ids), freed)

    async def _later(self) -> None:
        loop = asyncio.get_running_loop()
        while (left := self._again - loop.time()) > 0:
            await asyncio.sleep(left)
        with contextlib.suppress(CortenError, OSError):  # the next build's end tries again
            await self.enforce()


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    filters: list[str] = []
    keep_duration: str | int = ""
    reserved_space: str | int = 0
    max_used_space: str | int = 0
    min_free_space: str | int = 0
    all: bool = False


def configured_policies(place: Path, environ: Mapping[str, str] | None = None) -> list[GcPolicy]:
    """What `[build]` of corten.toml says, for a cache in the directory `place`. InvalidArgument."""
    path, table = configured_table(os.environ if environ is None else environ, "build", ("max_disk", "gc"))
    total = shutil.disk_usage(place).total
    if "gc" not in table:
        budget = max(total // _SHARE_OF_DISK, _LEAST_BUDGET)
        if "max_disk" in table:
            budget = size_in_bytes(table["max_disk"], f"{path}: build.max_disk")
        return [GcPolicy(all=True, keep=_UNUSED), GcPolicy(all=True, max_used_space=budget)]
    if "max_disk" in table:
        raise InvalidArgument(f"{path}: [build] has max_disk and gc: the policies of gc take its place")
    try:
        entries = msgspec.convert(table["gc"], list[_Entry])
    except msgspec.ValidationError as error:
        raise InvalidArgument(f"{path}: build.gc: {error}") from error
    return [_policy(entry, f"{path}: build.gc[{n}]", total) for n, entry in enumerate(entries)]


def _policy(entry: _Entry, where: str, total: int) -> GcPolicy:
    spaces = {
        key: _space(getattr(entry, key), f"{where}.{key}", total)
        for key in ("reserved_space", "max_used_space", "min_free_space")
    }
    keep = entry.keep_duration
    if not keep and not spaces["max_used_space"] and not spaces["min_free_space"]:
        raise InvalidArgument(
            f"{where} would leave nothing: it needs keep_duration, max_used_space or min_free_space"
        )
    policy = GcPolicy(
        filters=_alternatives(entry.filters, where),
        keep=f"{keep}s" if isinstance(keep, int) and keep else str(keep or ""),
        all=entry.all,
        **spaces,
    )
    try:
        policy.options()
    except InvalidArgument as error:
        raise InvalidArgument(f"{where}: {error.message}") from error
    return policy


def _alternatives(texts: Sequence[str], where: str) -> tuple[Filters, ...]:
    """Each text is `key==value`, or several with commas between that all hold. What one pass can look for
    together is one, so that the oldest of them goes first."""
    found: list[Filters] = []
    for text in texts:
        filters: Filters = {}
        for condition in text.split(","):
            key, equals, value = condition.partition("=")
            if not equals or key.endswith(("!", "~")):
                raise InvalidArgument(f"{where}: invalid filter {text!r}: expected key==value")
            if key.strip() in filters:
                raise InvalidArgument(f"{where}: invalid filter {text!r}: it has {key.strip()} twice")
            filters[key.strip()] = [value.removeprefix("=").strip()]
        if found and len(filters) == 1 and found[-1].keys() == filters.keys() <= _ANY_OF:
            for key, values in filters.items():
                found[-1][key] += values
        else:
            found.append(filters)
    return tuple(found) or ({},)


def _space(value: str | int, where: str, total: int) -> int:
    """Bytes, a text like "512MB", or a share of the disk like "10%"."""
    if value == 0:
        return 0
    if isinstance(value, str) and (share := value.strip().removesuffix("%")) != value.strip():
        if not share.isdecimal() or not 0 < int(share) <= 100:
            raise InvalidArgument(f"{where}: {value!r} is no share of the disk")
        return total * int(share) // 100
    return size_in_bytes(value, where)
