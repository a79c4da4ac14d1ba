"""What this host has and lacks for containers, and the one command that mends each lack."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One finding. `ok` False with `fatal` False means that a part of Corten will not work."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""  # one shell command, "" when there is nothing to do
    fatal: bool = False


def checks() -> list[Check]:
    """All findings, in the order in which a person wants to read them. Works without an engine; takes < 0.3 s."""
    raise NotImplementedError
