"""The keys that detach a client, as text: "ctrl-p,ctrl-q"."""

from __future__ import annotations

from corten.errors import InvalidArgument

DEFAULT = b"\x10\x11"


def parse_detach_keys(text: str | None) -> bytes:
    """The bytes that a terminal sends for `text`; None: Docker's. InvalidArgument for an unknown key."""
    if text is None:
        return DEFAULT
    result = bytearray()
    for key in text.split(",") if text else ():
        if len(key) == 1:
            result += key.encode()
        elif key == "DEL":
            result.append(127)
        elif (
            key.startswith("ctrl-")
            and len(key) == 6
            and ("a" <= key[5].lower() <= "z" or key[5] in "@[\\]^_")
        ):
            result.append(ord(key[5].upper()) & 31)
        else:
            raise InvalidArgument(f"Invalid detach keys ({text}): Unknown character: '{key}'")
    return bytes(result)
