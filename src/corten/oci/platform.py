"""Platforms: which of an index's images fits a host (OCI image-spec, image-index.md; containerd's match
order)."""

from __future__ import annotations

import platform as _host
from collections.abc import Iterable

import msgspec

from corten.errors import InvalidArgument

_ARCHITECTURES = {
    "x86_64": ("amd64", None),
    "amd64": ("amd64", None),
    "i386": ("386", None),
    "i486": ("386", None),
    "i586": ("386", None),
    "i686": ("386", None),
    "386": ("386", None),
    "aarch64": ("arm64", "v8"),
    "arm64": ("arm64", "v8"),
    "armv8l": ("arm", "v7"),
    "armv7l": ("arm", "v7"),
    "armhf": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "armv5tel": ("arm", "v5"),
    "armel": ("arm", "v6"),
    "arm": ("arm", "v7"),
    "riscv64": ("riscv64", None),
    "ppc64le": ("ppc64le", None),
    "s390x": ("s390x", None),
    "loongarch64": ("loong64", None),
    "mips64": ("mips64le", None),
}


class Platform(msgspec.Struct, frozen=True, omit_defaults=True):
    """An operating system, an architecture (Go's names) and its variant."""

    architecture: str = ""
    os: str = ""
    variant: str | None = None
    os_version: str | None = msgspec.field(default=None, name="os.version")
    os_features: tuple[str, ...] | None = msgspec.field(default=None, name="os.features")

    @classmethod
    def parse(cls, text: str) -> Platform:
        """`linux/arm64/v8`, `linux/amd64`, `arm64` or `linux`; what is missing comes from the host."""
        parts = text.lower().split("/")
        if not 1 <= len(parts) <= 3 or not all(part.replace("_", "").isalnum() for part in parts):
            raise InvalidArgument(f"invalid platform {text!r}: expected os/architecture[/variant]")
        if len(parts) == 1:
            if parts[0] in _ARCHITECTURES or parts[0] in {known for known, _ in _ARCHITECTURES.values()}:
                return _normalized("linux", parts[0], None)
            host = host_platform()
            return cls(host.architecture, parts[0], host.variant)
        return _normalized(parts[0], parts[1], parts[2] if len(parts) == 3 else None)

    def normalized(self) -> Platform:
        """The same platform with Go's architecture names and default variants."""
        return _normalized(self.os.lower(), self.architecture.lower(), self.variant)

    def candidates(self) -> tuple[Platform, ...]:
        """What a host of this platform can run, the best first."""
        mine = self.normalized()
        result = [mine]
        if mine.architecture == "amd64":
            level = int((mine.variant or "v1")[1:])
            result = [Platform("amd64", mine.os, f"v{n}" if n > 1 else None) for n in range(level, 0, -1)]
            result.append(Platform("386", mine.os))
        elif mine.architecture == "arm64":
            result += [Platform("arm", mine.os, f"v{n}") for n in (8, 7, 6, 5)]
        elif mine.architecture == "arm":
            result = [
                Platform("arm", mine.os, f"v{n}") for n in range(int((mine.variant or "v7")[1:]), 4, -1)
            ]
        return tuple(result)

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


def _normalized(system: str, architecture: str, variant: str | None) -> Platform:
    known, implied = _ARCHITECTURES.get(architecture, (architecture, None))
    variant = variant or implied
    if known == "amd64" and variant == "v1":
        variant = None
    if known in ("amd64", "arm", "arm64") and variant is not None and not _is_level(variant):
        raise InvalidArgument(
            f"invalid platform variant {variant!r} of {system}/{known}: expected v and a number"
        )
    return Platform(known, system, variant)


def _is_level(variant: str) -> bool:
    return len(variant) == 2 and variant[0] == "v" and variant[1].isdigit()


def host_platform() -> Platform:
    """The platform of this machine."""
    return _normalized("linux", _host.machine().lower(), None)


def choose(platforms: Iterable[Platform | None], wanted: Platform) -> int | None:
    """The position of what fits `wanted` best; an entry without a platform fits when nothing else does."""
    have: list[Platform | None] = []
    for candidate in platforms:
        try:
            have.append(candidate.normalized() if candidate is not None and candidate.os else None)
        except InvalidArgument:
            have.append(Platform("unknown", "unknown"))
    for acceptable in wanted.candidates():
        if acceptable in have:
            return have.index(acceptable)
    return have.index(None) if None in have else None
