"""What stages begin with: scratch, an image, or a named context."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable

from corten.build.graph import Copy, FileOperation, ImageSource
from corten.build.instructions.suggestion import suggestion
from corten.build.lint.platforms import report_base_platform
from corten.build.parser.quotation import quoted
from corten.build.parser.source_error import DockerfileError, error_at
from corten.build.plan.image_draft import ImageDraft, empty_image
from corten.build.plan.model import ImageResolver, NamedContext, ResolvedImage
from corten.build.plan.named_contexts import (
    SCRATCH,
    find_context,
    is_plain_files,
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
            await _begin_with_context(planning, images, state, state.context_name, state.context, platform)
            state.dispatched = True
            state.steps = 0
        elif found := find_context(planning.options.contexts, state.base_name, platform):
            await _begin_with_context(planning, images, state, *found, platform)
            begin_with_files(planning, state, state)
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
    state.is_image = True
    text = f"FROM {image.reference}"
    state.vertex = planning.vertices.make(
        ImageSource(image.reference, platform),
        name=planning.step_name(state, text, {}),
        stage=state.label,
        lines=(state.node.start_line, state.node.end_line),
    )


def _check_platform(planning: Planning, state: StageState) -> None:
    image, platform = state.base_image, state.platform
    if image is not None and platform is not None and state.is_image:
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
    loaded = await load_context(planning, images, name, context, platform)
    state.context_name = name
    state.vertex = loaded.vertex
    if loaded.image is not None:
        _set_image(state, loaded.image, platform)
    else:
        state.platform = platform
        state.image = ImageDraft(empty_image(platform))


def begin_with_files(planning: Planning, state: StageState, base: StageState) -> None:
    """Where `state` is a stage that begins with a context of files (that of `base`): its file system is a
    copy of them. Who only copies from a context takes it as it is."""
    if base.vertex is None or state.stage is None or not is_plain_files(base.vertex):
        return
    state.vertex = planning.vertices.make(
        FileOperation((Copy(1, "/", "/"),)),
        (None, base.vertex),
        name=f"[context {base.context_name}] copy",
        epoch=planning.layer_epoch(base),
    )
    lines = (state.node.start_line, state.node.end_line)
    planning.commit(state, lines, f"FROM {base.context_name}", state.vertex)


def _set_image(state: StageState, image: ResolvedImage, platform: Platform) -> None:
    state.image = ImageDraft(image.config)
    state.base_image = image
    state.platform = platform
    state.epoch = min(max(parse_time(image.config.created) // 1_000_000_000, 0), _LATEST_EPOCH)


def _is_empty(config: ImageConfig) -> bool:
    """Whether an image has no layers at all. Very old ones do not tell their layers' digests, but their
    history does."""
    return not config.diff_ids and all(entry.empty_layer for entry in config.history or ())
