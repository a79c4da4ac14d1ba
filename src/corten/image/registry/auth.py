"""Basic and Bearer authentication against one server (distribution: docs/spec/auth/token.md, oauth.md)."""

from __future__ import annotations

import base64
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol
from urllib.parse import urlencode, urlsplit

import msgspec

from corten.errors import Denied, IntegrityError
from corten.image.registry.answer import explain
from corten.image.registry.challenge import Challenge
from corten.image.registry.credentials import Basic, Credential, IdentityToken, RegistryToken
from corten.image.registry.endpoint import Endpoint

CLIENT_ID = "corten"
_SHORTEST = 60  # seconds: what a token lasts at least, by the specification
_EARLY = 5  # seconds before its end that a token is not used any more


class Exchange(Protocol):
    """One HTTP request without credentials of its own: (status, body)."""

    async def __call__(
        self, method: str, url: str, *, headers: Mapping[str, str], form: Mapping[str, str] | None
    ) -> tuple[int, bytes]: ...


class _Token(msgspec.Struct):
    token: str | None = None
    access_token: str | None = None
    expires_in: float | None = None
    refresh_token: str | None = None


class Authorizer:
    """The Authorization headers for one endpoint. Tokens are kept per set of scopes until they run out."""

    def __init__(
        self, endpoint: Endpoint, credential: Callable[[], Awaitable[Credential | None]], exchange: Exchange
    ) -> None:
        self._endpoint = endpoint
        self._credential = credential
        self._exchange = exchange
        self._basic = ""
        self._tokens: dict[frozenset[str], tuple[str, float]] = {}
        self.identity_token = ""

    def header(self, scopes: Sequence[str]) -> str | None:
        """What to send right away: a token for (at least) these scopes, Basic once it was asked for."""
        if self._basic:
            return self._basic
        wanted = frozenset(scopes)
        now = time.monotonic()
        for known, (token, end) in list(self._tokens.items()):
            if end <= now:
                del self._tokens[known]
            elif wanted <= known:
                return f"Bearer {token}"
        return None

    def forget(self, header: str | None) -> None:
        """The server refused what it was sent."""
        if header == self._basic:
            self._basic = ""
        for scopes, (token, _) in list(self._tokens.items()):
            if header == f"Bearer {token}":
                del self._tokens[scopes]

    async def answer(
        self, challenges: Sequence[Challenge], scopes: Sequence[str], *, offline: bool = False
    ) -> str:
        """The header that answers a 401; `offline` asks for an identity token too. Denied."""
        for challenge in challenges:
            if challenge.scheme == "bearer" and challenge.parameters.get("realm"):
                return await self._bearer(challenge, scopes, offline)
        for challenge in challenges:
            if challenge.scheme == "basic":
                return await self._basic_header()
        offered = ", ".join(sorted({challenge.scheme for challenge in challenges})) or "nothing"
        raise Denied(
            f"{self._endpoint.host} wants a login, but offers no way that is supported (Basic, Bearer): "
            f"{offered[:200]}"
        )

    async def _basic_header(self) -> str:
        credential = await self._credential()
        if not isinstance(credential, Basic):
            raise Denied(
                f"{self._endpoint.host} wants a user name and password: log in first by "
                f"`corten login {self._endpoint.host}`"
            )
        self._basic = encode_basic(credential)
        return self._basic

    async def _bearer(self, challenge: Challenge, scopes: Sequence[str], offline: bool) -> str:
        realm = challenge.parameters["realm"]
        self._check_realm(realm)
        credential = await self._credential()
        if isinstance(credential, RegistryToken):
            return f"Bearer {credential.token}"
        asked = challenge.parameters.get("scope", "").split()
        wanted = list(dict.fromkeys((*scopes, *asked)))
        service = challenge.parameters.get("service", "")
        if isinstance(credential, IdentityToken):
            status, body = await self._refresh(realm, service, wanted, credential)
        else:
            status, body = await self._fetch(realm, service, wanted, credential, offline)
        if status != 200:
            raise explain(status, body, f"log in to {self._endpoint.host}", urlsplit(realm).netloc)
        answer = self._decode(body, realm)
        token = answer.token or answer.access_token or ""
        lifetime = max(answer.expires_in or 0, _SHORTEST) - _EARLY
        self._tokens[frozenset(wanted)] = (token, time.monotonic() + lifetime)
        self.identity_token = answer.refresh_token or self.identity_token
        return f"Bearer {token}"

    def _check_realm(self, realm: str) -> None:
        parts = urlsplit(realm)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Denied(f"{self._endpoint.host} names no usable token server: {realm[:200]!r}")
        if parts.scheme == "http" and not self._endpoint.insecure:
            raise Denied(
                f"{self._endpoint.host} names a token server without TLS, {realm[:200]}: credentials are not "
                "sent there (configure the registry as insecure to allow it)"
            )

    def _decode(self, body: bytes, realm: str) -> _Token:
        try:
            answer = msgspec.json.decode(body, type=_Token)
        except msgspec.MsgspecError as error:
            raise IntegrityError(f"the token server {realm[:200]} did not answer with a token") from error
        token = answer.token or answer.access_token
        if not token or not token.isascii() or not token.isprintable():
            raise IntegrityError(f"the token server {realm[:200]} did not answer with a token")
        return answer

    async def _refresh(
        self, realm: str, service: str, scopes: Sequence[str], credential: IdentityToken
    ) -> tuple[int, bytes]:
        form = {
            "grant_type": "refresh_token",
            "service": service,
            "client_id": CLIENT_ID,
            "scope": " ".join(scopes),
            "refresh_token": credential.token,
        }
        return await self._exchange("POST", realm, headers={}, form=form)

    async def _fetch(
        self, realm: str, service: str, scopes: Sequence[str], credential: Basic | None, offline: bool
    ) -> tuple[int, bytes]:
        query = [("service", service)] if service else []
        query += [("scope", scope) for scope in scopes]
        headers = {}
        if credential is not None:
            query += [("account", credential.username)]
            headers["Authorization"] = encode_basic(credential)
        query += [("client_id", CLIENT_ID)]
        if offline:
            query += [("offline_token", "true")]
        separator = "&" if "?" in realm else "?"
        return await self._exchange("GET", realm + separator + urlencode(query), headers=headers, form=None)


def encode_basic(credential: Basic) -> str:
    """The Authorization header of a user name and password."""
    return "Basic " + base64.b64encode(f"{credential.username}:{credential.password}".encode()).decode()
