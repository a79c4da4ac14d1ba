"""`[images] max_disk` of corten.toml: what images may take on disk.

::

    [images]
    max_disk = "20GiB"

After every pull, load, import, build and commit, after a container went, and every few minutes, the images
that were used least recently and that no container uses make room. Nothing that came or was used within the
last minute goes: an image is pulled before its container is made. Where what is in use and what is fresh take
more than the limit, it is exceeded.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from corten.engine.core import Core
from corten.engine.snapshots import config_files
from corten.errors import CortenError, InvalidArgument

GRACE_SECONDS = 60.0
_SETTLE_SECONDS = 0.5
_EVERY_SECONDS = 300.0
_SAVE_SECONDS = 30.0
_TRIGGERS = {"image": ("pull", "load", "import", "build"), "container": ("commit", "destroy")}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?b?)", re.IGNORECASE)
_UNITS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


class DiskBudget:
    """Watches over the limit, in the background; writes down when images were used, limit or not."""

    def __init__(self, core: Core, limit: int | None, *, grace: float = GRACE_SECONDS) -> None:
        self._core = core
        self.limit = limit
        self.grace = grace
        self._tasks: list[asyncio.Task[None]] = []

    def begin(self) -> None:
        """Starts to watch."""
        self._tasks.append(asyncio.create_task(self._save()))
        if self.limit is not None:
            self._tasks.append(asyncio.create_task(self._watch()))

    async def close(self) -> None:
        """Ends that."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def enforce(self) -> int:
        """Makes room, if there is too much; tells events; how many images went."""
        if self.limit is None:
            return 0
        evicted = await asyncio.to_thread(self._core.images.evict, self.limit, grace=self.grace)
        for image in evicted:
            name = image.names[0] if image.names else image.id
            for item in image.removed:
                what, action = (item.deleted, "delete") if item.deleted else (item.untagged, "untag")
                self._core.events.publish("image", action, what, {"name": what})
            attributes = {"name": name, "reclaimed": str(image.reclaimed), "limit": str(self.limit)}
            self._core.events.publish("image", "evict", image.id, attributes)
        return len(evicted)

    async def _save(self) -> None:
        while True:
            await asyncio.sleep(_SAVE_SECONDS)
            await asyncio.to_thread(self._core.images.uses.save)

    async def _watch(self) -> None:
        wake = asyncio.Event()
        listener = asyncio.create_task(self._listen(wake))
        try:
            pause = 0.0
            while True:
                # Not wait_for: that of Python 3.11 may swallow the cancellation by `close`.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await wake.wait()
                if wake.is_set():
                    await asyncio.sleep(_SETTLE_SECONDS)
                fresh = wake.is_set()
                wake.clear()
                with contextlib.suppress(CortenError, OSError):
                    await self.enforce()
                # What was too fresh to go is not any more then.
                pause = min(self.grace + 1, _EVERY_SECONDS) if fresh else _EVERY_SECONDS
        finally:
            listener.cancel()
            await asyncio.gather(listener, return_exceptions=True)

    async def _listen(self, wake: asyncio.Event) -> None:
        async for event in self._core.events.subscribe(filters={"type": list(_TRIGGERS)}):
            if event.action in _TRIGGERS[event.type]:
                wake.set()


def configured_limit(environ: Mapping[str, str] | None = None) -> int | None:
    """`max_disk` of `[images]`, in bytes; None when nothing is configured. InvalidArgument."""
    path, table = configured_table(os.environ if environ is None else environ, "images", ("max_disk",))
    return size_in_bytes(table["max_disk"], f"{path}: images.max_disk") if "max_disk" in table else None


def configured_table(
    environ: Mapping[str, str], name: str, keys: Sequence[str]
) -> tuple[Path | None, dict[str, Any]]:
    """A table of corten.toml and the file that has it: the first that sets one of its keys. InvalidArgument
    for a file that cannot be read, and for other keys."""
    for path in config_files(environ):
        if not path.exists():
            continue
        try:
            found = tomllib.loads(path.read_text()).get(name, {})
        except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InvalidArgument(f"cannot read {path}: {error}") from error
        if not isinstance(found, dict) or set(found) - set(keys):
            raise InvalidArgument(f"{path}: [{name}] is a table with the key {' or '.join(keys)}")
        if found:
            return path, found
    return None, {}


def size_in_bytes(value: object, where: str) -> int:
    """Of a number, or a text like "20GiB". InvalidArgument, which says `where`."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or not (size := _scaled(match)):
        raise InvalidArgument(
            f'{where}: {value!r} is no size: expected bytes, or a text like "20GiB" or "500MB"'
        )
    return size


def _scaled(match: re.Match[str]) -> int:
    """20GiB and 20G are powers of 1024, 20GB of 1000."""
    number, unit, suffix = match.groups()
    base = 1000 if suffix.lower() == "b" and unit else 1024
    return int(float(number) * base ** _UNITS[unit.lower()])
