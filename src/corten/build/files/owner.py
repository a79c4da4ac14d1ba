"""The owners of --chown: numbers, or names that the image's own /etc/passwd and /etc/group know."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from corten.build.context.beneath import open_directory, open_file
from corten.build.context.model import SourceTree
from corten.build.context.resolve import resolve
from corten.build.files.destination import Ids
from corten.build.graph import Owner
from corten.errors import InvalidArgument

_MAX_BYTES = 4 << 20
_MAX_ID = 0xFFFFFFFE


class Owners:
    """Looks owners up in a view of the image (None: there is none, and no name is known)."""

    def __init__(self, image: SourceTree | None) -> None:
        self._image = image

    def find(self, owner: Owner) -> Ids | None:
        """As BuildKit: a number without a group is also the group's; a name brings its primary group. None
        when no owner is given. InvalidArgument for names that are not known."""
        if owner.user is None and owner.group is None:
            return None
        uid = gid = 0
        user = _number(owner.user)
        if user is not None:
            uid = gid = user
        elif isinstance(owner.user, str):
            uid, gid = self._user(owner.user)
        group = _number(owner.group)
        if group is not None:
            gid = group
        elif isinstance(owner.group, str):
            gid = self._group(owner.group)
        return uid, gid

    def _user(self, name: str) -> Ids:
        for fields in self._lines("etc/passwd"):
            if len(fields) >= 4 and fields[0] == name and fields[2].isdigit() and fields[3].isdigit():
                return int(fields[2]), int(fields[3])
        raise self._unknown("user", name, "/etc/passwd")

    def _group(self, name: str) -> int:
        for fields in self._lines("etc/group"):
            if len(fields) >= 3 and fields[0] == name and fields[2].isdigit():
                return int(fields[2])
        raise self._unknown("group", name, "/etc/group")

    def _unknown(self, kind: str, name: str, file: str) -> InvalidArgument:
        if self._image is None:
            return InvalidArgument(
                f"the {kind} {name!r} cannot be looked up, as there is no image below (FROM scratch, or "
                "--link): give a number"
            )
        return InvalidArgument(
            f"there is no {kind} {name!r} in the image's {file}: add it there first, or give a number"
        )

    def _lines(self, path: str) -> Iterator[list[str]]:
        place = resolve(self._image.root, path) if self._image is not None else None
        if self._image is None or place is None or not stat.S_ISREG(place.status.st_mode):
            return
        directory, _, name = place.path.rpartition("/")
        parent = open_directory(self._image.root, directory)
        try:
            fd = open_file(parent, name)
        finally:
            os.close(parent)
        with os.fdopen(fd, "rb") as file:
            text = file.read(_MAX_BYTES).decode("utf-8", "surrogateescape")
        for line in text.split("\n"):
            yield line.strip().split(":")


def _number(value: str | int | None) -> int | None:
    if isinstance(value, str):
        if not (value.isascii() and value.isdigit()):
            return None
        value = int(value)
    if value is not None and not 0 <= value <= _MAX_ID:
        raise InvalidArgument(f"the id {value} is out of range: ids go up to {_MAX_ID}")
    return value
