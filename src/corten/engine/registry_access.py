"""Who a client of the API is to a registry, and how the registry is to be reached."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

import msgspec

from corten.api.message import convert
from corten.api.system import AuthConfig
from corten.errors import InvalidArgument
from corten.image.registry.credentials import Basic, Credential, IdentityToken, RegistryToken
from corten.oci.reference import DEFAULT_DOMAIN

_DOCKER_HUB = frozenset(
    {"", "docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"}
)


@dataclass(frozen=True, slots=True)
class Access:
    """`auth` is the value of X-Registry-Auth as it came; `insecure` is --tls-verify=false."""

    auth: str = ""
    insecure: bool = False

    def credential(self, domain: str) -> Credential | None:
        """Who the client is to `domain`; None for nobody. InvalidArgument when the header is broken."""
        return _credential_in_header(self.auth, domain) if self.auth else None


ANYBODY = Access()


def domain_of(server: str) -> str:
    """A registry's domain as references have it: `https://index.docker.io/v1/` is `docker.io`."""
    name = server.strip()
    for scheme in ("https://", "http://"):
        name = name.removeprefix(scheme)
    name = name.partition("/")[0]
    return DEFAULT_DOMAIN if name in _DOCKER_HUB else name


def credential_of(config: AuthConfig) -> Credential | None:
    """What an AuthConfig says, the strongest first: a token before a password."""
    if config.registrytoken:
        return RegistryToken(config.registrytoken)
    username, password = config.username, config.password
    if config.auth and not username:
        username, _, password = _decode(config.auth, "auth").decode("utf-8", "replace").partition(":")
        password = password.rstrip("\0")
    if config.identitytoken:
        return IdentityToken(config.identitytoken, username)
    return Basic(username, password) if username else None


def _credential_in_header(header: str, domain: str) -> Credential | None:
    try:
        value = msgspec.json.decode(_decode(header, "X-Registry-Auth") or b"{}")
    except msgspec.DecodeError as error:
        raise InvalidArgument(f"the header X-Registry-Auth holds no JSON: {error}") from error
    if not isinstance(value, dict):
        raise InvalidArgument("the header X-Registry-Auth holds no JSON object")
    # Docker's form is one AuthConfig; podman's and the builders' is one for each registry, by its name.
    table = value.get("auths", value)
    if isinstance(table, dict) and table and all(isinstance(item, dict) for item in table.values()):
        for name, item in table.items():
            if domain_of(name) == domain:
                return credential_of(convert(item, AuthConfig))
        return None
    return credential_of(convert(value, AuthConfig))


def _decode(text: str, what: str) -> bytes:
    """base64, of either alphabet, padded or not."""
    text = text.strip().translate(str.maketrans("+/", "-_"))
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidArgument(f"{what} is not base64: {error}") from error
