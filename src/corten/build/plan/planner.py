"""From a Dockerfile to the plan of its build."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from corten.build.instructions.suggestion import suggestion
from corten.build.instructions.types import Dockerfile
from corten.build.lint.ignored_sources import IgnoredSources
from corten.build.lint.linter import Linter
from corten.build.lint.selection import SILENT
from corten.build.parser.quotation import quoted
from corten.build.parser.source_error import DockerfileError
from corten.build.parser.words import WordLexer
from corten.build.plan import epoch as source_epoch
from corten.build.plan.arguments import global_arguments, proxy_variables
from corten.build.plan.dockerfile_reader import make_linter, read_dockerfile
from corten.build.plan.image_plan import finish_image, plan_stages, resolve_stages
from corten.build.plan.model import (
    BuildPlan,
    ImageResolver,
    PlannedImage,
    PlanOptions,
    SourceTimes,
    TargetContext,
)
from corten.build.plan.planning import Planning
from corten.build.plan.platforms import build_platform, docker_form, predefined
from corten.build.plan.policed import PolicedImages, PolicedTimes
from corten.build.plan.stage_reader import check_default_bases, read_stages
from corten.build.plan.stage_state import StageState
from corten.build.plan.stages import StageTable
from corten.build.plan.vertices import VertexTable
from corten.build.progress import Warning
from corten.build.source_policy.sources import SourcePolicy
from corten.errors import InvalidArgument
from corten.oci.platform import Platform

_LARGE = 1 << 16
"""Files of so many bytes are worked on in a thread, so that others need not wait."""

Warn = Callable[[Warning], None]

_Result = TypeVar("_Result")


async def plan_build(
    data: bytes,
    options: PlanOptions,
    images: ImageResolver,
    *,
    times: SourceTimes | None = None,
    warn: Warn | None = None,
) -> BuildPlan:
    """The plan of building the Dockerfile `data`. `warn` is told what the checks find, before the plan comes
    back or an error is raised.

    Raises DockerfileError, which says where, for what is wrong with the Dockerfile (an image that is not
    there among it), InvalidArgument for what is wrong with the request.
    """
    linter = make_linter(data, options)
    try:
        return await Planner(data, options, images, times, linter).plan()
    finally:
        if warn is not None:
            for warning in linter.warnings:
                warn(warning)


class Planner:
    """Plans one build; for one platform after the other."""

    def __init__(
        self,
        data: bytes,
        options: PlanOptions,
        images: ImageResolver,
        times: SourceTimes | None,
        linter: Linter,
    ) -> None:
        self._data = data
        self._options = options
        policy = SourcePolicy(options.policy)
        self._images = PolicedImages(images, policy)
        self._times = None if times is None else PolicedTimes(times, policy)
        self._linter = linter
        self._vertices = VertexTable(policy)
        self._build = build_platform(options.build_platform)

    async def plan(self) -> BuildPlan:
        """All platforms."""
        dockerfile = await self._read()
        platforms: list[Platform | None] = [docker_form(platform) for platform in self._options.platforms]
        planned: list[PlannedImage] = []
        for platform in platforms or [None]:
            linter = Linter(SILENT) if planned else self._linter
            planning, target = await self._plan_platform(dockerfile, platform, linter)
            planned.append(finish_image(planning, target))
            _fail_on_warnings(linter)
        return BuildPlan(
            images=tuple(planned),
            warnings=tuple(self._linter.warnings),
            stages=tuple(stage.name for stage in dockerfile.stages),
        )

    async def outline(self) -> tuple[Planning, StageState]:
        """The stages as they are planned for the first platform, and the one that is built."""
        platform = docker_form(self._options.platforms[0]) if self._options.platforms else None
        return await self._plan_platform(await self._read(), platform, self._linter)

    async def _read(self) -> Dockerfile:
        return await self._work(lambda: read_dockerfile(self._data, self._linter))

    async def _work(self, work: Callable[[], _Result]) -> _Result:
        return await asyncio.to_thread(work) if len(self._data) >= _LARGE else work()

    async def _plan_platform(
        self, dockerfile: Dockerfile, platform: Platform | None, linter: Linter
    ) -> tuple[Planning, StageState]:
        """All stages that the target needs, planned for one platform; None: for that of the host."""
        planning = await self._start(dockerfile, platform, linter)
        read_stages(planning, dockerfile)
        _check_aliases(planning)
        target = planning.stages.target(self._options.target)
        needed = await resolve_stages(planning, self._images, target)
        await self._work(lambda: plan_stages(planning, needed))
        return planning, target

    async def _start(self, dockerfile: Dockerfile, platform: Platform | None, linter: Linter) -> Planning:
        options = self._options
        _check_texts(options)
        lexer = WordLexer(escape=dockerfile.escape)
        target = platform or self._build
        build_args = dict(options.build_args)
        if options.epoch is not None:
            build_args.setdefault(source_epoch.NAME, str(options.epoch))
        stage = options.target or dockerfile.stages[-1].name
        known = predefined(self._build, target, stage, build_args)
        check_default_bases(linter, dockerfile, known, lexer)
        global_args, declared = global_arguments(known, dockerfile.arguments, lexer, build_args)
        epoch = await source_epoch.resolve_epoch(
            source_epoch.requested(build_args, global_args, declared),
            options,
            dockerfile.stages,
            global_args,
            lexer,
            target,
            self._times,
        )
        for values in (build_args, global_args):
            if source_epoch.NAME in values:
                del values[source_epoch.NAME]
                if epoch is not None:
                    values[source_epoch.NAME] = str(epoch)
        aliases = {
            name: context.stage
            for name, context in options.contexts.items()
            if isinstance(context, TargetContext)
        }
        return Planning(
            options=options,
            lexer=lexer,
            linter=linter,
            vertices=self._vertices,
            stages=StageTable(aliases),
            build=self._build,
            target=target,
            is_implicit=platform is None,
            build_args=build_args,
            global_args=global_args,
            declared=declared,
            ignored=IgnoredSources(options.ignore),
            epoch=epoch,
            proxy=proxy_variables(build_args),
        )


def _check_aliases(planning: Planning) -> None:
    """`--build-context name=target:stage`: there must be such a stage."""
    for name, context in planning.options.contexts.items():
        if isinstance(context, TargetContext) and planning.stages.find(name) is None:
            hint = suggestion(context.stage, planning.stages.labels())
            raise InvalidArgument(
                f"context {name}: target stage {quoted(context.stage)} could not be found{hint}"
            )


def _check_texts(options: PlanOptions) -> None:
    for what, values in (("build argument", options.build_args), ("label", options.labels)):
        for name, value in values.items():
            if "\0" in name or "\0" in value:
                raise InvalidArgument(f"{what} {quoted(name)} has a NUL character, which nothing can take")


def _fail_on_warnings(linter: Linter) -> None:
    """Raises DockerfileError, where checks are to end a build."""
    if linter.failed:
        first, last = linter.warnings[0].lines
        raise DockerfileError(
            f"lint violation found for rules: {', '.join(linter.failed)}", first, 1, end_line=last
        )
