"""`--check`: what the checks find in all of a Dockerfile, and nothing is built."""

from __future__ import annotations

import msgspec

from corten.build.parser.source_error import DockerfileError
from corten.build.plan.model import ImageResolver, PlanOptions
from corten.build.plan.planner import plan_build
from corten.build.progress import Warning


class CheckReport(msgspec.Struct, frozen=True):
    """The warnings, in the order of their lines; and what would end a build (warnings, where they are to
    fail it, among that)."""

    warnings: tuple[Warning, ...]
    error: DockerfileError | None = None


async def check_dockerfile(data: bytes, options: PlanOptions, images: ImageResolver) -> CheckReport:
    """Looks at every stage, or at what one target needs. Raises InvalidArgument for what is wrong with the
    request."""
    warnings: list[Warning] = []
    options = msgspec.structs.replace(options, all_stages=not options.target, platforms=options.platforms[:1])
    error = None
    try:
        await plan_build(data, options, images, warn=warnings.append)
    except DockerfileError as raised:
        error = raised
    return CheckReport(tuple(sorted(warnings, key=lambda warning: warning.lines)), error)
