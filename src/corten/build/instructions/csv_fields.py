"""The fields of a value such as that of `--mount`: separated by commas, quoted by double quotes (RFC 4180,
one record)."""

from __future__ import annotations

import re

_QUOTED = re.compile(r'"((?:[^"]++|"")*+)"')


def csv_fields(text: str) -> list[str]:
    """Raises ValueError, also where there is nothing."""
    text = text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text
    if not text:
        raise ValueError("the value is empty")
    fields: list[str] = []
    position = 0
    while True:
        if text.startswith('"', position):
            match = _QUOTED.match(text, position)
            if match is None:
                raise ValueError("a double quote has no other that ends it")
            fields.append(match[1].replace('""', '"'))
            position = match.end()
            if position < len(text) and text[position] != ",":
                raise ValueError("a double quote must end its field, or be doubled")
        else:
            end = text.find(",", position)
            field = text[position:] if end < 0 else text[position:end]
            if '"' in field:
                raise ValueError("a double quote in the middle of a field")
            fields.append(field)
            position += len(field)
        if position >= len(text):
            return fields
        position += 1
