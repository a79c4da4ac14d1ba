"""What accounts need of other libraries: loaded when there are accounts, not before."""

from __future__ import annotations

from importlib.util import find_spec

from corten.errors import Unsupported
from corten.registry.accounts.passwords import hash_nobody


def require_libraries() -> None:
    """Unsupported when one is missing."""
    for name in ("argon2", "bcrypt", "cryptography", "jwt"):
        if find_spec(name) is None:
            raise Unsupported(f"accounts need {name}, which is not installed: pip install 'corten[registry]'")


def prepare() -> None:
    """Loads them, so that the first request does not wait for it. Takes 0.2 s; Unsupported."""
    require_libraries()
    import bcrypt  # noqa: F401
    import jwt  # noqa: F401

    hash_nobody()
