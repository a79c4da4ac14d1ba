"""Ed25519 keys for tokens."""

from __future__ import annotations

import base64
import hashlib
import time
from functools import lru_cache
from typing import TYPE_CHECKING

from corten.registry.accounts.records import SigningKey

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def new_key(delay: float = 0) -> SigningKey:
    """A key that signs in `delay` seconds."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    digest = hashlib.sha256(key.public_key().public_bytes_raw()).digest()
    identity = base64.urlsafe_b64encode(digest[:15]).decode()
    return SigningKey(identity, key.private_bytes_raw(), int((time.time() + delay) * 1000))


@lru_cache(maxsize=16)
def opened(private: bytes) -> Ed25519PrivateKey:
    """The key of 32 bytes."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(private)
