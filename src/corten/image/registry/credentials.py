"""Who we are to a registry: Docker's config.json, credential helpers, X-Registry-Auth. Standard library only:
the command line's client loads it too."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Basic:
    """User name and password."""

    username: str
    password: str


@dataclass(frozen=True, slots=True)
class IdentityToken:
    """An OAuth2 refresh token (`identitytoken` in config.json)."""

    token: str
    username: str = ""


@dataclass(frozen=True, slots=True)
class RegistryToken:
    """A bearer token to be sent as it is (`registrytoken`)."""

    token: str


Credential = Basic | IdentityToken | RegistryToken


def decode_registry_auth(header: str) -> tuple[Credential | None, str]:
    """X-Registry-Auth (base64url JSON): the credential and its serveraddress. InvalidArgument."""
    raise NotImplementedError


def encode_registry_auth(credential: Credential | None, server: str = "") -> str:
    """The value of X-Registry-Auth."""
    raise NotImplementedError


class Credentials:
    """Docker's config.json (DOCKER_CONFIG, ~/.docker; then $REGISTRY_AUTH_FILE, containers/auth.json)."""

    def __init__(self, path: Path | None = None) -> None:
        raise NotImplementedError

    def lookup(self, host: str) -> Credential | None:
        """For `Reference.domain` (`docker.io`, `localhost:5000`): credHelpers, credsStore, auths. May run a
        helper: call it in a thread."""
        raise NotImplementedError

    def store(self, host: str, credential: Credential) -> str:
        """Saves after a login, in the helper or in the file (0600, atomic); returns where."""
        raise NotImplementedError

    def erase(self, host: str) -> bool:
        """Forgets after a logout; False when nothing was known."""
        raise NotImplementedError
