"""Plans as a whole: bad files, long ones, what fails and what is told before that."""

from __future__ import annotations

import asyncio

import pytest

from corten.build.graph import Exec
from corten.build.parser.source_error import DockerfileError
from corten.build.plan import planning as planning_module
from corten.build.plan.model import PlanOptions, ResolvedImage
from corten.build.plan.planner import plan_build
from corten.build.progress import Warning
from corten.build.solve.keys import vertex_ids
from corten.errors import InvalidArgument, Unavailable
from corten.oci.image_config import encode_config
from corten.oci.platform import Platform
from tests.unit.build.plan.planning import Images, base_images, config, plan, plan_one, processes


@pytest.mark.parametrize(
    "data", [b"", b"\n# nothing\n", b"ARG a\n", b"\xff\xfeF\0R\0", b"FROM a\0b", b"RUN x\nFROM a\n"]
)
async def test_files_that_are_no_dockerfiles(data: bytes) -> None:
    with pytest.raises(DockerfileError):
        await plan_build(data, PlanOptions(), base_images())


async def test_a_long_file() -> None:
    count = 20_000
    text = "FROM base\n" + "".join(f"RUN {number}\nENV a={number}\n" for number in range(count))
    image = await plan_one(text)
    assert len(processes(image)) == count
    assert image.target is not None
    del image


async def test_variables_that_would_fill_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning_module, "_MOST_VARIABLES", 1000)
    text = "FROM base\n" + "".join(f"ENV a{number}=1\nRUN x\n" for number in range(100))
    with pytest.raises(DockerfileError, match="more than 1,000 variables in all"):
        await plan(text)
    assert await plan("FROM base\n" + "RUN x\n" * 1000)  # they share theirs


@pytest.mark.parametrize("line", ["RUN x", "ENV b=$a$a", "RUN --mount=type=cache,target=/c,id=$a x"])
async def test_text_that_would_fill_memory(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    monkeypatch.setattr(planning_module, "_MOST_CHARACTERS", 10_000)
    with pytest.raises(DockerfileError, match="shorten the values of ARG and ENV"):
        await plan(f"FROM base\nARG a={'x' * 1000}\n" + f"{line}\n" * 20)


async def test_bytes_that_are_not_utf8_reach_the_process_only() -> None:
    data = (
        b"FROM base\nRUN echo \xff\nCMD echo \xff\nMAINTAINER \xff\nENV a=\xff\n"
        b"RUN --mount=type=cache,target=/\xff x\n"
    )
    (image,) = (await plan_build(data, PlanOptions(), base_images())).images
    assert processes(image)[0].args[-1].encode("utf-8", "surrogateescape") == b"echo \xff"
    assert "\ufffd".encode() in encode_config(image.config)
    assert image.target is not None
    assert len(vertex_ids(image.target)) == 3
    assert image.target.name.isprintable()


async def test_nul_in_what_the_client_gives() -> None:
    for options in ({"build_args": {"a": "x\0y"}}, {"labels": {"a\0": "x"}}):
        with pytest.raises(InvalidArgument, match="has a NUL character"):
            await plan("FROM base\n", **options)


async def test_names_do_a_terminal_no_harm() -> None:
    image = await plan_one("FROM base\nRUN echo \x1b[2J " + "x" * 5000)
    assert image.target is not None
    assert "\x1b" not in image.target.name
    assert len(image.target.name) < 2100


async def test_what_was_found_is_told_before_an_error() -> None:
    found: list[Warning] = []
    with pytest.raises(DockerfileError, match="unknown instruction: BAD"):
        await plan_build(
            b"FROM base AS One\nMAINTAINER x\nBAD\nMAINTAINER y\n",
            PlanOptions(),
            base_images(),
            warn=found.append,
        )
    assert [(warning.rule, warning.lines[0]) for warning in found] == [
        ("StageNameCasing", 1),
        ("MaintainerDeprecated", 2),
    ]


async def test_warnings_are_told_once_for_several_platforms() -> None:
    found = await plan(
        "FROM base\nMAINTAINER x\n", platforms=(Platform("amd64", "linux"), Platform("arm64", "linux"))
    )
    assert [warning.rule for warning in found.warnings].count("MaintainerDeprecated") == 1


async def test_warnings_can_fail_a_build() -> None:
    text = "FROM base\nMAINTAINER x\nCMD y\n"
    with pytest.raises(DockerfileError, match="MaintainerDeprecated, JSONArgsRecommended") as raised:
        await plan(text, check="error=true")
    assert raised.value.line == 2
    assert await plan(text, check="skip=all;error=true")
    assert await plan("# check=error=true\n" + text, check="")
    with pytest.raises(DockerfileError):
        await plan("# check=error=true\n" + text)
    with pytest.raises(DockerfileError):
        await plan(text, build_args={"BUILDKIT_DOCKERFILE_CHECK": "error=true"})


async def test_checks_that_cannot_be_read() -> None:
    with pytest.raises(InvalidArgument, match='invalid check option "skipp"'):
        await plan("FROM base\n", check="skipp=all")
    with pytest.raises(DockerfileError, match="failed to parse check options") as raised:
        await plan("# escape=`\n# check=error=maybe\nFROM base\n")
    assert raised.value.line == 2


class Failing:
    """Images of which the first fails, while the others are still asked for."""

    def __init__(self) -> None:
        self.cancelled = 0

    async def resolve(self, reference: str, platform: Platform) -> ResolvedImage:
        if "one" in reference:
            raise Unavailable("the registry does not answer")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return ResolvedImage(reference, config())

    async def resolve_layout(self, context: str, selector: str, platform: Platform) -> ResolvedImage:
        raise AssertionError


async def test_one_image_that_fails_ends_the_search_for_the_others() -> None:
    images = Failing()
    with pytest.raises(DockerfileError, match="one: the registry does not answer") as raised:
        await plan_build(b"FROM one\nCOPY --from=two /a /\nCOPY --from=three /a /\n", PlanOptions(), images)
    assert isinstance(raised.value.__cause__, Unavailable)
    assert images.cancelled == 2


async def test_images_are_looked_up_at_the_same_time() -> None:
    running = most = 0

    class Slow(Images):
        async def resolve(self, reference: str, platform: Platform) -> ResolvedImage:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1
            return await super().resolve(reference, platform)

    await plan_one(
        "FROM a\nCOPY --from=b /x /\nCOPY --from=c /x /\n", Slow(a=config(), b=config(), c=config())
    )
    assert most == 3


async def test_the_process_has_what_its_image_says() -> None:
    (process,) = processes(await plan_one("FROM base\nRUN x\n"))
    assert process == Exec(("/bin/sh", "-c", "x"), ("PATH=/bin", "FROM_BASE=yes"), "/")
