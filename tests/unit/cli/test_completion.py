"""Completion scripts: bash runs its own; all of them know every command and flag."""

from __future__ import annotations

import subprocess

import pytest

from corten.cli import commands, completion


def complete(line: str, corten: str = "true") -> list[str]:
    """What bash offers at the end of `line`; `corten` is what answers to questions for names."""
    words = line.split(" ")
    script = (
        f"corten() {{ {corten}; }}\n{completion.bash()}\n"
        f"COMP_WORDS=({' '.join(repr(word) for word in words)}); COMP_CWORD={len(words) - 1}\n"
        "_corten; printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("corten ru", ["run"]),
        ("corten -H unix:///x ru", ["run"]),
        ("corten rm", ["rm", "rmi"]),
        ("corten volume ", ["create", "inspect", "ls", "prune", "rm"]),
        ("corten volume r", ["rm"]),
        ("corten run --memory-s", ["--memory-swap", "--memory-swappiness"]),
        ("corten container run --volat", ["--volatile"]),
        ("corten ps --no", ["--no-trunc"]),
        ("corten completion f", ["fish"]),
        ("corten image bootstrap b", ["busybox"]),
        ("corten builder history l", ["logs", "ls"]),
    ],
)
def test_words(line: str, expected: list[str]) -> None:
    assert complete(line) == expected


def test_names_are_asked_for() -> None:
    assert complete("corten stop w", "printf 'web\\nworker\\nother\\n'") == ["web", "worker"]
    assert complete("corten run -m 64m bus", "printf 'busybox:latest\\n'") == ["busybox:latest"]
    assert complete("corten builder history logs 4", "printf '49c\\n5aa\\n'") == ["49c"]


@pytest.mark.parametrize("script", [completion.bash, completion.zsh, completion.fish])
def test_every_command_is_there(script: object) -> None:
    assert callable(script)
    text = script()
    for _title, members in commands.GROUPS:
        for name, _module, _summary in members:
            assert name in text
    assert "volatile" in text and "(hidden)" not in text
