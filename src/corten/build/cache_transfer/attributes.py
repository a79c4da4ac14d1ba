"""What several types of caches have among their attributes: addresses and times, checked."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from corten.build.instructions.notation import parse_duration
from corten.errors import InvalidArgument
from corten.image.registry.address import is_url


def parse_url(what: str, key: str, text: str) -> str:
    """An http(s) URL without a slash at its end. InvalidArgument, which never repeats it: it may have a
    password."""
    if not is_url(text) or urlsplit(text).query:
        raise InvalidArgument(f"{what}: {key} is no URL: expected http(s)://HOST[:PORT][/PATH]")
    if urlsplit(text).username is not None:
        raise InvalidArgument(f"{what}: {key} must not have a password in it")
    return text.rstrip("/")


def parse_seconds(what: str, given: Mapping[str, str], key: str, default: str) -> float:
    """A duration as Go writes it, in seconds. InvalidArgument."""
    text = given.get(key, default)
    try:
        return parse_duration(text) / 1e9
    except ValueError:
        raise InvalidArgument(f"{what}: {key} is a time like {default}, not {text!r}") from None
