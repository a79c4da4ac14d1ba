"""Plans of Dockerfiles that stand in a test."""

from __future__ import annotations

import textwrap
from typing import Any

from corten.build.graph import Exec, FileOperation, ImageSource, Operation, Vertex
from corten.build.plan.model import BuildPlan, PlannedImage, PlanOptions, ResolvedImage
from corten.build.plan.planner import plan_build
from corten.build.progress import Warning
from corten.errors import NotFound
from corten.oci.image_config import History, ImageConfig, ImageRunConfig, RootFS
from corten.oci.platform import Platform

AMD64 = Platform("amd64", "linux")
ARM64 = Platform("arm64", "linux")

DIGEST = "sha256:" + "1" * 64


def config(
    platform: Platform = AMD64, created: str | None = "2024-05-06T07:08:09.123Z", **run: Any
) -> ImageConfig:
    """An image with one layer."""
    return ImageConfig(
        platform.architecture,
        platform.os,
        ImageRunConfig(**run),
        RootFS(diff_ids=(DIGEST,)),
        (History(created=created, created_by="FROM somewhere"),),
        created=created,
        variant=platform.variant,
    )


class Images:
    """An ImageResolver of images by their familiar names; `asked` is what was looked up, in order."""

    def __init__(self, **images: ImageConfig) -> None:
        self._images = images
        self.asked: list[tuple[str, str]] = []

    async def resolve(self, reference: str, platform: Platform) -> ResolvedImage:
        name = reference.removeprefix("docker.io/library/").removesuffix(":latest")
        self.asked.append((name, str(platform)))
        if name not in self._images:
            raise NotFound(f"there is no image {name}")
        return ResolvedImage(f"{reference}@{DIGEST}", self._images[name])

    async def resolve_layout(self, context: str, selector: str, platform: Platform) -> ResolvedImage:
        self.asked.append((f"{context}:{selector}", str(platform)))
        return ResolvedImage(f"{context}@{DIGEST}", config(platform, user="layout"))


def base_images() -> Images:
    return Images(base=config(env=["PATH=/bin", "FROM_BASE=yes"], cmd=["sh"]))


async def plan(text: str, images: Images | None = None, **options: Any) -> BuildPlan:
    """The plan of an indented Dockerfile; on amd64."""
    options.setdefault("build_platform", AMD64)
    data = textwrap.dedent(text).lstrip("\n").encode()
    return await plan_build(data, PlanOptions(**options), images or base_images())


async def plan_one(text: str, images: Images | None = None, **options: Any) -> PlannedImage:
    """The only image of a plan."""
    (image,) = (await plan(text, images, **options)).images
    return image


async def warnings_of(text: str, images: Images | None = None, **options: Any) -> list[tuple[int, str, str]]:
    """Line, rule and message of what the checks say."""
    found: list[Warning] = []
    options.setdefault("build_platform", AMD64)
    data = textwrap.dedent(text).lstrip("\n").encode()
    await plan_build(data, PlanOptions(**options), images or base_images(), warn=found.append)
    return [(warning.lines[0], warning.rule, warning.message) for warning in found]


def vertices(image: PlannedImage) -> list[Vertex]:
    """All of them, inputs before what uses them."""
    return list(image.target.walk()) if image.target is not None else []


def names(image: PlannedImage) -> list[str]:
    return [vertex.name for vertex in vertices(image)]


def operations(image: PlannedImage) -> list[Operation]:
    return [vertex.operation for vertex in vertices(image)]


def processes(image: PlannedImage) -> list[Exec]:
    return [operation for operation in operations(image) if isinstance(operation, Exec)]


def files(image: PlannedImage) -> list[Any]:
    """The actions of all file operations."""
    return [
        action
        for operation in operations(image)
        if isinstance(operation, FileOperation)
        for action in operation.actions
    ]


def history(image: PlannedImage) -> list[str | None]:
    """What the build itself has added."""
    return [entry.created_by for entry in image.config.history or () if entry.comment]


def images_used(image: PlannedImage) -> list[str]:
    return [operation.reference for operation in operations(image) if isinstance(operation, ImageSource)]
