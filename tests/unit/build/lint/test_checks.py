"""Each of the checks: what it finds, what it leaves alone, how it is switched off."""

from __future__ import annotations

import pytest

from corten.build.lint.rules import RULES
from tests.unit.build.plan.planning import ARM64, Images, config, warnings_of

ALL_STAGES = {"all_stages": True}

FOUND = {
    "StageNameCasing": "FROM base AS Build\n",
    "FromAsCasing": "FROM base as build\n",
    "NoEmptyContinuation": "FROM base\nRUN a \\\n\n  b\n",
    "ConsistentInstructionCasing": "FROM base\nRUN a\nenv a=b\n",
    "DuplicateStageName": "FROM base AS a\nFROM base AS a\n",
    "ReservedStageName": "FROM base AS context\n",
    "JSONArgsRecommended": "FROM base\nCMD run me\n",
    "MaintainerDeprecated": "FROM base\nMAINTAINER me\n",
    "UndefinedArgInFrom": "ARG image=base\nFROM base$imag\n",
    "WorkdirRelativePath": "FROM base\nWORKDIR a\n",
    "UndefinedVar": "FROM base\nENV a=$PAHT\n",
    "MultipleInstructionsDisallowed": 'FROM base\nCMD ["a"]\nRUN x\nCMD ["b"]\n',
    "LegacyKeyValueFormat": "FROM base\nLABEL a b\n",
    "InvalidBaseImagePlatform": "FROM --platform=$TARGETPLATFORM$none foreign\n",
    "RedundantTargetPlatform": "FROM --platform=$TARGETPLATFORM base\n",
    "SecretsUsedInArgOrEnv": "FROM base\nARG DB_PASSWORD\n",
    "InvalidDefaultArgInFrom": "ARG tag\nFROM base:$tag\n",
    "FromPlatformFlagConstDisallowed": "FROM --platform=linux/amd64 base\n",
    "CopyIgnoredFile": "FROM base\nCOPY a/b.log /\n",
    "InvalidDefinitionDescription": "# this is it\nARG image=base\nFROM base\n",
    "ExposeProtoCasing": "FROM base\nEXPOSE 80/TCP\n",
    "ExposeInvalidFormat": "FROM base\nEXPOSE 80:80\n",
}


async def rules_in(text: str, **options: object) -> list[str]:
    options.setdefault("check", "experimental=all")
    options.setdefault("build_args", {"tag": "latest"} if "$tag" in text else {})
    images = Images(base=config(), foreign=config(ARM64))
    found = await warnings_of(text, images, ignore=("*.o", "**/*.log"), **options)
    return [rule for _, rule, _ in found]


def test_there_is_an_example_for_each_rule() -> None:
    assert {rule.name for rule in RULES} == FOUND.keys()
    assert len(RULES) == 22


@pytest.mark.parametrize("rule", FOUND)
async def test_found(rule: str) -> None:
    expected = [rule] if rule != "InvalidBaseImagePlatform" else ["UndefinedArgInFrom", rule]
    assert await rules_in(FOUND[rule]) == expected


@pytest.mark.parametrize("rule", FOUND)
async def test_skipped(rule: str) -> None:
    selection = "experimental=none" if rule == "InvalidDefinitionDescription" else f"skip=x,{rule}"
    assert rule not in await rules_in(FOUND[rule], check=selection)
    assert rule not in await rules_in(f"# check={selection}\n{FOUND[rule]}", check=None)


@pytest.mark.parametrize("rule", sorted(FOUND.keys() - {"InvalidDefinitionDescription"}))
async def test_skipped_by_a_comment_above_the_instruction(rule: str) -> None:
    *before, last = FOUND[rule].rstrip("\n").split("\n")
    if rule in ("NoEmptyContinuation", "MultipleInstructionsDisallowed"):
        before, last = before[:1], "\n".join([*before[1:], last])
    lines = ["# syntax=x", "", *before, f"# check=skip={rule} // for a reason", last, ""]
    assert rule not in await rules_in("\n".join(lines))
    lines[-3] = "# check=skip=SomethingElse"
    assert rule in await rules_in("\n".join(lines))


@pytest.mark.parametrize(
    "text",
    [
        "FROM base AS build\nFROM base AS build-2\n",
        "from base as build\nrun x\n",
        "FROM base\nRUN a \\\n  # comment\n  b\n",
        'FROM base\nSHELL ["x"]\nCMD run me\n',
        'FROM base\nENTRYPOINT ["x"]\nCMD ["run", "me"]\n',
        "FROM base\nWORKDIR /a\nWORKDIR b\n",
        "FROM base AS one\nWORKDIR /a\nFROM one\nWORKDIR b\n",
        "FROM base\nARG a\nENV b=$a\nENV c=$b d=${a:-x}\n",
        'FROM base AS one\nCMD ["a"]\nFROM one\nCMD ["b"]\n',
        "FROM --platform=linux/amd64 base AS for-amd64\n",
        "FROM --platform=$BUILDPLATFORM base\n",
        "FROM base\nARG PUBLIC_KEY TOKEN_FILE monkey KEYBOARD\nENV AUTH_VERSION=1\n",
        "FROM base\nCOPY --from=base a.log /\nCOPY . /\nADD http://x.org/a.log /\n",
        "# image is the base\nARG image=base\n# what follows is\n#\nFROM base AS one\n",
        "FROM base\nEXPOSE 80/udp 90\n",
    ],
)
async def test_nothing_is_found(text: str) -> None:
    assert await rules_in(text) == []


async def test_messages_suggest() -> None:
    found = await warnings_of("ARG image=base\nFROM base${imag}\nENV a=$PAHT$nothing_like_it\n")
    assert [(line, message) for line, _, message in found] == [
        (2, "FROM argument 'imag' is not declared (did you mean image?)"),
        (3, "Usage of undefined variable '$PAHT' (did you mean $PATH?)"),
        (3, "Usage of undefined variable '$nothing_like_it'"),
    ]


async def test_a_build_looks_at_the_stages_that_it_needs() -> None:
    text = "FROM base AS one\nENV a=$b\nFROM base\nENV a=$c\n"
    assert [line for line, *_ in await warnings_of(text)] == [4]
    assert [line for line, *_ in await warnings_of(text, target="one")] == [2]
    assert [line for line, *_ in await warnings_of(text, **ALL_STAGES)] == [2, 4]


async def test_nothing_is_said_of_an_ignore_file_with_exceptions() -> None:
    text = "FROM base\nCOPY a.log /\nCOPY . /\n"
    assert [message for *_, message in await warnings_of(text, ignore=("*",))] == [
        'Attempting to Copy file "a.log" that is excluded by .dockerignore',
        'Attempting to Copy file "." that is excluded by .dockerignore',
    ]
    assert await warnings_of(text, ignore=("*", "!a.log")) == []


async def test_very_many_mistakes_are_told_without_suggestions() -> None:
    text = "FROM base\n" + "".join(f"ENV a{number}=$A{number}\n" for number in range(2000))
    found = await warnings_of(text)
    assert len(found) == 2000
    assert "did you mean" in found[5][2]
    assert "did you mean" not in found[-1][2]


async def test_triggers_are_checked_at_from() -> None:
    images = Images(base=config(on_build=["ENV a=$b", "MAINTAINER x"][:1]))
    assert [(line, rule) for line, rule, _ in await warnings_of("ARG x\nFROM base\n", images)] == [
        (2, "UndefinedVar")
    ]
