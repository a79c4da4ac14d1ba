"""Range and Content-Range (RFC 9110, section 14; distribution-spec, "Pushing a blob in chunks")."""

from __future__ import annotations

import re

_RANGE = re.compile(
    r"bytes[ \t]*=[ \t]*(?:([0-9]{1,18})[ \t]*-[ \t]*([0-9]{1,18})?|-[ \t]*([0-9]{1,18}))[ \t]*"
)
_CONTENT_RANGE = re.compile(r"(?:bytes[ =])?([0-9]{1,18})-([0-9]{1,18})(?:/(?:[0-9]{1,18}|\*))?")


def requested(header: str, size: int) -> tuple[int, int] | str | None:
    """Which bytes a Range header wants of `size`: (start, end), end excluded; None: all of them, as the
    header is none that is understood (several ranges, another unit), which RFC 9110 lets a server
    ignore; "" when it cannot be satisfied.
    """
    match = _RANGE.fullmatch(header)
    if match is None:
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        length = min(int(suffix), size)
        return (size - length, size) if length else ""
    start = int(first)
    if last is not None and int(last) < start:
        # RFC 9110 calls this no range at all; the conformance suite of the specification wants it refused.
        return ""
    if start >= size:
        return ""
    return start, min(int(last) + 1, size) if last is not None else size


def sent(header: str) -> tuple[int, int] | None:
    """(start, end), end excluded, of a Content-Range of a chunk; None when it is malformed."""
    match = _CONTENT_RANGE.fullmatch(header.strip())
    if match is None or int(match[2]) < int(match[1]):
        return None
    return int(match[1]), int(match[2]) + 1
