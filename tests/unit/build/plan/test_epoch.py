"""Times: of files, of the image, of its history."""

from __future__ import annotations

from typing import Any

import pytest

from corten.build.graph import Exec, FileOperation, GitSource, HttpSource, LocalSource
from corten.build.parser.source_error import DockerfileError
from corten.build.plan.model import LocalContext, PlanOptions, RemoteContext
from corten.build.plan.planner import plan_build
from corten.errors import InvalidArgument
from tests.unit.build.plan.planning import (
    AMD64,
    Images,
    base_images,
    config,
    plan,
    plan_one,
    processes,
    vertices,
)

CREATED = 1714979289  # of the base: 2024-05-06T07:08:09.123Z


async def epochs(text: str, images: Images | None = None, **options: Any) -> list[int | None]:
    image = await plan_one(text, images, **options)
    return [vertex.epoch for vertex in vertices(image) if isinstance(vertex.operation, Exec | FileOperation)]


async def test_the_base_says_the_time() -> None:
    image = await plan_one("FROM base\nRUN x\nENV a=b\n")
    assert image.epoch == CREATED
    assert image.config.created == "2024-05-06T07:08:09Z"
    assert [entry.created for entry in image.config.history or ()] == [
        "2024-05-06T07:08:09.123Z",
        "2024-05-06T07:08:09Z",
        "2024-05-06T07:08:09Z",
    ]
    assert await epochs("FROM base\nRUN x\nCOPY a b\nWORKDIR /c\n") == [CREATED] * 3


async def test_each_stage_has_that_of_its_own_base() -> None:
    text = "FROM scratch AS one\nCOPY a b\nFROM base AS two\nRUN x\nFROM two\nCOPY --from=one b c\n"
    assert await epochs(text) == [CREATED, 0, CREATED]


@pytest.mark.parametrize("created", [None, "", "0001-01-01T00:00:00Z", "nonsense"])
async def test_a_base_without_a_time(created: str | None) -> None:
    assert await epochs("FROM base\nRUN x\n", Images(base=config(created=created))) == [0]


async def test_source_date_epoch() -> None:
    text = "ARG SOURCE_DATE_EPOCH=5\nFROM base\nRUN x\n"
    assert await epochs(text) == [5]
    assert await epochs(text, epoch=6) == [6]
    assert await epochs(text, epoch=6, build_args={"SOURCE_DATE_EPOCH": "7"}) == [7]
    assert await epochs(text, build_args={"SOURCE_DATE_EPOCH": ""}) == [CREATED]
    image = await plan_one(text)
    assert image.config.created == "1970-01-01T00:00:05Z"


async def test_a_stage_can_see_it() -> None:
    image = await plan_one("FROM base\nARG SOURCE_DATE_EPOCH\nRUN x\n", epoch=6)
    assert "SOURCE_DATE_EPOCH=6" in processes(image)[0].environment


async def test_times_that_are_kept() -> None:
    image = await plan_one("FROM base\nRUN x\n", rewrite_timestamps=False)
    assert image.epoch is None
    assert image.config.created is None
    assert vertices(image)[-1].epoch is None
    image = await plan_one("FROM base\nRUN x\n", rewrite_timestamps=False, epoch=5)
    assert (image.epoch, vertices(image)[-1].epoch) == (5, None)


class Times:
    def __init__(self, time: int | None) -> None:
        self._time = time
        self.asked: list[LocalSource | GitSource | HttpSource] = []

    async def time(self, source: LocalSource | GitSource | HttpSource) -> int | None:
        self.asked.append(source)
        return self._time


STAGE = """FROM scratch AS when
ARG v=1
ADD https://x.org/a-$v.tar.gz /
FROM base
ARG SOURCE_DATE_EPOCH
RUN x
"""


@pytest.mark.parametrize(
    ("value", "text", "source"),
    [
        ("context", STAGE, LocalSource("context", ("*.o",))),
        ("when", STAGE, HttpSource("https://x.org/a-2.tar.gz", "a-2.tar.gz")),
        ("WHEN", STAGE.replace("https://x.org/a-$v.tar.gz", "git@x.org:a#b"), GitSource("git@x.org:a", "b")),
        ("named", STAGE, LocalSource("named", ("!a",))),
        ("remote", STAGE, GitSource("https://x.org/r.git")),
    ],
)
async def test_the_time_of_something(value: str, text: str, source: object) -> None:
    times = Times(77)
    options = PlanOptions(
        build_platform=AMD64,
        build_args={"SOURCE_DATE_EPOCH": value, "v": "2"},
        ignore=("*.o",),
        contexts={"named": LocalContext(("!a",)), "remote": RemoteContext("https://x.org/r.git")},
    )
    found = await plan_build(text.encode(), options, base_images(), times=times)
    assert times.asked == [source]
    assert found.images[0].epoch == 77
    assert "SOURCE_DATE_EPOCH=77" in processes(found.images[0])[0].environment


async def test_what_has_no_time_counts_as_nothing() -> None:
    options = PlanOptions(build_platform=AMD64, build_args={"SOURCE_DATE_EPOCH": "context"})
    found = await plan_build(STAGE.encode(), options, base_images(), times=Times(None))
    assert found.images[0].epoch == CREATED
    assert not any(
        entry.startswith("SOURCE_DATE_EPOCH") for entry in processes(found.images[0])[0].environment
    )


@pytest.mark.parametrize(
    ("lines", "reason", "line"),
    [
        ("FROM base AS when", "stage must use FROM scratch", 1),
        ("FROM scratch AS when\nRUN x", "unsupported RUN instruction", 2),
        ("FROM scratch AS when", "exactly one remote ADD", 1),
        ("FROM scratch AS when\nADD http://a/b /\nADD http://a/c /", "exactly one remote ADD", 1),
        ("FROM scratch AS when\nADD http://a/b http://a/c /", "exactly one remote ADD source", 1),
        ("FROM scratch AS when\nADD b /", r"must be a single HTTP\(S\) or Git ADD", 1),
    ],
)
async def test_stages_that_have_no_time(lines: str, reason: str, line: int) -> None:
    with pytest.raises(DockerfileError, match=reason) as raised:
        await plan(f"{lines}\nFROM base\n", build_args={"SOURCE_DATE_EPOCH": "when"})
    assert raised.value.line == line


async def test_a_value_that_is_none() -> None:
    with pytest.raises(InvalidArgument, match="invalid SOURCE_DATE_EPOCH: tomorrow"):
        await plan("FROM base\n", build_args={"SOURCE_DATE_EPOCH": "tomorrow"})
    with pytest.raises(DockerfileError, match="invalid SOURCE_DATE_EPOCH: tomorrow") as raised:
        await plan("ARG SOURCE_DATE_EPOCH=tomorrow\nFROM base\n")
    assert raised.value.line == 1
