"""Contexts with names: which one a name means, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from corten.build.graph import (
    GitSource,
    HttpSource,
    ImageSource,
    LayoutSource,
    LocalSource,
    Vertex,
)
from corten.build.plan.git_url import parse_git_url
from corten.build.plan.model import (
    ImageContext,
    ImageResolver,
    LayoutContext,
    LocalContext,
    NamedContext,
    RemoteContext,
    ResolvedImage,
    TargetContext,
)
from corten.build.plan.planning import Planning
from corten.errors import InvalidArgument
from corten.oci.platform import Platform
from corten.oci.reference import Reference

SCRATCH = "scratch"
_NEVER = ("scratch", "context")


class LoadedContext(msgspec.Struct, frozen=True):
    """A context's file system (None: empty), and its image, where it is one."""

    vertex: Vertex | None
    image: ResolvedImage | None = None


def find_context(
    contexts: Mapping[str, NamedContext], name: str, platform: Platform
) -> tuple[str, NamedContext] | None:
    """The context that `name` means: one for this platform, or one for all; with the name that it is
    known by. Names are compared as images are: `docker.io/library/a:latest` is `a`; case does not
    matter, as with stages."""
    if not contexts or name.lower() in _NEVER:
        return None
    wanted = _familiar(name)
    for candidate in (f"{wanted}::{platform}", wanted):
        for key, context in contexts.items():
            base, colons, suffix = key.partition("::")
            if f"{_familiar(base)}{colons}{suffix}" == candidate and not isinstance(context, TargetContext):
                return key, context
    return None


def _familiar(name: str) -> str:
    try:
        return Reference.parse(name.lower()).familiar.removesuffix(":latest")
    except InvalidArgument:
        return name


def context_source(name: str, context: LocalContext | RemoteContext) -> LocalSource | GitSource | HttpSource:
    """Where the files of a context come from."""
    if isinstance(context, LocalContext):
        return LocalSource(name, context.ignore)
    # The one form without a scheme, which would be a path anywhere else.
    is_github = context.url.startswith("github.com/")
    url = f"https://{context.url}" if is_github else context.url
    repository = parse_git_url(url, known=is_github)
    return HttpSource(url, "context") if repository is None else repository.source()


async def load_context(
    planning: Planning, images: ImageResolver, name: str, context: NamedContext, platform: Platform
) -> LoadedContext:
    """What a context holds. Images are looked up; nothing is fetched. Raises what the resolver does."""
    match context:
        case ImageContext(reference):
            if reference == SCRATCH:
                return LoadedContext(None)
            image = await images.resolve(Reference.parse(reference).canonical, platform)
            return LoadedContext(_image_vertex(planning, name, image, platform), image)
        case LayoutContext(selector):
            image = await images.resolve_layout(name, selector, platform)
            source = LayoutSource(name, image.reference.rpartition("@")[2], platform)
            vertex = planning.vertices.make(source, name=f"[context {name}] OCI load from client")
            return LoadedContext(vertex, image)
        case LocalContext() | RemoteContext():
            text = "load from client" if isinstance(context, LocalContext) else context.url
            files = planning.vertices.make(context_source(name, context), name=f"[context {name}] {text}")
            return LoadedContext(files)
        case TargetContext():
            raise AssertionError("an alias is no context of its own")


def _image_vertex(planning: Planning, name: str, image: ResolvedImage, platform: Platform) -> Vertex:
    return planning.vertices.make(
        ImageSource(image.reference, platform), name=f"[context {name}] {image.reference}"
    )


def is_plain_files(vertex: Vertex) -> bool:
    """Whether it is a source of files, and no file system with layers."""
    return isinstance(vertex.operation, LocalSource | GitSource | HttpSource)
