"""WWW-Authenticate: what a registry asks for (RFC 9110, section 11; distribution-spec's token flow)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_SCHEME = re.compile(rf"[\s,]*({_TOKEN})(?=\s|,|$)")
_PARAMETER = re.compile(rf'[\s,]*({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))', re.DOTALL)
_TOKEN68 = re.compile(r"\s+[A-Za-z0-9._~+/-]+=*(?=\s*(?:,|$))")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_MAX_HEADER = 16 << 10


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way in. `scheme` and the names of `parameters` are in lower case."""

    scheme: str
    parameters: dict[str, str] = field(default_factory=dict)


def parse_challenges(headers: Iterable[str]) -> list[Challenge]:
    """All challenges of all header fields, in order. What is malformed ends its field; nothing is raised."""
    result: list[Challenge] = []
    for header in headers:
        result += _parse(header[:_MAX_HEADER])
    return result


def _parse(header: str) -> list[Challenge]:
    result: list[Challenge] = []
    position = 0
    while (scheme := _SCHEME.match(header, position)) is not None:
        position = scheme.end()
        parameters: dict[str, str] = {}
        if (opaque := _TOKEN68.match(header, position)) is not None:
            position = opaque.end()  # Negotiate's and NTLM's: no parameters
        while (found := _PARAMETER.match(header, position)) is not None:
            quoted, plain = found[2], found[3]
            value = _ESCAPE.sub(r"\1", quoted) if quoted is not None else plain
            parameters.setdefault(found[1].lower(), value)
            position = found.end()
        result.append(Challenge(scheme[1].lower(), parameters))
    return result
