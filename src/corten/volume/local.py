"""The "local" driver: a directory of the host, or whatever the options type, o and device say to mount(2)."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from corten.errors import InvalidArgument, NotFound
from corten.volume.driver import VolumeMount
from corten.volume.usage import disk_usage

_KNOWN = frozenset({"type", "o", "device"})
_DATA = "_data"


class LocalDriver:
    """Volumes as ``<root>/<name>/_data``. `trash` (same file system) takes what is being deleted."""

    name = "local"

    def __init__(self, root: Path, trash: Path) -> None:
        self._root = root
        self._trash = trash

    def check_options(self, options: Mapping[str, str]) -> None:
        """As Docker: type, o and device only; type and device need each other."""
        for key in options:
            if key not in _KNOWN:
                raise InvalidArgument(f'invalid option: "{key}" (the local driver knows type, o and device)')
        if options and not options.get("device"):
            raise InvalidArgument('missing device in volume options: give "device" (and "type", "o")')
        if options.get("type", "").startswith("nfs") and "addr=" not in options.get("o", ""):
            raise InvalidArgument(
                'an nfs volume needs the address of its server in "o", such as o=addr=10.0.0.1,rw'
            )

    def create(self, name: str, options: Mapping[str, str]) -> None:
        directory = self._root / name
        directory.mkdir(mode=0o701, exist_ok=True)
        data = directory / _DATA
        data.mkdir(exist_ok=True)
        data.chmod(0o755)

    def remove(self, name: str, options: Mapping[str, str]) -> None:
        """By a rename: a crash afterwards leaves it to whoever empties the trash."""
        try:
            (self._root / name).rename(self._trash / f"volume-{secrets.token_hex(8)}")
        except FileNotFoundError:
            return

    def exists(self, name: str) -> bool:
        return (self._root / name / _DATA).is_dir()

    def mountpoint(self, name: str) -> Path:
        return self._root / name / _DATA

    def mount(self, name: str, options: Mapping[str, str]) -> VolumeMount:
        path = self.mountpoint(name)
        if not path.is_dir():
            raise NotFound(f"the directory of volume {name} is gone: {path}")
        if not options:
            return VolumeMount("bind", str(path), ("rbind",), directory=True)
        words = [word for word in options.get("o", "").split(",") if word]
        device = options["device"]
        kind = options.get("type", "") or "none"
        if "bind" in words or "rbind" in words or kind == "none":
            if not os.path.exists(device):
                raise NotFound(f"volume {name}: its device {device} does not exist")
            flags = tuple(word for word in words if word not in ("bind", "rbind"))
            return VolumeMount("bind", device, ("rbind", *flags))
        return VolumeMount(kind, device, tuple(words))

    def usage(self, name: str) -> int:
        return disk_usage(self.mountpoint(name))

    def sweep(self, known: frozenset[str]) -> None:
        """Removes empty directories that no record names: a create that a crash cut short. Never data."""
        for entry in os.scandir(self._root):
            if entry.name in known or not entry.is_dir(follow_symlinks=False):
                continue
            for path in (self._root / entry.name / _DATA, self._root / entry.name):
                try:
                    path.rmdir()
                except OSError:
                    break
