"""Who the caller is to registries: Docker's config.json and credential helpers, for X-Registry-Auth.

The engine may run as somebody else, or elsewhere: the caller's credentials are read here and sent along.
"""

from __future__ import annotations

from corten.image.registry.credentials import (
    Basic,
    Credential,
    Credentials,
    IdentityToken,
    encode_registry_auth,
)

HEADER = "X-Registry-Auth"
HUB = "docker.io"
_HUB_NAMES = ("", HUB, "index.docker.io", "registry-1.docker.io")


def split(name: str) -> tuple[str, str]:
    """`localhost:5000/app:1` in repository and tag (or digest); the latter is empty when there is none."""
    repository, at, digest = name.partition("@")
    if at:
        head, colon, tag = repository.rpartition(":")
        return (head if colon and "/" not in tag else repository), digest
    head, colon, tag = name.rpartition(":")
    return (head, tag) if colon and "/" not in tag else (name, "")


def domain_of(name: str) -> str:
    """The registry of an image's name (`docker.io` when it names none)."""
    first, slash, _ = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return HUB if first in _HUB_NAMES else first
    return HUB


def server_of(text: str) -> str:
    """The registry that somebody logs in to: `https://index.docker.io/v1/` is `docker.io`."""
    name = text.strip().removeprefix("https://").removeprefix("http://").partition("/")[0]
    return HUB if name in _HUB_NAMES else name


def header_for(name: str) -> str:
    """The value of X-Registry-Auth for an image's name. May run a credential helper."""
    domain = domain_of(name)
    return encode_registry_auth(Credentials().lookup(domain), domain)


def lookup(server: str) -> Credential | None:
    """What is known of a registry."""
    return Credentials().lookup(server_of(server))


def account_of(credential: Credential) -> dict[str, str]:
    """A credential as the body of POST /auth has it."""
    if isinstance(credential, Basic):
        return {"username": credential.username, "password": credential.password}
    if isinstance(credential, IdentityToken):
        return {"username": credential.username, "identitytoken": credential.token}
    return {"registrytoken": credential.token}


def store(server: str, username: str, password: str, token: str = "") -> str:
    """Keeps credentials after a login; returns where. A token of the registry's replaces the password."""
    credential: Credential = IdentityToken(token, username) if token else Basic(username, password)
    return Credentials().store(server_of(server), credential)


def erase(server: str) -> bool:
    """Forgets credentials; False when there were none."""
    return Credentials().erase(server_of(server))
