"""Stages: which are planned, and in which order."""

from __future__ import annotations

import msgspec
import pytest

from corten.build.graph import Copy
from corten.build.parser.source_error import DockerfileError
from corten.errors import InvalidArgument
from tests.unit.build.plan.planning import (
    Images,
    base_images,
    config,
    files,
    names,
    plan,
    plan_one,
    processes,
)

THREE = """
    FROM base AS first
    RUN one
    FROM unknown AS unused
    RUN two
    FROM base
    COPY --from=first /a /b
"""


async def test_a_stage_that_is_not_needed_is_not_looked_up() -> None:
    images = base_images()
    image = await plan_one(THREE, images)
    assert [name for name, _ in images.asked] == ["base", "base"]
    assert [process.args[-1] for process in processes(image)] == ["one"]


async def test_names_of_steps() -> None:
    image = await plan_one(THREE)
    reference = "docker.io/library/base:latest@sha256:" + "1" * 64
    assert names(image) == [
        f"[first 1/2] FROM {reference}",
        "[first 2/2] RUN one",
        "[stage-2 2/2] COPY --from=first /a /b",
    ]


async def test_a_single_stage_has_no_name_and_numbers_are_aligned() -> None:
    image = await plan_one("FROM base\n" + "RUN true\n" * 9)
    assert names(image)[1] == "[ 2/10] RUN true"
    assert names(image)[-1] == "[10/10] RUN true"


@pytest.mark.parametrize(
    ("target", "last"), [("", "COPY"), ("first", "one"), ("FIRST", "one"), ("0", "one"), ("1", "two")]
)
async def test_target(target: str, last: str) -> None:
    images = Images(base=config(), unknown=config())
    image = await plan_one(THREE, images, target=target)
    assert last in names(image)[-1]


async def test_a_target_that_is_not_there() -> None:
    with pytest.raises(
        InvalidArgument, match=r'target stage "frist" could not be found \(did you mean first\?\)'
    ):
        await plan(THREE, target="frist")


async def test_the_names_of_all_stages() -> None:
    assert (await plan(THREE)).stages == ("first", "unused", "")


async def test_a_stage_on_a_stage_inherits_its_arguments() -> None:
    image = await plan_one(
        """
        FROM base AS one
        ARG version=7
        ENV name=a
        WORKDIR /w
        USER u
        SHELL ["bash", "-c"]
        FROM one
        RUN make
        """
    )
    (process,) = processes(image)
    assert "version=7" in process.environment
    assert (process.directory, process.user, process.args) == ("/w", "u", ("bash", "-c", "make"))
    assert image.config.history is not None
    assert image.config.history[-1].created_by == "RUN |1 version=7 bash -c make # buildkit"
    assert image.config.run.env == ["PATH=/bin", "FROM_BASE=yes", "name=a"]


async def test_an_image_without_layers_is_like_scratch() -> None:
    empty = msgspec.structs.replace(config(), rootfs=None, history=None)
    image = await plan_one("FROM empty\nENV a=b", Images(empty=empty))
    assert image.target is None


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("FROM scratch AS a\nCOPY --from=a /x /y\n", 2),
        ("FROM scratch AS a\nCOPY --from=b /x /y\nFROM scratch AS b\nCOPY --from=a /x /y\n", 4),
        ("FROM base AS a\nRUN --mount=from=b,target=/b x\nFROM base AS b\nCOPY --from=0 /x /y\n", 4),
    ],
)
async def test_stages_in_a_circle(text: str, line: int) -> None:
    with pytest.raises(DockerfileError, match="circular dependency detected on stage: a") as raised:
        await plan(text)
    assert raised.value.line == line


async def test_a_long_chain_of_stages_is_no_recursion() -> None:
    count = 5000
    lines = ["FROM scratch AS s0"]
    for number in range(1, count):
        lines += [f"FROM scratch AS s{number}", f"COPY --from=s{number - 1} /a /a"]
    image = await plan_one("\n".join(lines))
    assert len(files(image)) == count - 1


async def test_copy_from_a_stage_that_comes_later() -> None:
    with pytest.raises(DockerfileError, match="it needs to be defined before current stage") as raised:
        await plan("FROM scratch AS a\nCOPY --from=b /x /y\nFROM scratch AS b\nFROM a\n")
    assert (raised.value.line, raised.value.column) == (2, 13)


async def test_an_index_that_is_none() -> None:
    with pytest.raises(DockerfileError, match="invalid stage index 7"):
        await plan("FROM scratch\nCOPY --from=7 /x /y\n")


async def test_copy_from_an_image() -> None:
    images = Images(base=config(), tools=config())
    image = await plan_one("FROM base\nCOPY --from=tools /x /y\nCOPY --from=tools /z /y\n", images)
    assert [name for name, _ in images.asked] == ["base", "tools"]
    assert [action.source for action in files(image) if isinstance(action, Copy)] == ["/x", "/z"]


async def test_an_image_that_is_not_there_is_the_instructions_error() -> None:
    with pytest.raises(
        DockerfileError, match=r"bse: there is no image bse \(did you mean base\?\)"
    ) as raised:
        await plan("FROM base AS base\nFROM bse\n")
    assert (raised.value.line, raised.value.column) == (2, 6)


async def test_the_same_operation_is_one_vertex() -> None:
    image = await plan_one(
        """
        FROM base AS one
        RUN make
        FROM base AS two
        RUN make
        FROM scratch
        COPY --from=one /a /a
        COPY --from=two /b /b
        """
    )
    assert len(processes(image)) == 1


async def test_no_cache_is_said_of_each_stage() -> None:
    text = """
        FROM base AS one
        RUN make
        FROM base AS two
        RUN build
        COPY --from=one /a /a
        """

    async def ignored(**options: object) -> list[bool]:
        image = await plan_one(text, **options)
        return [vertex.ignore_cache for vertex in image.target.walk()] if image.target is not None else []

    assert await ignored() == [False] * 4
    assert await ignored(no_cache=True) == [False, True, True, True]
    assert await ignored(no_cache_filter=("TWO",)) == [False, True, False, True]
