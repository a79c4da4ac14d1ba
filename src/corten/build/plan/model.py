"""What a plan is made from, whom it asks, and what comes out."""

from __future__ import annotations

from typing import Protocol

import msgspec

from corten.build.graph import GitSource, HttpSource, Limits, LocalSource, Vertex
from corten.build.progress import Warning
from corten.build.source_policy.model import Policy
from corten.oci.image_config import ImageConfig
from corten.oci.platform import Platform


class LocalContext(msgspec.Struct, frozen=True):
    """`--build-context name=DIRECTORY`: files of the client, which the solver knows by the context's name.
    `ignore` holds the lines of its .dockerignore."""

    ignore: tuple[str, ...] = ()


class ImageContext(msgspec.Struct, frozen=True):
    """`name=docker-image://REFERENCE`. `scratch` is the empty image."""

    reference: str


class LayoutContext(msgspec.Struct, frozen=True):
    """`name=oci-layout://DIRECTORY[:TAG][@DIGEST]`: an image in a layout of the client, which the resolver
    and the solver know by the context's name. `selector` is the tag or the digest; empty: the only one."""

    selector: str = ""


class RemoteContext(msgspec.Struct, frozen=True):
    """`name=URL`: a git repository, or what an http(s) URL yields (the file `/context`)."""

    url: str


class TargetContext(msgspec.Struct, frozen=True):
    """`name=target:STAGE`: another stage of the Dockerfile, or one by its number."""

    stage: str


NamedContext = LocalContext | ImageContext | LayoutContext | RemoteContext | TargetContext


class PlanOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for besides the Dockerfile. Nothing here is looked up: build args have values.

    `target` is a stage's name or number; empty: the last.
    `platforms` empty: that of the host (or of what is there for it). `build_platform` None: the host's.
    `ignore` are the lines of the context's .dockerignore. `contexts` are by name, or by
    `name::os/architecture` for one platform. `check`: rules for the checks as of `# check=`, which they
    replace; None: those of the Dockerfile. `all_stages`: look at each of them (--check).
    `epoch` is the client's SOURCE_DATE_EPOCH; a build arg of that name comes before it.
    `rewrite_timestamps` False: times stay as they are. `hosts` are (name, address). `policy` says which
    sources there may be.
    """

    target: str = ""
    platforms: tuple[Platform, ...] = ()
    build_platform: Platform | None = None
    build_args: dict[str, str] = {}
    labels: dict[str, str] = {}
    ignore: tuple[str, ...] = ()
    contexts: dict[str, NamedContext] = {}
    no_cache: bool = False
    no_cache_filter: tuple[str, ...] = ()
    network: str = "default"
    hosts: tuple[tuple[str, str], ...] = ()
    hostname: str = ""
    limits: Limits = Limits()
    devices: tuple[tuple[str, bool], ...] = ()
    epoch: int | None = None
    rewrite_timestamps: bool = True
    check: str | None = None
    all_stages: bool = False
    policy: Policy = Policy()


class ResolvedImage(msgspec.Struct, frozen=True):
    """An image that was found. `reference` is canonical and has the digest of the manifest, or of the index
    that it is in (`docker.io/library/busybox:latest@sha256:…`)."""

    reference: str
    config: ImageConfig


class ImageResolver(Protocol):
    """Looks images up, in the store or in a registry: manifest and config alone, never a layer. Called by
    several plans at once; the same question gets the same answer within one build."""

    async def resolve(self, reference: str, platform: Platform) -> ResolvedImage:
        """The image `reference` (canonical, with tag or digest) for `platform`, or for one that runs there.
        NotFound, Denied, Unavailable and the like."""
        ...

    async def resolve_layout(self, context: str, selector: str, platform: Platform) -> ResolvedImage:
        """The image in the layout behind the named context; its `reference` ends in `@` and the digest."""
        ...


class SourceTimes(Protocol):
    """When sources were made: for SOURCE_DATE_EPOCH=context, or the name of a stage that adds one."""

    async def time(self, source: LocalSource | GitSource | HttpSource) -> int | None:
        """Seconds since 1970: a commit's time, Last-Modified, the newest file of an archive; None: no
        telling (a directory)."""
        ...


class PlannedImage(msgspec.Struct, frozen=True, kw_only=True):
    """What the build makes for one platform.

    `target` is the file system, None for scratch. `config` has the base's history and that of the build;
    its `rootfs` holds the diff IDs of the base alone, which come first. `layers` goes along with
    `config.history`: the vertex that makes the entry's layer; None for entries without one, and for those
    of the base. `stage` is the name of the target's stage (empty: none). `base` is what its FROM came down
    to, if anything. `epoch` (seconds) is the image's time; None: the time of the build.
    """

    platform: Platform
    target: Vertex | None
    config: ImageConfig
    layers: tuple[Vertex | None, ...]
    stage: str = ""
    base: ResolvedImage | None = None
    epoch: int | None = None


class BuildPlan(msgspec.Struct, frozen=True, kw_only=True):
    """`images` in the order of the platforms asked for. `stages` are the names of all stages in order, empty
    for one without."""

    images: tuple[PlannedImage, ...]
    warnings: tuple[Warning, ...] = ()
    stages: tuple[str, ...] = ()
