"""What the token of a workflow says: to which scopes (branches, mostly) it may read and write. It is the
service that verifies it."""

from __future__ import annotations

import base64
import binascii
import time

import msgspec

from corten.errors import Denied

_READ, _WRITE = 1, 2


class _Claims(msgspec.Struct):
    ac: str
    exp: float | None = None
    nbf: float | None = None


class Scope(msgspec.Struct, frozen=True, rename="pascal"):
    """One claim: a git reference, and bits of permissions."""

    scope: str
    permission: int

    @property
    def can_read(self) -> bool:
        return bool(self.permission & _READ)

    @property
    def can_write(self) -> bool:
        return bool(self.permission & _WRITE)


def scopes_of(token: str) -> tuple[Scope, ...]:
    """In the token's order. Denied for what is no such token, or has run out."""
    refused = "the token of type=gha is refused: "
    try:
        payload = token.split(".")[1]
        data = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
        claims = msgspec.json.decode(data, type=_Claims)
        scopes = msgspec.json.decode(claims.ac, type=tuple[Scope, ...])
    except (IndexError, binascii.Error, ValueError, msgspec.MsgspecError):
        # Neither the token nor what is in it is shown.
        raise Denied(f"{refused}it is no JWT with scopes (ac): take ACTIONS_RUNTIME_TOKEN") from None
    now = time.time()
    if claims.exp is not None and claims.exp < now:
        raise Denied(f"{refused}it has run out: it lasts as long as the workflow's job")
    if claims.nbf is not None and claims.nbf > now + 300:
        raise Denied(f"{refused}it is not valid yet: is this machine's clock right?")
    return scopes
