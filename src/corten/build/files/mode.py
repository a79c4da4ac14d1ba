"""The modes of --chmod: octal digits, or chmod(1)'s symbolic form (POSIX, "chmod", extended description)."""

from __future__ import annotations

import re
from collections.abc import Callable

from corten.errors import InvalidArgument

Change = Callable[[int, bool], int]
"""(permission bits, whether it is a directory) to permission bits."""

_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=][rwxXstugo]*)+)")
_ACTION = re.compile(r"([-+=])([rwxXstugo]*)")

_WHO = {"u": 0o4700, "g": 0o2070, "o": 0o0007, "a": 0o6777}
_BITS = {"r": 0o444, "w": 0o222, "x": 0o111}
_SHIFTS = {"u": 6, "g": 3, "o": 0}


def compile_mode(text: str) -> Change:
    """What `text` does to modes; InvalidArgument for what is none."""
    if re.fullmatch("[0-7]+", text) and int(text, 8) <= 0o7777:
        value = int(text, 8)
        return lambda mode, is_directory: value
    clauses = []
    for part in text.split(","):
        match = _CLAUSE.fullmatch(part)
        if match is None:
            raise InvalidArgument(
                f"the mode {text!r} is none: give octal digits up to 7777, or a form like u=rwX,go=rX"
            )
        who = 0
        for char in match[1]:
            who |= _WHO[char]
        clauses.append((who, _ACTION.findall(match[2])))

    def change(mode: int, is_directory: bool) -> int:
        executable = is_directory or mode & 0o111 != 0
        for who, actions in clauses:
            for operator, permissions in actions:
                bits, reach = _bits(permissions, who, mode, executable)
                if operator == "=":
                    mode &= ~((who or 0o6777) | (reach & 0o1000))
                mode = mode & ~bits if operator == "-" else mode | bits
        return mode

    return change


def _bits(permissions: str, who: int, mode: int, executable: bool) -> tuple[int, int]:
    """(the bits that the permissions stand for, those that they could have set)."""
    # Set-id and sticky bits are nothing that others could have.
    special = not who or who & ~0o007
    reach = who or 0o6777
    bits = 0
    for char in permissions:
        if char in _BITS:
            bits |= _BITS[char]
        elif char == "X":
            bits |= 0o111 if executable else 0
        elif char == "s":
            bits |= 0o6000
        elif char == "t":
            if special:
                bits |= 0o1000
                reach |= 0o1000
        else:
            bits |= 0o111 * ((mode >> _SHIFTS[char]) & 7)
    return bits & reach, reach
