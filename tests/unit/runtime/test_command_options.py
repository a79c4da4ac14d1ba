"""The command line of corten-runtime."""

from __future__ import annotations

import pytest

from corten.errors import InvalidArgument
from corten.runtime.command.kill import parse_signal
from corten.runtime.command.options import Options

OPTIONS = Options("x ID", values={"bundle": "b"}, lists={"env": "e"}, flags={"force": "f"})


@pytest.mark.parametrize(
    "arguments",
    [["--bundle", "d", "-f", "id"], ["--bundle=d", "--force", "id"], ["-b", "d", "--force=true", "--", "id"]],
)
def test_forms(arguments):
    parsed = OPTIONS.parse(arguments, count=(1, 1))
    assert parsed.values == {"bundle": "d"}
    assert parsed.flags == {"force"}
    assert parsed.words == ["id"]


def test_lists_and_the_end_of_options():
    parsed = OPTIONS.parse(["-e", "A=1", "--env=B=2", "id", "-f"], count=(1, None))
    assert parsed.lists == {"env": ["A=1", "B=2"]}
    assert parsed.words == ["id", "-f"]
    assert not parsed.flags


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--nope"], "--nope"),
        (["--bundle"], "argument"),
        ([], "usage"),
        (["--force=maybe", "id"], "no argument"),
    ],
)
def test_wrong(arguments, words):
    with pytest.raises(InvalidArgument) as caught:
        OPTIONS.parse(arguments, count=(1, 1))
    assert words in caught.value.message


@pytest.mark.parametrize(("text", "number"), [("9", 9), ("KILL", 9), ("sigterm", 15), ("RTMIN+3", 37)])
def test_signals(text, number):
    assert parse_signal(text) == number


@pytest.mark.parametrize("text", ["0", "999", "NOPE", "SIG_DFL"])
def test_no_signals(text):
    with pytest.raises(InvalidArgument):
        parse_signal(text)
