"""Access tokens: JWTs by EdDSA, made and believed here (distribution, "Token Authentication Implementation";
RFC 7519, RFC 8037, RFC 8725).

A token names its account and the account's stamp, so a change of the password or of the account ends it; what
it says is an upper bound, and what the account may do now decides.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import msgspec

from corten.registry.access import Action
from corten.registry.accounts.book import Book
from corten.registry.accounts.permissions import WORDS
from corten.registry.accounts.records import Account
from corten.registry.accounts.scopes import Asked, words_of
from corten.registry.accounts.settings import Tokens
from corten.registry.accounts.signing import opened
from corten.registry.errors import Code, RegistryError

ALGORITHM = "EdDSA"
MAX_TOKEN = 7000
"""A token has to fit into a header line, which the server takes up to 8,190 bytes of."""
SKEW_SECONDS = 10
"""How far the clocks of replicas may be apart."""
REMEMBERED = 10_000
_REQUIRED = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "access"]


class BadToken(Exception):
    """Why a token is not believed, as half a sentence."""


class Claims(msgspec.Struct, frozen=True):
    """What a token says. `account` "" is anonymous; `expires` in seconds since 1970."""

    account: str
    stamp: str
    repositories: Mapping[str, frozenset[Action]]
    catalog: bool
    expires: int
    key: str


class Issued(msgspec.Struct, frozen=True):
    """A new token, and what is told of it."""

    text: str
    issued: int
    seconds: int


class AccessTokens:
    """Makes tokens and verifies them; those that were found right are remembered until their end."""

    def __init__(self, settings: Tokens) -> None:
        self._settings = settings
        self._remembered: OrderedDict[bytes, Claims] = OrderedDict()

    def issue(self, book: Book, account: Account | None, granted: Asked) -> Issued | None:
        """A token for `account` (None: anonymous); None when it would be too large. UNAVAILABLE."""
        import jwt

        key = book.signing_key()
        if key is None:
            raise RegistryError(Code.UNAVAILABLE, "there is no key yet to sign tokens with: try again")
        now, seconds = int(time.time()), self._settings.lifetime_seconds
        access: list[dict[str, Any]] = [
            {"type": "repository", "name": name, "actions": words_of(actions)}
            for name, actions in granted.repositories.items()
        ]
        if granted.catalog:
            access.append({"type": "registry", "name": "catalog", "actions": ["*"]})
        claims = {
            "iss": self._settings.service,
            "sub": account.name if account is not None else "",
            "aud": self._settings.service,
            "exp": now + seconds,
            "nbf": now,
            "iat": now,
            "jti": secrets.token_urlsafe(16),
            "access": access,
            "stamp": account.stamp if account is not None else "",
        }
        text = jwt.encode(claims, opened(key.private), ALGORITHM, {"kid": key.id})
        return Issued(text, now, seconds) if len(text) <= MAX_TOKEN else None

    def verify(self, book: Book, text: str) -> Claims:
        """What the token says, if it is one of ours and of now; BadToken."""
        if len(text) > MAX_TOKEN:
            raise BadToken("it is too large")
        digest = hashlib.sha256(text.encode(errors="replace")).digest()
        claims = self._remembered.get(digest)
        if claims is None:
            claims = self._decode(book, text)
            self._remembered[digest] = claims
            while len(self._remembered) > REMEMBERED:
                self._remembered.popitem(last=False)
        if claims.expires <= time.time():
            self._remembered.pop(digest, None)
            raise BadToken("it has expired")
        if claims.key not in book.keys:
            self._remembered.pop(digest, None)
            raise BadToken("its key is not in use any more")
        if claims.account:
            account = book.account(claims.account)
            if account is None or account.stamp != claims.stamp:
                raise BadToken("its account is gone, disabled or has another password")
        return claims

    def _decode(self, book: Book, text: str) -> Claims:
        import jwt

        try:
            identity = jwt.get_unverified_header(text).get("kid")
            key = book.keys.get(identity) if isinstance(identity, str) else None
            if key is None:
                raise BadToken("its key is none of this registry")
            # The algorithm is ours to choose, whatever the token says (RFC 8725, section 3.1).
            found = jwt.decode(
                text,
                opened(key.private).public_key(),
                [ALGORITHM],
                {"require": _REQUIRED},
                audience=self._settings.service,
                issuer=self._settings.service,
                leeway=SKEW_SECONDS,
            )
            return _claims(found, key.id)
        except jwt.PyJWTError as error:
            raise BadToken(str(error)[:200]) from error
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise BadToken("it cannot be read") from error


def _claims(found: Mapping[str, Any], key: str) -> Claims:
    repositories: dict[str, frozenset[Action]] = {}
    catalog = False
    for entry in found["access"]:
        if entry["type"] == "repository":
            repositories[entry["name"]] = frozenset(WORDS[word] for word in entry["actions"])
        elif entry["type"] == "registry" and entry["name"] == "catalog":
            catalog = True
    return Claims(
        str(found["sub"]), str(found.get("stamp", "")), repositories, catalog, int(found["exp"]), key
    )
