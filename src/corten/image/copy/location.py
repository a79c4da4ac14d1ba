"""Where images are, as skopeo spells it: `docker://NAME`, `oci:PATH[:TAG]`, `docker-archive:PATH[:NAME]`."""

from __future__ import annotations

from dataclasses import dataclass

from corten.errors import InvalidArgument
from corten.oci.reference import Reference

TRANSPORTS = ("docker", "docker-archive", "oci", "oci-archive", "dir")
_KNOWN = "docker://NAME, docker-archive:PATH[:NAME], oci:PATH[:TAG], oci-archive:PATH[:TAG], dir:PATH"


@dataclass(frozen=True, slots=True)
class Location:
    """`reference` is set for a registry, `path` for everything else; `name` is what follows the path."""

    transport: str
    path: str = ""
    name: str = ""
    reference: Reference | None = None

    @classmethod
    def parse(cls, text: str) -> Location:
        """InvalidArgument for what is none."""
        transport, colon, rest = text.partition(":")
        if not colon or transport not in TRANSPORTS:
            hint = f"; for a registry, write docker://{text}" if "://" not in text else ""
            raise InvalidArgument(f"invalid image location {text!r}: expected {_KNOWN}{hint}")
        if transport == "docker":
            if not rest.startswith("//"):
                raise InvalidArgument(f"invalid image location {text!r}: write docker://{rest}")
            return cls(transport, reference=Reference.parse(rest[2:]))
        path, _, name = (rest, "", "") if transport == "dir" else rest.partition(":")
        if not path:
            raise InvalidArgument(f"invalid image location {text!r}: the path is empty")
        return cls(transport, path, name)

    def __str__(self) -> str:
        if self.reference is not None:
            return f"docker://{self.reference.canonical}"
        return f"{self.transport}:{self.path}" + (f":{self.name}" if self.name else "")
