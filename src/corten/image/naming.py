"""Finding images: by reference, digest, ID or a prefix of one; and the filters of lists."""

from __future__ import annotations

import fnmatch
import re
import time
from collections.abc import Iterable

from corten.errors import Conflict, InvalidArgument, NotFound
from corten.image.model import Filters, Image
from corten.image.registrar import Registrar
from corten.image.tables import ImageRow
from corten.oci.digest import is_hex_id
from corten.oci.image_config import parse_time
from corten.oci.reference import Reference

_PREFIX = re.compile(r"(?:sha256:)?([0-9a-f]{1,64})")
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ns|us|µs|ms|s|m|h)")
_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
FILTERS = frozenset({"dangling", "label", "label!", "reference", "before", "since", "until"})


def find(registrar: Registrar, name: str) -> ImageRow:
    """The image that `name` means; see ImageStore.resolve."""
    tables = registrar.tables
    bare = name.removeprefix("sha256:")
    if is_hex_id(bare):
        row = tables.image(f"sha256:{bare}")
        if row is not None and not row.hidden:
            return row
        raise NotFound(f"No such image: {name}")
    reference = None
    try:
        reference = Reference.parse(name)
    except InvalidArgument:
        if _PREFIX.fullmatch(name) is None:
            raise
    if reference is not None:
        row = _by_reference(registrar, reference)
        if row is not None:
            return row
    match = _PREFIX.fullmatch(name)
    if match is not None:
        ids = tables.by_prefix(f"sha256:{match[1]}")
        if len(ids) > 1:
            raise Conflict(f"the image ID prefix {name!r} is ambiguous: give more of its digits")
        if ids and (row := tables.image(ids[0])) is not None:
            return row
    raise NotFound(f"No such image: {reference.familiar if reference is not None else name}")


def is_by_id(image: Image, name: str) -> bool:
    """Whether `name` meant this image by its ID (or a prefix), not by one of its names."""
    match = _PREFIX.fullmatch(name)
    if match is None or not image.id.startswith(f"sha256:{match[1]}"):
        return False
    try:
        return Reference.parse(name).familiar not in image.repo_tags
    except InvalidArgument:
        return True


def _by_reference(registrar: Registrar, reference: Reference) -> ImageRow | None:
    tables = registrar.tables
    if reference.digest is not None:
        known = tables.digest(reference.repository, reference.digest)
        if known is not None:
            return tables.image(known.image)
        for row in tables.tags():
            if row.repository == reference.repository and f'"{reference.digest}"'.encode() in row.target:
                return tables.image(row.image)
        return None
    assert reference.tag is not None
    tagged = tables.tag(reference.repository, reference.tag)
    return tables.image(tagged.image) if tagged is not None else None


def check_filters(filters: Filters, known: Iterable[str] = FILTERS) -> None:
    """InvalidArgument for a filter that does not exist."""
    for key in filters:
        if key not in known:
            raise InvalidArgument(f"invalid filter {key!r}")


def is_dangling(image: Image) -> bool:
    """Whether no name points to it."""
    return not image.repo_tags and not image.repo_digests


def select(registrar: Registrar, images: list[Image], filters: Filters) -> list[Image]:
    """The images that pass all filters."""
    check_filters(filters)
    for value in filters.get("dangling", ()):
        wanted = parse_bool("dangling", value)
        images = [image for image in images if is_dangling(image) == wanted]
    for key, keep in (("label", True), ("label!", False)):
        for value in filters.get(key, ()):
            images = [image for image in images if _has_label(image, value) == keep]
    for value in filters.get("before", ()):
        limit = registrar.image(find(registrar, value))
        images = [image for image in images if image.created < limit.created]
    for value in filters.get("since", ()):
        limit = registrar.image(find(registrar, value))
        images = [image for image in images if image.created > limit.created]
    for value in filters.get("until", ()):
        moment = parse_moment(value)
        images = [image for image in images if image.created < moment]
    if patterns := list(filters.get("reference", ())):
        images = [narrowed for image in images if (narrowed := _matching(image, patterns)) is not None]
    return images


def parse_bool(key: str, value: str) -> bool:
    """Go's ParseBool, as Docker's filters use it."""
    if value.lower() in ("1", "t", "true"):
        return True
    if value.lower() in ("0", "f", "false"):
        return False
    raise InvalidArgument(f"invalid filter '{key}={value}': expected true or false")


def parse_moment(value: str) -> int:
    """Nanoseconds since 1970 of a Unix time, an RFC 3339 time, or a duration before now (`10m`, `1h30m`)."""
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):
        return int(float(value) * 1e9)
    parts = _DURATION.findall(value)
    if parts and "".join(number + unit for number, unit in parts) == value:
        return time.time_ns() - sum(int(float(number) * _UNITS[unit]) for number, unit in parts)
    moment = parse_time(value)
    if moment == 0:
        raise InvalidArgument(f"invalid time {value!r}: expected a timestamp or a duration like 10m")
    return moment


def _has_label(image: Image, condition: str) -> bool:
    labels = image.config.run.labels or {}
    key, equals, value = condition.partition("=")
    return key in labels and (not equals or labels[key] == value)


def _matching(image: Image, patterns: list[str]) -> Image | None:
    """The image with those of its names that a pattern matches (Docker's path.Match on the familiar form)."""
    from dataclasses import replace

    tags = tuple(
        name for name in image.repo_tags if any(_matches(name, ":", pattern) for pattern in patterns)
    )
    digests = tuple(
        name for name in image.repo_digests if any(_matches(name, "@", pattern) for pattern in patterns)
    )
    return replace(image, repo_tags=tags, repo_digests=digests) if tags or digests else None


def _matches(name: str, separator: str, pattern: str) -> bool:
    repository = name.rpartition("@")[0] if separator == "@" else name.rpartition(":")[0]
    return _glob(name, pattern) or _glob(repository, pattern)


def _glob(name: str, pattern: str) -> bool:
    """A `*` does not match a slash."""
    names, patterns = name.split("/"), pattern.split("/")
    return len(names) == len(patterns) and all(
        fnmatch.fnmatchcase(part, wanted) for part, wanted in zip(names, patterns, strict=True)
    )
