"""Platforms: of FROM, of the build, several at once."""

from __future__ import annotations

import pytest

from corten.build.graph import ImageSource
from corten.build.parser.source_error import DockerfileError
from corten.oci.platform import Platform
from tests.unit.build.plan.planning import (
    AMD64,
    ARM64,
    Images,
    base_images,
    config,
    names,
    operations,
    plan,
    plan_one,
    vertices,
    warnings_of,
)

CROSS = """
    FROM --platform=$BUILDPLATFORM base AS build
    RUN prepare
    ARG TARGETARCH
    RUN compile
    FROM base
    COPY --from=build /out /
"""


async def test_one_plan_for_each_platform_with_what_is_the_same_shared() -> None:
    images = base_images()
    first, second = (await plan(CROSS, images, platforms=(AMD64, ARM64))).images
    assert (str(first.platform), str(second.platform)) == ("linux/amd64", "linux/arm64")
    assert [(image.config.architecture, image.config.variant) for image in (first, second)] == [
        ("amd64", None),
        ("arm64", None),
    ]
    shared = set(vertices(first)) & set(vertices(second))
    assert sorted(vertex.name.split("] ")[1] for vertex in shared) == [
        "FROM docker.io/library/base:latest@sha256:" + "1" * 64,
        "RUN prepare",
    ]
    assert names(second)[2:4] == [
        "[linux/amd64 build 2/3] RUN prepare",
        "[linux/amd64->arm64 build 3/3] RUN compile",
    ]


async def test_images_are_looked_up_for_the_platform_of_their_stage() -> None:
    images = Images(base=config(), tools=config())
    await plan("FROM --platform=linux/arm/v6 base\nCOPY --from=tools /a /\n", images, platforms=(ARM64,))
    assert sorted(images.asked) == [("base", "linux/arm/v6"), ("tools", "linux/arm64")]


async def test_64_bit_arm_has_no_variant() -> None:
    image = await plan_one("FROM base\n", platforms=(Platform("arm64", "linux", "v8"),))
    assert str(image.platform) == "linux/arm64"
    (source,) = operations(image)
    assert isinstance(source, ImageSource)
    assert str(source.platform) == "linux/arm64"


async def test_without_a_platform_the_image_says_what_it_is() -> None:
    image = await plan_one("FROM base\n", Images(base=config(ARM64)))
    assert str(image.platform) == "linux/arm64"
    image = await plan_one("FROM base\n", Images(base=config(Platform("strange", "linux", "v9.1"))))
    assert image.config.architecture == "strange"


async def test_a_base_for_another_platform_is_reported() -> None:
    found = await warnings_of("FROM base\nRUN x\n", Images(base=config(ARM64)), platforms=(AMD64,))
    assert found == [
        (
            1,
            "InvalidBaseImagePlatform",
            'Base image base was pulled with platform "linux/arm64", expected "linux/amd64" for current '
            "build",
        )
    ]


@pytest.mark.parametrize(
    ("platform", "reason"),
    [
        ("$nothing", r"empty platform value from expression \$nothing"),
        ("$TARGETPLATFROM", r"did you mean TARGETPLATFORM\?"),
        ("linux/arm64/v8/x", "failed to parse platform linux/arm64/v8/x"),
        ("a b", "FROM requires either one or three arguments"),
    ],
)
async def test_platforms_that_are_none(platform: str, reason: str) -> None:
    with pytest.raises(DockerfileError, match=reason) as raised:
        await plan(f"ARG nothing=\nFROM --platform={platform} base\n")
    assert raised.value.line == 2
