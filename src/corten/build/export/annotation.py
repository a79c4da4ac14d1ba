"""Annotations of what is exported: `--annotation [TYPE[PLATFORM],…:]KEY=VALUE`, and the attributes
`annotation-TYPE[PLATFORM].KEY=VALUE` of an output (buildx's and BuildKit's notations)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import msgspec

from corten.errors import InvalidArgument
from corten.oci.platform import Platform

MANIFEST, MANIFEST_DESCRIPTOR = "manifest", "manifest-descriptor"
INDEX, INDEX_DESCRIPTOR = "index", "index-descriptor"
_TYPES = (MANIFEST, MANIFEST_DESCRIPTOR, INDEX, INDEX_DESCRIPTOR)

_PLACE = re.compile(r"([a-z-]*)(?:\[([A-Za-z0-9_/.-]+)\])?")
_ATTRIBUTE = re.compile(r"annotation(?:-([a-z-]+))?(?:\[([A-Za-z0-9_/.-]+)\])?\.(\S+)")


class Annotation(msgspec.Struct, frozen=True):
    """`where` is one of manifest, manifest-descriptor (the entry that points to it), index and
    index-descriptor; `platform` None: of all."""

    key: str
    value: str
    where: str = MANIFEST
    platform: Platform | None = None


def parse_annotation(text: str) -> list[Annotation]:
    """One `--annotation`; several types share a key. InvalidArgument."""
    left, equals, value = text.partition("=")
    if not equals:
        raise InvalidArgument(f"invalid annotation {text!r}: expected key=value")
    places, colon, key = left.partition(":")
    if not colon:
        return [_annotation(left, value, "", "", text)]
    found = []
    for place in places.split(","):
        match = _PLACE.fullmatch(place)
        if match is None:
            raise InvalidArgument(
                f"invalid annotation type {place!r} in {text!r}: expected a type, and perhaps a platform in "
                "square brackets"
            )
        found.append(_annotation(key, value, match[1], match[2] or "", text))
    return found


def is_annotation(attribute: str) -> bool:
    """Whether an output's attribute is one."""
    return attribute.startswith(("annotation-", "annotation[", "annotation."))


def parse_attribute(attribute: str, value: str) -> Annotation:
    """An output's attribute; InvalidArgument."""
    match = _ATTRIBUTE.fullmatch(attribute)
    if match is None:
        raise InvalidArgument(f"invalid annotation {attribute!r}: expected annotation-TYPE[PLATFORM].KEY")
    return _annotation(match[3], value, match[1] or "", match[2] or "", attribute)


def _annotation(key: str, value: str, where: str, platform: str, text: str) -> Annotation:
    if not key or key != key.strip():
        raise InvalidArgument(f"invalid annotation {text!r}: the key is empty, or has blanks around it")
    if where and where not in _TYPES:
        raise InvalidArgument(f"unknown annotation type {where!r} in {text!r}: expected {', '.join(_TYPES)}")
    chosen = Platform.parse(platform) if platform else None
    return Annotation(key, value, where or MANIFEST, chosen)


def select(
    annotations: Iterable[Annotation], where: str, platform: Platform | None = None
) -> dict[str, str] | None:
    """The annotations of one place, by key in order; None when there are none. What is said of a platform
    comes before what is said of all."""
    general: dict[str, str] = {}
    special: dict[str, str] = {}
    for item in annotations:
        if item.where != where:
            continue
        if item.platform is None or where in (INDEX, INDEX_DESCRIPTOR):
            general[item.key] = item.value
        elif platform is not None and item.platform.normalized() == platform.normalized():
            special[item.key] = item.value
    return merged(general, special)


def merged(*parts: Mapping[str, str] | None) -> dict[str, str] | None:
    """Several sets in one, sorted by key; the last value of a key counts. None for nothing at all."""
    result: dict[str, str] = {}
    for part in parts:
        result.update(part or {})
    return dict(sorted(result.items())) or None
