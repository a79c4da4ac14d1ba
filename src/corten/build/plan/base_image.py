"""What stages begin with: scratch, an image, or a named context."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable

from corten.build.graph import ImageSource
from corten.build.instructions.suggestion import suggestion
from corten.build.lint.platforms import report_base_platform
from corten.build.parser.quotation import quoted
from corten.build.parser.source_error import DockerfileError, error_at
from corten.build.plan.image_draft import ImageDraft, empty_image
from corten.build.plan.model import ImageResolver, NamedContext, ResolvedImage
from corten.build.plan.named_contexts import (
    SCRATCH,
    LoadedContext,
    as_file_system,
    find_context,
    load_context,
)
from corten.build.plan.planning import Planning
from corten.build.plan.platforms import image_platform
from corten.build.plan.stage_state import StageState
from corten.errors import CortenError, InvalidArgument
from corten.oci.image_config import ImageConfig, parse_time
from corten.oci.platform import Platform
from corten.oci.reference import Reference

_LATEST_EPOCH = 253_402_300_799
"""31 December 9999: no time of a file is later."""

_AT_ONCE = 32
"""So many images are looked up at the same time."""

_WELL_KNOWN = ("alpine", "busybox", "centos", "debian", "golang", "ubuntu", "fedora")


async def resolve_bases(
    planning: Planning, images: ImageResolver, states: Iterable[StageState], needed: Collection[StageState]
) -> None:
    """Looks up what each of `states` that is based on no other stage begins with, all at once. Those that
    are not `needed` are only checked for a name that could be one. Raises DockerfileError."""
    pending: list[StageState] = []
    for state in states:
        if state.base is not None or state.dispatched or state.is_resolved:
            continue
        if state.base_name == SCRATCH and state.context is None:
            state.is_resolved = state in needed
            _begin_empty(planning, state)
        elif state in needed:
            state.is_resolved = True
            pending.append(state)
        else:
            _reference(state)
    await _resolve_all(planning, images, pending)
    for state in pending:
        _check_platform(planning, state)


async def _resolve_all(planning: Planning, images: ImageResolver, states: list[StageState]) -> None:
    """All at the same time, but not too many; raises the error of the first that has one, and leaves nothing
    behind."""
    places = asyncio.Semaphore(_AT_ONCE)

    async def resolve(state: StageState) -> None:
        async with places:
            await _resolve(planning, images, state)

    tasks = [asyncio.ensure_future(resolve(state)) for state in states]
    try:
        for task in tasks:
            await task
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _begin_empty(planning: Planning, state: StageState) -> None:
    state.image = ImageDraft(empty_image(planning.target))
    state.platform = planning.target
    state.dispatched = state.dispatched or state.stage is None


def _reference(state: StageState) -> Reference:
    try:
        return Reference.parse(state.base_name)
    except InvalidArgument as error:
        reason = f"failed to parse stage name {quoted(state.base_name)}: {error.message}"
        raise error_at(state.node, reason, state.base_name) from None


async def _resolve(planning: Planning, images: ImageResolver, state: StageState) -> None:
    reference = _reference(state)
    platform = state.platform or planning.target
    try:
        if state.context is not None:
            await _replace_by_context(planning, images, state, state.context_name, state.context, platform)
        elif found := find_context(planning.options.contexts, state.base_name, platform):
            await _begin_with_context(planning, images, state, *found, platform)
        else:
            _begin_with_image(planning, state, await images.resolve(reference.canonical, platform), platform)
    except DockerfileError:
        raise
    except CortenError as error:
        names = [*planning.stages.labels(), *_well_known()]
        reason = f"{state.base_name}: {error.message}{suggestion(state.base_name, names)}"
        raise error_at(state.node, reason, state.base_name) from error
    state.dispatched = state.dispatched or state.stage is None


def _well_known() -> list[str]:
    return [name + tag for name in _WELL_KNOWN for tag in ("", ":latest")]


def _begin_with_image(
    planning: Planning, state: StageState, image: ResolvedImage, platform: Platform
) -> None:
    _set_image(state, image, platform)
    if _is_empty(image.config):
        return
    text = f"FROM {image.reference}"
    state.vertex = planning.vertices.make(
        ImageSource(image.reference, platform),
        name=planning.step_name(state, text, {}),
        stage=state.label,
        lines=(state.node.start_line, state.node.end_line),
    )


def _check_platform(planning: Planning, state: StageState) -> None:
    image, vertex, platform = state.base_image, state.vertex, state.platform
    if (
        image is not None
        and platform is not None
        and vertex is not None
        and not vertex.name.startswith("[context ")
    ):
        actual = image_platform(image.config.platform)
        report_base_platform(planning.linter, state.node, state.base_name, platform, actual)


async def _begin_with_context(
    planning: Planning,
    images: ImageResolver,
    state: StageState,
    name: str,
    context: NamedContext,
    platform: Platform,
) -> None:
    """FROM and COPY --from of a context that is no stage."""
    loaded = await load_context(planning, images, name, context, platform)
    _use(planning, state, name, loaded, platform)


async def _replace_by_context(
    planning: Planning,
    images: ImageResolver,
    state: StageState,
    name: str,
    context: NamedContext,
    platform: Platform,
) -> None:
    """A stage in whose place a context of its name stands: none of its instructions counts."""
    loaded = await load_context(planning, images, name, context, platform)
    _use(planning, state, name, loaded, platform)
    state.dispatched = True
    state.steps = 0


def _use(planning: Planning, state: StageState, name: str, loaded: LoadedContext, platform: Platform) -> None:
    state.vertex = loaded.vertex
    if loaded.image is not None:
        _set_image(state, loaded.image, platform)
        return
    state.platform = platform
    state.image = ImageDraft(empty_image(platform))
    if loaded.vertex is not None and state.stage is not None:
        # Others copy from a context of files as it is; a stage needs a file system.
        state.vertex = as_file_system(planning, name, loaded.vertex)
        planning.commit(state, (state.node.start_line, state.node.end_line), f"FROM {name}", state.vertex)


def _set_image(state: StageState, image: ResolvedImage, platform: Platform) -> None:
    state.image = ImageDraft(image.config)
    state.base_image = image
    state.platform = platform
    state.epoch = min(max(parse_time(image.config.created) // 1_000_000_000, 0), _LATEST_EPOCH)


def _is_empty(config: ImageConfig) -> bool:
    """Whether an image has no layers at all. Very old ones do not tell their layers' digests, but their
    history does."""
    return not config.diff_ids and all(entry.empty_layer for entry in config.history or ())
