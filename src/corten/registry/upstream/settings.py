"""What is configured of upstreams and of the cache.

::

    [upstreams."docker.io"]
    username = "robot"
    password-file = "/etc/corten/hub-password"

    [upstreams.quay]
    url = "https://quay.io"
    prefix = "mirror/quay"

    [cache]
    max-bytes = 100_000_000_000
    unused-days = 30
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

import msgspec

from corten.errors import InvalidArgument
from corten.registry.names import is_repository

HUB = "docker.io"
HUB_HOSTS = ("registry-1.docker.io", "index.docker.io")


class Upstream(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """One `[upstreams.NAME]`."""

    url: str = ""
    """"": https:// and the section's name; Docker Hub's for docker.io."""
    prefix: str | None = None
    """Where its repositories lie in this registry; "": everywhere. None: below the section's name."""
    username: str = ""
    password_file: str = ""
    token_file: str = ""
    """A bearer token that is sent as it is, instead of a name and a password."""
    ca_file: str = ""
    """Certificates (PEM) that are trusted besides the system's."""
    insecure: bool = False
    """Accept a URL without TLS that is not on this machine."""
    library: bool | None = None
    """Whether `NAME` is asked for as `library/NAME`. None: at Docker Hub."""
    tag_ttl_seconds: float = 300
    """How long a tag is not checked again."""
    blobs_at_once: int = 16
    """Downloads that one process has under way; more wait for their turn."""


class Cache(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """What is kept of all upstreams together. What was pushed does not count, and stays."""

    max_bytes: int = 0
    """0: no limit but the disk."""
    unused_days: float = 0
    """Copies that nobody has asked for in so many days go; 0: none do."""


def url_of(name: str, upstream: Upstream) -> str:
    """The URL before `/v2/`."""
    if upstream.url:
        return upstream.url.rstrip("/")
    return f"https://{HUB_HOSTS[0] if name == HUB else name}"


def prefix_of(name: str, upstream: Upstream) -> str:
    """Where its repositories lie here; "" for everywhere."""
    return name if upstream.prefix is None else upstream.prefix.strip("/")


def is_hub(url: str) -> bool:
    """Whether a URL is Docker Hub's."""
    return (urlsplit(url).hostname or "") in HUB_HOSTS


def namespace_of(name: str, upstream: Upstream) -> str:
    """What containerd calls it in `?ns=`."""
    if name:
        return name
    url = url_of(name, upstream)
    return HUB if is_hub(url) else urlsplit(url).netloc


def check(upstreams: Mapping[str, Upstream], cache: Cache) -> None:
    """InvalidArgument for what no cache can be run with."""
    taken: dict[str, str] = {}
    for name, upstream in upstreams.items():
        _check(name, upstream)
        prefix = prefix_of(name, upstream)
        if prefix in taken:
            raise InvalidArgument(
                f"the upstreams {taken[prefix]!r} and {name!r} have the same prefix {prefix!r}: give one"
                " of them another"
            )
        taken[prefix] = name
    if cache.max_bytes < 0 or cache.unused_days < 0:
        raise InvalidArgument("invalid cache: max-bytes and unused-days must not be negative")


def _check(name: str, upstream: Upstream) -> None:
    where = f"upstream {name!r}"
    url = url_of(name, upstream)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InvalidArgument(f"{where}: invalid URL {url[:200]!r}: {error}") from error
    plain = parts.scheme == "http"
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or port == 0:
        raise InvalidArgument(f"{where}: invalid URL {url[:200]!r}: expected https://HOST[:PORT][/PATH]")
    if parts.username is not None or parts.password is not None:
        raise InvalidArgument(f"{where}: its URL has a password in it: use username and password-file")
    if plain and not upstream.insecure and not _is_loopback(parts.hostname):
        raise InvalidArgument(
            f"{where}: {url} would be asked without TLS: use https, or say insecure = true to accept that"
        )
    prefix = prefix_of(name, upstream)
    if prefix and not is_repository(prefix):
        raise InvalidArgument(
            f"{where}: its repositories cannot lie below {prefix!r}, which is no repository's name: give"
            " a prefix"
        )
    if bool(upstream.username) != bool(upstream.password_file):
        raise InvalidArgument(f"{where}: username and password-file are given together, or not at all")
    if upstream.username and upstream.token_file:
        raise InvalidArgument(f"{where}: it has a password and a token: give one of them")
    if upstream.tag_ttl_seconds < 0 or upstream.blobs_at_once < 1:
        raise InvalidArgument(f"{where}: tag-ttl-seconds is at least 0, and blobs-at-once at least 1")


def listens_at(url: str, addresses: Collection[tuple[str, int]]) -> bool:
    """Whether who listens at `addresses` is who answers at `url`, as far as that can be seen from them.

    >>> listens_at("http://localhost:5000", [("127.0.0.1", 5000)])
    True
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    names = {"127.0.0.1" if host == "localhost" else host}
    if _is_loopback(host):
        names |= {"0.0.0.0", "::"}
    return any(port == own and ("127.0.0.1" if at == "localhost" else at) in names for at, own in addresses)


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
