"""Names of users and robots."""

from __future__ import annotations

import re

from corten.errors import InvalidArgument
from corten.registry.accounts.records import ANONYMOUS_NAME, ROBOT_PREFIX

_USER = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._@+-]{0,126}[A-Za-z0-9])?")
_ROBOT = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")


def check_user(name: str) -> str:
    """`name`, or InvalidArgument."""
    why = ""
    if not _USER.fullmatch(name):
        why = "letters, digits and any of . _ @ + - inside, 128 at most"
    elif name == ANONYMOUS_NAME or name.startswith("robot+"):
        why = "the registry itself uses this name"
    if why:
        raise InvalidArgument(f"invalid user name {name[:128]!r}: {why}")
    return name


def check_robot(name: str) -> str:
    """The account of the robot `name`, which may be given as `robot$NAME`; or InvalidArgument."""
    bare = name.removeprefix(ROBOT_PREFIX).removeprefix("robot+")
    if not _ROBOT.fullmatch(bare):
        raise InvalidArgument(
            f"invalid token name {name[:128]!r}: letters, digits and any of . _ - inside, 64 at most"
        )
    return ROBOT_PREFIX + bare
