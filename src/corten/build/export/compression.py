"""What `compression=`, `compression-level=` and `force-compression=` of an output or a cache say."""

from __future__ import annotations

from collections.abc import Mapping

from corten.errors import InvalidArgument
from corten.image.compression import HIGHEST_LEVEL, KINDS, PLAIN, Compression


def parse_compression(attributes: Mapping[str, str], *, default: Compression = PLAIN) -> Compression:
    """What the attributes of an output or a cache say; InvalidArgument."""
    kind = attributes.get("compression", "") or default.kind
    if kind not in KINDS:
        raise InvalidArgument(f"unknown compression {kind!r}: expected {', '.join(KINDS)}")
    level = attributes.get("compression-level", "")
    most = HIGHEST_LEVEL.get(kind, 0)
    if level and (not level.isdecimal() or len(level) > 2 or int(level) > max(most, 22)):
        raise InvalidArgument(f"invalid compression-level {level!r}: expected 0 to {most}")
    force = parse_bool(attributes, "force-compression", False)
    # As BuildKit: a level that this kind does not have is the highest that it has.
    return Compression(kind, min(int(level), most) if level else None, force)


def parse_bool(attributes: Mapping[str, str], key: str, default: bool) -> bool:
    """A value as Go's strconv.ParseBool takes it; a key without a value means true."""
    text = attributes.get(key)
    if text is None:
        return default
    if text in ("", "1", "t", "T", "true", "TRUE", "True"):
        return True
    if text in ("0", "f", "F", "false", "FALSE", "False"):
        return False
    raise InvalidArgument(f"invalid value {text!r} of {key}: it is either true or false")
