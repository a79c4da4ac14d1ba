"""The command as a process: help of everything, errors in one sentence, and what the start-up loads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from corten.cli import commands

SOURCE = str(Path(__file__).parents[3] / "src")


def every_command() -> list[list[str]]:
    found = []
    for _title, members in commands.GROUPS:
        for name, _module, _summary in members:
            found.append([name])
    for group, subs in commands.SUBCOMMANDS.items():
        found += [[*group.split(), sub] for sub, _module, _text in subs]
    return found


def corten(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "corten", *arguments],
        env={**os.environ, "PYTHONPATH": SOURCE, "CORTEN_HOST": "unix:///nonexistent/s", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("words", every_command(), ids=" ".join)
def test_every_help_has_usage_and_an_example(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    from corten.cli.main import main

    assert main([*words, "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"Usage:  corten {' '.join(words)}")
    assert "Example" in text
    assert f"  corten {' '.join(words)}" in text.partition("Example")[2]
    assert "\x1b" not in text


def test_the_overview_names_every_command() -> None:
    done = corten("--help")
    assert done.returncode == 0
    for _title, members in commands.GROUPS:
        for name, _module, summary in members:
            assert f"{name} " in done.stdout and summary in done.stdout
    assert corten().stdout == done.stdout == corten("help").stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["rnu"], 125, "'rnu' is not a corten command, did you mean 'run'?\nSee 'corten --help'."),
        (["image", "lss"], 125, "'image lss' is not a corten command, did you mean 'ls'?"),
        (
            ["run", "--memroy", "1", "x"],
            125,
            "unknown flag: --memroy, did you mean --memory?\nSee 'corten run --help'.",
        ),
        (["run"], 125, "'corten run' requires at least 1 argument"),
        (["rename", "a"], 125, "'corten rename' requires exactly 2 arguments"),
        (["ps", "x"], 125, "'corten ps' accepts no arguments"),
        (["ps"], 1, "cannot reach the engine at unix:///nonexistent/s"),
        (["run", "x"], 125, "cannot reach the engine"),
        (["-H", "nonsense", "ps"], 125, "neither unix:///path/to/socket nor tcp://host:port"),
    ],
)
def test_errors_are_one_sentence(arguments: list[str], code: int, message: str) -> None:
    done = corten(*arguments)
    assert done.returncode == code
    assert done.stderr.startswith("corten: ")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_debug_shows_where(tmp_path: Path) -> None:
    assert "Traceback" in corten("ps", CORTEN_DEBUG="1").stderr


def test_broken_pipe_is_silent() -> None:
    done = subprocess.run(
        f"{sys.executable} -m corten --help | true; echo ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        env={**os.environ, "PYTHONPATH": SOURCE},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.strip() in ("0", "141")


def test_version() -> None:
    assert corten("--version").stdout.startswith("corten 0.")


HEAVY = (
    "argparse",
    "json",
    "re",
    "dataclasses",
    "typing",
    "enum",
    "socket",
    "http",
    "signal",
    "pathlib",
    "logging",
    "asyncio",
    "subprocess",
    "shutil",
    "msgspec",
    "rich",
    "ctypes",
    "urllib",
    "functools",
    "contextlib",
    "selectors",
    "datetime",
    "traceback",
    "importlib.util",
    "collections",
    "inspect",
)


@pytest.mark.parametrize(
    "command", [["run", "--rm", "-m", "64m", "-v", "a:/b", "busybox", "true"], ["exec", "x", "true"]]
)
def test_the_start_of_run_and_exec_loads_next_to_nothing(command: list[str]) -> None:
    program = (
        "import sys; before = set(sys.modules); from corten.cli.main import main; main(sys.argv[1:])\n"
        "print(*sorted(set(sys.modules) - before), file=sys.stdout)"
    )
    done = subprocess.run(
        [
            sys.executable,
            "-I",
            "-S",
            "-c",
            f"import sys; sys.path.insert(0, {SOURCE!r}); {program}",
            *command,
        ],
        env={"CORTEN_HOST": "unix:///nonexistent/s", "PATH": "/usr/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "cannot reach" in done.stderr
    loaded = done.stdout.split()
    assert [name for name in loaded if name.partition(".")[0] in HEAVY] == []
    assert len(loaded) < 34
