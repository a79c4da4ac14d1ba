"""The grammar of names, tags and digests (distribution-spec, "Pulling manifests").

Repositories: OCI's expression, at most 255 characters. Tags: 128 characters. Digests: sha256 and sha512.
"""

from __future__ import annotations

import re

from corten.oci.digest import Digest, is_digest
from corten.registry.errors import Code, RegistryError

_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
MAX_REPOSITORY = 255
ALGORITHMS = ("sha256", "sha512")


def is_repository(name: str) -> bool:
    """Whether `name` may name a repository."""
    return len(name) <= MAX_REPOSITORY and _REPOSITORY.fullmatch(name) is not None


def is_tag(text: str) -> bool:
    """Whether `text` may be a tag."""
    return _TAG.fullmatch(text) is not None


def is_supported_digest(text: str) -> bool:
    """Whether `text` is a digest that this registry can verify."""
    return is_digest(text) and text.startswith(("sha256:", "sha512:"))


def require_repository(name: str) -> str:
    """`name`, or NAME_INVALID."""
    if not is_repository(name):
        raise RegistryError(
            Code.NAME_INVALID,
            f"invalid repository name {name[:MAX_REPOSITORY]!r}: lower-case words, separated by slashes,"
            f" dots, dashes or underscores, {MAX_REPOSITORY} characters at most",
            {"name": name[:MAX_REPOSITORY]},
        )
    return name


def require_digest(text: str) -> Digest:
    """`text`, or DIGEST_INVALID."""
    if not is_supported_digest(text):
        raise RegistryError(
            Code.DIGEST_INVALID,
            f"invalid digest {text[:200]!r}: expected sha256:<64 hex digits> or sha512:<128>",
            {"digest": text[:200]},
        )
    return Digest(text)


def require_tag(text: str) -> str:
    """`text`, or TAG_INVALID."""
    if not is_tag(text):
        raise RegistryError(
            Code.TAG_INVALID,
            f"invalid tag {text[:128]!r}: letters, digits, '_', '.' and '-', 128 at most, none of '.-' first",
            {"tag": text[:128]},
        )
    return text
