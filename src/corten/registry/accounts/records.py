"""What the database holds about accounts. Frozen values; times are milliseconds since 1970."""

from __future__ import annotations

import enum

import msgspec

ANONYMOUS_NAME = "anonymous"
"""The account whose permissions everybody has, signed in or not."""
ROBOT_PREFIX = "robot$"


class Kind(enum.Enum):
    """What an account is for."""

    USER = "user"
    ROBOT = "robot"
    ANONYMOUS = "anonymous"


class Account(msgspec.Struct, frozen=True):
    """`secret` is a hash: argon2's or bcrypt's of a password, SHA-256 of a robot's token. `expires` 0: never.

    `stamp` is another one after each change of the secret: what was issued before is void.
    """

    name: str
    kind: Kind
    secret: str = ""
    stamp: str = ""
    disabled: bool = False
    created: int = 0
    expires: int = 0


class Permission(msgspec.Struct, frozen=True):
    """Actions (pull, push, delete, admin) in the repositories that `pattern` is for."""

    pattern: str
    actions: tuple[str, ...]


class SigningKey(msgspec.Struct, frozen=True):
    """An Ed25519 key; `private` is its 32 bytes. It signs from `active` until another one is active."""

    id: str
    private: bytes
    active: int


class RefreshToken(msgspec.Struct, frozen=True):
    """A sign-in that lasts (`docker login`). `hash` is SHA-256 of what the client keeps."""

    hash: str
    account: str
    client: str
    created: int
    used: int


class Known(msgspec.Struct, frozen=True):
    """Everything about accounts at one moment. `generation` is another one after each change."""

    generation: int
    accounts: tuple[Account, ...]
    permissions: dict[str, tuple[Permission, ...]]
    keys: tuple[SigningKey, ...]
