"""What is configured about tokens: `[tokens]`."""

from __future__ import annotations

import msgspec

from corten.errors import InvalidArgument


class Tokens(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """Docker's token flow."""

    service: str = "corten-registry"
    """What the registry calls itself in challenges and tokens. Tokens for another service are refused."""
    lifetime_seconds: int = 300
    key_days: int = 30
    """How long a key signs; then another one does, and the tokens of the old one come to their end."""
    refresh_days: int = 90
    """How long a sign-in (`docker login`) lasts that nobody uses."""


def check(settings: Tokens) -> None:
    """InvalidArgument for values that do not work."""
    if not 60 <= settings.lifetime_seconds <= 300:
        # distribution: never less than 60 seconds; and what was taken away is gone after five minutes.
        raise InvalidArgument("invalid tokens.lifetime-seconds: 60 to 300")
    if not 1 <= settings.key_days <= 3650 or not 1 <= settings.refresh_days <= 3650:
        raise InvalidArgument("invalid tokens.key-days or tokens.refresh-days: 1 to 3650")
    if not settings.service or not settings.service.isascii() or set(settings.service) & set('"\\\r\n'):
        raise InvalidArgument(
            f"invalid tokens.service {settings.service!r}: letters, digits, dots and dashes"
        )
