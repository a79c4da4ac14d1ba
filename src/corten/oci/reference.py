"""Image references: Docker's grammar and defaults (distribution/reference; `normalize.go`).

reference = name [ ":" tag ] [ "@" digest ]
name      = [ domain "/" ] path
"""

from __future__ import annotations

import dataclasses
import re

from corten.errors import InvalidArgument
from corten.oci.digest import Digest, is_digest, is_hex_id

DEFAULT_DOMAIN = "docker.io"
DEFAULT_TAG = "latest"
_LEGACY_DOMAIN = "index.docker.io"
_OFFICIAL = "library/"
_MAX_NAME = 255

_COMPONENT = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = rf"(?:{_COMPONENT}(?:\.{_COMPONENT})*|\[(?:[a-fA-F0-9:]+)\])(?::[0-9]+)?"
_PATH_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|[-]+)[a-z0-9]+)*"
_PATH = rf"{_PATH_COMPONENT}(?:/{_PATH_COMPONENT})*"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
_REFERENCE = re.compile(
    rf"(?P<domain>{_DOMAIN})/(?P<path>{_PATH})(?::(?P<tag>{_TAG}))?(?:@(?P<digest>{_DIGEST}))?"
)
_TAG_ONLY = re.compile(_TAG)


@dataclasses.dataclass(frozen=True, slots=True)
class Reference:
    """A normalised reference. `domain` and `path` are always set; of `tag` and `digest`, those that were
    given."""

    domain: str
    path: str
    tag: str | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str, *, default_tag: bool = True) -> Reference:
        """`text` by Docker's rules; with `default_tag`, `latest` when neither tag nor digest is given."""
        if not text:
            raise InvalidArgument("invalid reference format: the image name is empty")
        if is_hex_id(text):
            raise InvalidArgument(
                f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings"
            )
        domain, remainder = _split_domain(text)
        name = remainder.partition("@")[0]
        name = name.partition(":")[0] if ":" in name else name
        if name.lower() != name:
            raise InvalidArgument(
                f"invalid reference format: repository name ({name[:_MAX_NAME]}) must be lowercase"
            )
        match = _REFERENCE.fullmatch(f"{domain}/{remainder}")
        if match is None:
            raise InvalidArgument(f"invalid reference format: {text[: _MAX_NAME + 64]!r}")
        if len(match["path"]) > _MAX_NAME:
            raise InvalidArgument(f"repository name must not be more than {_MAX_NAME} characters")
        digest = match["digest"]
        if digest is not None and not is_digest(digest):
            raise InvalidArgument(
                f"invalid reference format: {digest[:200]!r} is not a digest that is supported"
            )
        tag = match["tag"]
        if tag is None and digest is None and default_tag:
            tag = DEFAULT_TAG
        return cls(match["domain"], match["path"], tag, Digest(digest) if digest is not None else None)

    @property
    def repository(self) -> str:
        """Domain and path: `docker.io/library/busybox`."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_name(self) -> str:
        """The repository as Docker shows it: `busybox`, `user/app`, `localhost:5000/app`."""
        if self.domain != DEFAULT_DOMAIN:
            return self.repository
        official = self.path.startswith(_OFFICIAL) and "/" not in self.path[len(_OFFICIAL) :]
        return self.path[len(_OFFICIAL) :] if official else self.path

    @property
    def familiar(self) -> str:
        """The whole reference as Docker shows it: `busybox:latest`."""
        return self.familiar_name + self._suffix()

    @property
    def canonical(self) -> str:
        """The whole reference with its domain: `docker.io/library/busybox:latest`."""
        return self.repository + self._suffix()

    def with_tag(self, tag: str) -> Reference:
        """The same repository with another tag and no digest."""
        return dataclasses.replace(self, tag=validate_tag(tag), digest=None)

    def with_digest(self, digest: Digest) -> Reference:
        """The same repository by digest."""
        return dataclasses.replace(self, tag=None, digest=digest)

    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    def __str__(self) -> str:
        return self.familiar


def validate_tag(tag: str) -> str:
    """`tag`, when it is one; else InvalidArgument."""
    if _TAG_ONLY.fullmatch(tag) is None:
        raise InvalidArgument(f"invalid tag format: {tag[:200]!r}")
    return tag


def _split_domain(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    is_domain = bool(slash) and (
        "." in first or ":" in first or first == "localhost" or first.lower() != first
    )
    domain, remainder = (first, rest) if is_domain else (DEFAULT_DOMAIN, name)
    if domain == _LEGACY_DOMAIN:
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and "/" not in remainder:
        remainder = _OFFICIAL + remainder
    return domain, remainder
