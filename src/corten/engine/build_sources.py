"""The contexts that a request names, opened for its build."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from corten.api.build import BuildRequest, ContextDirectory, ContextRemote, ContextUpload
from corten.build.context.sources import CONTEXT, ContextSources
from corten.build.graph import GitSource, HttpSource
from corten.build.plan.model import RemoteContext
from corten.build.plan.named_contexts import context_source
from corten.build.source_policy.sources import SourcePolicy
from corten.engine.build_events import BuildEvents
from corten.engine.build_options import read_policy
from corten.errors import InvalidArgument


async def open_context(
    sources: ContextSources,
    request: BuildRequest,
    upload: AsyncIterator[bytes] | None,
    events: BuildEvents,
) -> bytes | None:
    """Gives the main context to `sources`. Where it is a URL that yields a Dockerfile alone, that is
    returned. NotFound, Unavailable, ArchiveError and the like."""
    context = request.context
    if isinstance(context, ContextDirectory):
        sources.directory(CONTEXT, Path(context.path))
    elif isinstance(context, ContextUpload):
        if upload is None:
            raise InvalidArgument("the build context is an upload, and nothing was sent")
        with events.step("[internal] load remote build context"):
            await sources.archive(CONTEXT, upload, has_times=not context.is_directory)
    elif isinstance(context, ContextRemote):
        return await _remote(sources, context.url, events, SourcePolicy(read_policy(request)))
    return None


async def _remote(
    sources: ContextSources, url: str, events: BuildEvents, policy: SourcePolicy
) -> bytes | None:
    source, _changed = policy.source(context_source(CONTEXT, RemoteContext(url)))
    if isinstance(source, GitSource):
        with events.step(f"[internal] load git source {url}") as step:
            await sources.repository(CONTEXT, source, status=step)
        return None
    if not url.startswith(("http://", "https://")):
        raise InvalidArgument(
            f"the build context {url!r} is neither a git repository nor an http(s) URL: a directory is named"
            " by its path"
        )
    assert isinstance(source, HttpSource)
    with events.step(f"[internal] load remote build context {source.url}") as step:
        return await sources.remote(CONTEXT, source.url, checksum=source.checksum, status=step)


def add_directories(sources: ContextSources, directories: Mapping[str, Path]) -> None:
    """Gives the named contexts that are directories to `sources`. NotFound."""
    for name, path in directories.items():
        sources.directory(name, path)


def scope_of(request: BuildRequest) -> str:
    """What the same build is recognised by the next time."""
    context = request.context
    where = ""
    if isinstance(context, ContextDirectory):
        where = context.path
    elif isinstance(context, ContextRemote):
        where = context.url
    return f"{where}\0{request.dockerfile}"
