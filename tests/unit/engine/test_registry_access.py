"""X-Registry-Auth in all its forms, and registries by all their names."""

from __future__ import annotations

import base64
import json

import pytest

from corten.engine.registry_access import Access, domain_of
from corten.errors import InvalidArgument
from corten.image.registry.credentials import Basic, IdentityToken, RegistryToken


def header(document: object, *, padded: bool = True, url: bool = True) -> str:
    encode = base64.urlsafe_b64encode if url else base64.b64encode
    text = encode(json.dumps(document).encode()).decode()
    return text if padded else text.rstrip("=")


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({}, None),
        ({"username": "u", "password": "p"}, Basic("u", "p")),
        ({"auth": base64.b64encode(b"u:p:q").decode()}, Basic("u", "p:q")),
        ({"username": "u", "identitytoken": "t"}, IdentityToken("t", "u")),
        ({"registrytoken": "t"}, RegistryToken("t")),
        ({"h:5000": {"username": "u", "password": "p"}}, Basic("u", "p")),
        ({"https://h:5000/v1/": {"username": "u", "password": "p"}}, Basic("u", "p")),
        ({"other": {"username": "u", "password": "p"}}, None),
        ({"auths": {"h:5000": {"auth": base64.b64encode(b"u:p").decode()}}}, Basic("u", "p")),
    ],
)
def test_forms(document: object, expected: object) -> None:
    assert Access(header(document)).credential("h:5000") == expected


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("url", [True, False])
def test_both_alphabets_padded_or_not(padded: bool, url: bool) -> None:
    text = header({"username": "ü~~~???", "password": "ÿÿ>>"}, padded=padded, url=url)
    assert Access(text).credential("h") == Basic("ü~~~???", "ÿÿ>>")


def test_nobody() -> None:
    assert Access().credential("h") is None


@pytest.mark.parametrize("text", ["?", "bm90IGpzb24=", "W10=", header({"username": 3})])
def test_broken(text: str) -> None:
    with pytest.raises(InvalidArgument):
        Access(text).credential("h")


@pytest.mark.parametrize(
    ("server", "domain"),
    [
        ("", "docker.io"),
        ("https://index.docker.io/v1/", "docker.io"),
        ("registry-1.docker.io", "docker.io"),
        ("http://localhost:5000/", "localhost:5000"),
        ("quay.io", "quay.io"),
    ],
)
def test_domain_of(server: str, domain: str) -> None:
    assert domain_of(server) == domain
