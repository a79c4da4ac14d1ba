"""`/corten/builds`: the records of builds that have ended."""

from __future__ import annotations

from typing import Literal

import msgspec

from corten.api.build import BuildFailure


class BuildRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One build. `name` is what BuildKit would call it: of its context, its Dockerfile and its target.

    `started` and `completed` are nanoseconds since 1970. Steps are counted as the client was told of them;
    `total_steps` has those as well that a build which failed did not come to. `image_id`, `digest` and
    `images` (names) are those of its result. `failure` has no lines of the Dockerfile.
    """

    id: str
    name: str = ""
    context: str = ""
    dockerfile: str = ""
    target: str = ""
    platforms: list[str] = []
    started: int
    completed: int
    status: Literal["completed", "error", "canceled"]
    failure: BuildFailure | None = None
    total_steps: int = 0
    completed_steps: int = 0
    cached_steps: int = 0
    image_id: str = ""
    digest: str = ""
    images: list[str] = []
