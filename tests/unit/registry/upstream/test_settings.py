from __future__ import annotations

from typing import Any

import pytest

from corten.errors import InvalidArgument
from corten.registry.config import convert
from corten.registry.upstream.settings import listens_at, namespace_of, url_of

GOOD: dict[str, Any] = {
    "docker.io": {},
    "quay": {"url": "https://quay.io/", "prefix": "mirror/quay"},
    "local": {"url": "http://127.0.0.1:5000"},
    "lab": {"url": "http://registry.lab", "insecure": True},
    "": {"url": "https://registry.example:444/path", "username": "u", "password-file": "/p"},
}


def test_urls_and_namespaces() -> None:
    found = convert({"upstreams": GOOD}, "test").upstreams
    assert [url_of(name, upstream) for name, upstream in found.items()] == [
        "https://registry-1.docker.io",
        "https://quay.io",
        "http://127.0.0.1:5000",
        "http://registry.lab",
        "https://registry.example:444/path",
    ]
    assert namespace_of("", found[""]) == "registry.example:444"


@pytest.mark.parametrize(
    ("upstreams", "words"),
    [
        ({"a": {"url": "ftp://a"}}, "expected https://HOST"),
        ({"a": {"url": "https://"}}, "expected https://HOST"),
        ({"a": {"url": "https://a:99999"}}, "invalid URL"),
        ({"a": {"url": "https://a/?x=1"}}, "expected https://HOST"),
        ({"": {}}, "expected https://HOST"),
        ({"a": {"url": "https://user:secret@a"}}, "password in it"),
        ({"a": {"url": "http://a.example"}}, "without TLS"),
        ({"a": {"url": "http://169.254.169.254"}}, "without TLS"),
        ({"localhost:5000": {"url": "http://localhost:5000"}}, "give a prefix"),
        ({"a": {"prefix": "x"}, "b": {"prefix": "x/"}}, "the same prefix 'x'"),
        ({"a": {"username": "u"}}, "together"),
        ({"a": {"username": "u", "password-file": "/p", "token-file": "/t"}}, "one of them"),
        ({"a": {"tag-ttl-seconds": -1}}, "tag-ttl-seconds"),
        ({"a": {"blobs-at-once": 0}}, "blobs-at-once"),
        ({"a": {"ttl": 1}}, "ttl"),
    ],
)
def test_mistakes(upstreams: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidArgument, match=words) as caught:
        convert({"upstreams": upstreams}, "test")
    assert "secret" not in caught.value.message


def test_the_cache() -> None:
    assert convert({"cache": {"max-bytes": 5}}, "test").cache.max_bytes == 5
    with pytest.raises(InvalidArgument, match="max-bytes"):
        convert({"cache": {"max-bytes": -1}}, "test")


@pytest.mark.parametrize(
    ("url", "address", "is_own"),
    [
        ("http://127.0.0.1:5000", ("127.0.0.1", 5000), True),
        ("http://localhost:5000/x", ("127.0.0.1", 5000), True),
        ("http://[::1]:5000", ("::1", 5000), True),
        ("http://127.0.0.1:5000", ("0.0.0.0", 5000), True),
        ("https://registry.example", ("registry.example", 443), True),
        ("http://127.0.0.1:5001", ("127.0.0.1", 5000), False),
        ("http://127.0.0.2:5000", ("127.0.0.1", 5000), False),
        ("https://registry.example:5000", ("0.0.0.0", 5000), False),
    ],
)
def test_a_registry_that_asks_itself(url: str, address: tuple[str, int], is_own: bool) -> None:
    assert listens_at(url, [address]) is is_own
