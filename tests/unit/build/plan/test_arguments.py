"""ARG: scopes, defaults, what is predefined."""

from __future__ import annotations

import pytest

from corten.build.parser.source_error import DockerfileError
from tests.unit.build.plan.planning import (
    AMD64,
    ARM64,
    Images,
    base_images,
    config,
    history,
    plan,
    plan_one,
    processes,
)


async def environment(text: str, **options: object) -> dict[str, str]:
    image = await plan_one(text, **options)
    return dict(entry.split("=", 1) for entry in processes(image)[-1].environment)


async def test_from_sees_global_arguments_only() -> None:
    images = base_images()
    await plan_one("ARG name=ba\nARG name=${name}s\nARG all=${name}e\nFROM $all\n", images)
    assert images.asked[0][0] == "base"
    with pytest.raises(DockerfileError, match=r"base name \(\$name\) should not be blank"):
        await plan("FROM base AS one\nARG name=base\nFROM $name\n")


async def test_a_build_argument_replaces_a_default() -> None:
    images = Images(other=config())
    await plan_one("ARG name=base\nFROM $name\n", images, build_args={"name": "other"})
    assert images.asked[0][0] == "other"


async def test_a_stage_has_what_it_declares() -> None:
    found = await environment(
        "ARG outer=1 given=2\nFROM base\nARG inner=$outer\nARG outer\nARG given\n"
        "ARG again=$outer unset\nRUN x\n",
        build_args={"given": "9", "undeclared": "8"},
    )
    assert {key: found.get(key) for key in ("outer", "given", "inner", "again", "unset", "undeclared")} == {
        "outer": "1",
        "given": "9",
        "inner": "",
        "again": "1",
        "unset": None,
        "undeclared": None,
    }


async def test_an_argument_and_a_variable_of_one_name() -> None:
    found = await environment("FROM base\nARG a=1\nENV a=2\nRUN x\n", build_args={"a": "3"})
    assert found["a"] == "2"
    found = await environment("FROM base\nENV a=2\nARG a=1\nRUN x\n", build_args={"a": "3"})
    assert found["a"] == "3"


async def test_a_default_that_is_not_needed_is_not_expanded() -> None:
    found = await environment("FROM base\nARG a=${b:?missing}\nRUN x\n", build_args={"a": "1"})
    assert found["a"] == "1"
    with pytest.raises(DockerfileError, match="b: missing") as raised:
        await plan("FROM base\nARG a=${b:?missing}\nRUN x\n")
    assert (raised.value.line, raised.value.column) == (2, 7)


async def test_predefined() -> None:
    parts = ("PLATFORM", "OS", "ARCH", "VARIANT")
    names = " ".join(
        [*[f"BUILD{part}" for part in parts], *[f"TARGET{part}" for part in parts], "TARGETSTAGE"]
    )
    text = f"FROM base\nARG {names}\nRUN x\n"
    found = await environment(text, platforms=(ARM64,), build_platform=AMD64)
    assert [found[name] for name in names.split()] == [
        "linux/amd64", "linux", "amd64", "", "linux/arm64", "linux", "arm64", "", "default",
    ]  # fmt: skip
    found = await environment(text, build_args={"TARGETARCH": "mine"}, target="0")
    assert (found["TARGETARCH"], found["TARGETSTAGE"]) == ("mine", "0")


async def test_predefined_arguments_must_be_declared_in_a_stage() -> None:
    assert "TARGETARCH" not in await environment("FROM base\nRUN x\n")


async def test_history() -> None:
    image = await plan_one("ARG o=1\nFROM base\nARG a\nARG b=2 o c=\n")
    assert history(image) == ["ARG a", "ARG b=2 o=1 c="]


async def test_arguments_for_the_builder_are_no_variables() -> None:
    found = await environment("FROM base\nARG BUILDKIT_SBOM_SCAN_STAGE=true\nRUN x\n")
    assert "BUILDKIT_SBOM_SCAN_STAGE" not in found
