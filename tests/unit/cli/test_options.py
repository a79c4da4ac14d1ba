"""Docker's flag syntax."""

from __future__ import annotations

import pytest

from corten.cli import options
from corten.cli.suggestion import closest

TABLE: tuple[options.Option, ...] = (
    ("detach", "d", "bool", "", ""),
    ("interactive", "i", "bool", "", ""),
    ("tty", "t", "bool", "", ""),
    ("env", "e", "list", "", ""),
    ("memory", "m", "str", "", ""),
    ("tail", "n", "int", "", ""),
    ("sig-proxy", "", "bool", "", ""),
)


def parse(text: str, interspersed: bool = True) -> options.Arguments:
    return options.parse(text.split(), TABLE, interspersed=interspersed)


@pytest.mark.parametrize("text", ["-it x", "-i -t x", "-ti x", "--interactive --tty x", "-i --tty=true x"])
def test_bundles(text: str) -> None:
    arguments = parse(text)
    assert arguments.on("interactive") and arguments.on("tty") and not arguments.on("detach")
    assert arguments.rest == ["x"]


@pytest.mark.parametrize(
    "text", ["-m 64m", "-m64m", "-m=64m", "--memory 64m", "--memory=64m", "-dm64m", "-itm 64m"]
)
def test_values(text: str) -> None:
    assert parse(text).text("memory") == "64m"


def test_a_flag_can_come_again() -> None:
    arguments = parse("-e A=1 --env B=2 -eC=3 -m 1 -m 2")
    assert arguments.many("env") == ["A=1", "B=2", "C=3"]
    assert arguments.text("memory") == "2"


def test_the_command_of_run_keeps_its_flags() -> None:
    assert parse("-i busybox ls -d --memory", interspersed=False).rest == ["busybox", "ls", "-d", "--memory"]
    assert parse("busybox -d ls").rest == ["busybox", "ls"]
    assert parse("-- -d -x").rest == ["-d", "-x"]
    assert parse("-").rest == ["-"]


def test_a_switch_can_be_turned_off() -> None:
    assert not parse("--sig-proxy=false").on("sig-proxy", True)
    assert parse("").on("sig-proxy", True)


def test_a_switch_takes_no_word() -> None:
    assert parse("--tty false").rest == ["false"]


def test_numbers() -> None:
    assert parse("--tail 5").number("tail") == 5
    assert parse("--tail -1").number("tail") == -1
    assert parse("").number("tail", 7) == 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("--memroy 1", "unknown flag: --memroy, did you mean --memory?"),
        ("--zzzzzz", "unknown flag: --zzzzzz"),
        ("-x", "unknown shorthand flag: 'x'"),
        ("-itx", "unknown shorthand flag: 'x' in -itx"),
        ("-memory 1", "invalid value 'emory'"),
        ("--memory", "flag needs an argument: --memory"),
        ("-m", "flag needs an argument: -m"),
        ("--tty=maybe", "invalid value 'maybe' for flag --tty"),
        ("--tail=few", "invalid value 'few' for flag --tail: it must be a whole number"),
    ],
)
def test_mistakes_are_told(text: str, message: str) -> None:
    if text == "-memory 1":  # -m takes the rest as its value: no mistake that can be seen
        assert parse(text).text("memory") == "emory"
        return
    with pytest.raises(options.UsageError) as caught:
        parse(text)
    assert caught.value.message == message or caught.value.message.startswith(message)


def test_help() -> None:
    for text in ("--help", "-h", "x --help"):
        with pytest.raises(options.HelpWanted):
            parse(text)


def test_suggestions() -> None:
    known = ["run", "rm", "rmi", "rename", "restart", "inspect", "images"]
    assert closest("rnu", known) == "run"
    assert closest("inspct", known) == "inspect"
    assert closest("imgaes", known) == "images"
    assert closest("kubernetes", known) is None
