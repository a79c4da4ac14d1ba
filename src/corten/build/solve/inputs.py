"""What one build brings along."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from corten.build.solve.protocols import Images, MountFiller, Secrets, Sources
from corten.build.solve.records import RecordLookup, Records
from corten.build.solve.result import BuiltLayer


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildInputs:
    """`allowed`: entitlements (`security.insecure`, `network.host`, `device`, `device=NAME`).
    `jobs`: how many operations run at the same time; 0: as many as make sense here. `scope` is what the same
    build is recognised by the next time (its context and Dockerfile), for `explain`: each miss says why.
    `keep_failed`: the state before a RUN that failed is kept, for `Solver.debug`. `lookup` adds what was
    imported of other caches; `filler` has their cache mounts. `made` is told of each layer that is made
    of a target's own file system, as soon as it is there: it stays pinned until the results are closed."""

    sources: Sources
    images: Images
    secrets: Secrets
    allowed: frozenset[str] = frozenset()
    jobs: int = 0
    scope: str = ""
    explain: bool = False
    keep_failed: bool = False
    lookup: Callable[[Records], RecordLookup] | None = None
    filler: MountFiller | None = None
    made: Callable[[BuiltLayer], None] | None = None
