"""Apache's htpasswd files: `name:hash` in each line. bcrypt is taken (`htpasswd -B`), and nothing weaker."""

from __future__ import annotations

import re

from corten.errors import InvalidArgument
from corten.registry.accounts.names import check_user

_BCRYPT = re.compile(r"\$2[aby]\$(?:0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}")
_FORMATS = (
    ("$apr1$", "MD5 (apr1)"),
    ("{SHA}", "SHA-1"),
    ("{SSHA}", "SHA-1 (salted)"),
    ("$1$", "MD5"),
    ("$5$", "SHA-256"),
    ("$6$", "SHA-512"),
    ("$y$", "yescrypt"),
    ("$2", "bcrypt, but malformed"),
)
_COST = 16
"""2^16 rounds take some seconds: more would keep the registry busy with one sign-in."""


def parse(text: str, source: str) -> dict[str, str]:
    """Hashes by user name. InvalidArgument names the first line that cannot be taken, and why."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        where = f"{source}, line {number}"
        name, colon, stored = line.partition(":")
        if not colon:
            raise InvalidArgument(f"{where}: expected NAME:HASH, as htpasswd -B writes it")
        try:
            check_user(name)
        except InvalidArgument as error:
            raise InvalidArgument(f"{where}: {error.message}") from error
        if name in found:
            raise InvalidArgument(f"{where}: {name} is there twice")
        if not _BCRYPT.fullmatch(stored):
            raise InvalidArgument(
                f"{where}: the hash of {name} is {_format(stored)}, and only bcrypt is taken:"
                f" set the password anew with htpasswd -B, or with corten registry user add {name}"
            )
        if int(stored[4:6]) > _COST:
            raise InvalidArgument(f"{where}: the hash of {name} has a cost of {stored[4:6]}: {_COST} at most")
        found[name] = stored
    return found


def _format(stored: str) -> str:
    for prefix, name in _FORMATS:
        if stored.startswith(prefix):
            return name
    return "DES (crypt)" if len(stored) == 13 else "of an unknown format, or a password in clear"
