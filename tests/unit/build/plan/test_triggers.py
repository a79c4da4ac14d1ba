"""ONBUILD."""

from __future__ import annotations

import pytest

from corten.build.graph import Copy
from corten.build.parser.source_error import DockerfileError
from tests.unit.build.plan.planning import Images, config, files, history, names, plan, plan_one, processes


def with_triggers(*triggers: str) -> Images:
    return Images(base=config(on_build=list(triggers)), tools=config())


async def test_triggers_of_an_image_come_first() -> None:
    image = await plan_one("FROM base\nRUN own\n", with_triggers("ENV a=1", "RUN one $a", "WORKDIR /w"))
    assert names(image)[1:] == ["[2/5] ONBUILD RUN one 1", "[3/5] ONBUILD WORKDIR /w", "[4/5] RUN own"]
    assert history(image)[0] == "ENV a=1"
    assert [process.directory for process in processes(image)] == ["/", "/w"]
    assert image.config.run.on_build is None


async def test_they_run_once() -> None:
    image = await plan_one("FROM base AS one\nFROM one\nRUN own\n", with_triggers("RUN trigger"))
    assert [process.args[-1] for process in processes(image)] == ["trigger", "own"]


async def test_triggers_of_a_stage() -> None:
    image = await plan_one(
        """
        FROM tools AS one
        ONBUILD RUN first
        RUN not-here
        ONBUILD COPY --from=two /a /a
        FROM tools AS two
        RUN second
        FROM one AS three
        RUN third
        FROM three
        RUN fourth
        """,
        with_triggers(),
    )
    assert [process.args[-1] for process in processes(image)] == [
        "not-here",
        "first",
        "second",
        "third",
        "fourth",
    ]
    assert image.config.run.on_build is None


async def test_they_stay_in_the_image_that_declares_them() -> None:
    image = await plan_one("FROM tools\nONBUILD RUN  a b\nONBUILD COPY <<x /\n1\nx\n", with_triggers())
    assert image.config.run.on_build == ["RUN  a b", "COPY <<x /\n1\nx"]
    assert history(image) == []


async def test_a_trigger_may_need_an_image_that_has_triggers() -> None:
    images = Images(
        base=config(on_build=["COPY --from=tools /t /t", "RUN --mount=from=more,target=/m x"]),
        tools=config(on_build=["RUN not-for-us"]),
        more=config(),
    )
    image = await plan_one("FROM base\n", images)
    assert [name for name, _ in images.asked] == ["base", "tools", "more"]
    assert [action.source for action in files(image) if isinstance(action, Copy)] == ["/t"]
    assert len(processes(image)) == 1


async def test_a_trigger_with_a_heredoc() -> None:
    image = await plan_one("FROM base\n", with_triggers("RUN <<E\necho 1\nE"))
    assert processes(image)[0].args[-1] == "echo 1\n"


@pytest.mark.parametrize(
    ("trigger", "reason"),
    [
        ("RUNN x", r"ONBUILD RUNN x: unknown instruction: RUNN \(did you mean RUN\?\)"),
        ("RUN x\nRUN y", "onbuild trigger should be a single expression"),
        ("COPY a", "COPY requires at least two arguments"),
        ("", "ONBUILD"),
    ],
)
async def test_triggers_that_are_wrong_are_an_error_of_from(trigger: str, reason: str) -> None:
    with pytest.raises(DockerfileError, match=reason) as raised:
        await plan("# syntax=x\nFROM base\n", with_triggers(trigger))
    assert raised.value.line == 2
