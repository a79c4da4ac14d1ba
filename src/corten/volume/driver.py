"""What a volume driver must do, and how a container mounts a volume."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class VolumeMount:
    """A mount for the container's own mount namespace, in the words of mount(2).

    `directory` says that `source` is a directory of the host, which may be filled at first use.
    """

    type: str
    source: str
    options: tuple[str, ...] = ()
    directory: bool = False


class VolumeDriver(Protocol):
    """Makes, finds and removes the storage of volumes; the records live in `VolumeStore`.

    Names are valid already. Every operation may be repeated: a crash between a driver's step and the record
    is mended by doing the step again.
    """

    name: str

    def check_options(self, options: Mapping[str, str]) -> None:
        """InvalidArgument for an option that the driver does not know, or a set that makes no sense."""

    def create(self, name: str, options: Mapping[str, str]) -> None:
        """Makes the storage; nothing to do where it exists."""

    def remove(self, name: str, options: Mapping[str, str]) -> None:
        """Removes the storage and what is in it; nothing to do where it does not exist."""

    def exists(self, name: str) -> bool:
        """Whether the storage is there."""

    def mountpoint(self, name: str) -> Path:
        """The directory that inspect shows."""

    def mount(self, name: str, options: Mapping[str, str]) -> VolumeMount:
        """How a container gets at it; NotFound when the storage is gone."""

    def usage(self, name: str) -> int:
        """Bytes on disk; -1 where that is unknown."""
