"""A password, from the terminal or from standard input; never from the command line, which everybody sees."""

from __future__ import annotations

import sys

from corten.errors import InvalidArgument
from corten.registry.accounts.passwords import MAX_SECRET


def ask_password(name: str, *, from_stdin: bool) -> str:
    """The password; asked for twice at a terminal. InvalidArgument."""
    if from_stdin:
        password = sys.stdin.read(4 * MAX_SECRET).rstrip("\r\n")
    elif not sys.stdin.isatty():
        raise InvalidArgument("there is no terminal to ask for the password: give it with --password-stdin")
    else:
        import getpass

        password = getpass.getpass(f"Password for {name}: ")
        if password != getpass.getpass("Again: "):
            raise InvalidArgument("the two passwords are not the same")
    if not password:
        raise InvalidArgument("the password is empty")
    if len(password.encode(errors="replace")) > MAX_SECRET:
        raise InvalidArgument(f"the password has more than {MAX_SECRET} bytes")
    if not password.isprintable():
        raise InvalidArgument("the password has characters that cannot be typed, such as a line break")
    return password
