"""corten registry user and token: what their process is asked for, and what never gets on a command line."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import pytest

from corten.cli import commands
from corten.cli.main import main, run_command


class Replaced(Exception):
    """The command would become this process."""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[str, dict[str, Any]]]:
    """Runs a command; the verb and the request of the process that it becomes."""

    def become(_path: str, command: list[str]) -> None:
        raise Replaced(command)

    monkeypatch.setattr(os, "execv", become)

    def run(group: str, name: str, *words: str) -> tuple[str, dict[str, Any]]:
        module = commands.find_sub(f"registry {group}", name)
        assert module
        with pytest.raises(Replaced) as caught:
            run_command(module, list(words), ["registry", group, name])
        *_, verb, request = caught.value.args[0]
        return verb, json.loads(request)

    return run


@pytest.mark.parametrize(
    ("words", "verb", "wanted"),
    [
        (
            ["user", "add", "alice", "--permission", "pull:a", "--permission", "push:b", "--password-stdin"],
            "user",
            {
                "action": "add",
                "names": ["alice"],
                "permissions": ["pull:a", "push:b"],
                "password-stdin": True,
            },
        ),
        (["user", "add", "root", "--admin"], "user", {"permissions": ["admin:**"], "password-stdin": False}),
        (["user", "rm", "a", "b", "--open"], "user", {"action": "rm", "names": ["a", "b"], "open": True}),
        (["user", "ls"], "user", {"action": "list", "format": "table"}),
        (["user", "grant", "a", "pull:x", "push:y"], "user", {"names": ["a", "pull:x", "push:y"]}),
        (
            ["token", "create", "ci", "--permission", "pull:a"],
            "token",
            {"action": "create", "expires": "90d"},
        ),
        (["token", "create", "ci", "--expires", "never"], "token", {"expires": "never"}),
        (["token", "remove", "ci"], "token", {"action": "rm", "names": ["ci"]}),
    ],
)
def test_what_is_asked_for(asked: Any, words: list[str], verb: str, wanted: dict[str, Any]) -> None:
    found, request = asked(*words, "--root", "/somewhere")
    assert found == verb and request["set"] == {"root": "/somewhere"}
    assert {name: request["accounts"][name] for name in wanted} == wanted


@pytest.mark.parametrize("option", ["--password", "-p"])
def test_a_password_is_no_argument(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["registry", "user", "add", "alice", option, "secret"]) == 125
    assert "unknown" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["registry", "user", "frob"], "'registry user frob' is not a corten command"),
        (["registry", "user", "lst"], "did you mean 'list'?\nSee 'corten registry user --help'"),
        (["registry", "user", "add"], "requires exactly 1 argument\nSee 'corten registry user add --help'"),
        (["registry", "user", "grant", "a"], "requires at least 2 arguments"),
        (["registry", "token", "--frob"], "'registry token --frob' is not a corten command"),
    ],
)
def test_mistakes(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 125
    assert message in capsys.readouterr().err
