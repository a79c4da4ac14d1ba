"""Who files belong to, and their permissions, as flags say it."""

from __future__ import annotations

import re

from corten.build.graph import Owner
from corten.errors import InvalidArgument

_NUMBER = re.compile(r"[0-9]{1,10}")
_OCTAL = re.compile(r"[0-7]+")
_SYMBOLIC = re.compile(r"[ugoa]*(?:[-+=][rwxXstugo]*)+(?:,[ugoa]*(?:[-+=][rwxXstugo]*)+)*")


def parse_owner(text: str) -> Owner:
    """`user`, `user:group`, with names or numbers; `root` is 0, and so is an empty name. Nothing at all: not
    given."""
    if not text:
        return Owner()
    user, colon, group = text.partition(":")
    return Owner(_identity(user), _identity(group) if colon else None)


def _identity(text: str) -> str | int:
    if text in ("", "root"):
        return 0
    return int(text) if _NUMBER.fullmatch(text) and int(text) < 1 << 31 else text


def parse_mode(text: str) -> str:
    """`--chmod`: octal digits, without leading zeros; or chmod(1)'s symbolic form, as it is. Raises
    InvalidArgument."""
    if _OCTAL.fullmatch(text):
        if int(text[-20:], 8) <= 0o7777 and len(text) <= 20:
            return f"{int(text, 8):o}"
    elif _SYMBOLIC.fullmatch(text):
        return text
    raise InvalidArgument(
        f"invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777"
    )
