"""`--call outline` and `--call targets`."""

from __future__ import annotations

import textwrap

import pytest

from corten.build.parser.source_error import DockerfileError
from corten.build.plan.model import PlanOptions
from corten.build.plan.outline import Outline, OutlineSecret, Target, list_targets, outline_build
from tests.unit.build.plan.planning import AMD64, Images, config

TEXT = """
    ARG image=base
    ARG unused=1
    # suffix is put behind the name
    ARG suffix=${image}
    # build makes it
    FROM --platform=$BUILDPLATFORM $suffix AS build
    # version is what is built
    ARG version=2
    RUN --mount=type=secret,id=token,required --mount=type=ssh make
    FROM scratch AS other
    ARG mine
    RUN --mount=type=secret,id=not-this x
    # final is the image
    FROM base AS final
    ARG TARGETARCH
    COPY --from=build /a /
    RUN --mount=type=secret,id=token --mount=type=secret,id=last x
"""


async def outline(**options: str) -> Outline:
    data = textwrap.dedent(TEXT).lstrip("\n").encode()
    return await outline_build(data, PlanOptions(build_platform=AMD64, **options), Images(base=config()))


async def test_outline() -> None:
    found = await outline()
    assert (found.name, found.description) == ("final", "is the image")
    assert [(argument.name, argument.value, argument.description) for argument in found.arguments] == [
        ("image", "base", ""),
        ("suffix", "base", "is put behind the name"),
        ("version", "2", "is what is built"),
    ]
    assert found.secrets == (OutlineSecret("token", True, (9, 9)), OutlineSecret("last", False, (17, 17)))
    assert [agent.name for agent in found.agents] == ["default"]


async def test_outline_of_a_target() -> None:
    found = await outline(target="other")
    assert [argument.name for argument in found.arguments] == ["mine"]
    assert [secret.name for secret in found.secrets] == ["not-this"]


def test_targets() -> None:
    found = list_targets(textwrap.dedent(TEXT).lstrip("\n").encode())
    assert found[0] == Target("build", "makes it", "$suffix", "$BUILDPLATFORM", False, (6, 6))
    assert [(target.name, target.is_default) for target in found] == [
        ("build", False),
        ("other", False),
        ("final", True),
    ]


def test_targets_of_a_file_that_cannot_be_read() -> None:
    with pytest.raises(DockerfileError):
        list_targets(b"FROM a\nFOO\n")
