"""The records of builds that have ended: a file each, the record in its first line and the build's events in
those that follow. The oldest go when there are too many, or when they take too much."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from corten.api.build_history import BuildRecord
from corten.errors import InvalidArgument, NotFound

if TYPE_CHECKING:
    from corten.engine.build_recording import Recording

MOST_RECORDS = 50
MOST_BYTES = 64 << 20
_PARTIAL = ".partial"
_SUFFIX = ".json"
_OFFSET = re.compile(r"\^(\d{1,9})")

_log = logging.getLogger("corten.engine")
_decode = msgspec.json.Decoder(BuildRecord).decode


class HistoryStore:
    """The files in one directory, which is made with the first. Everything blocks; what writes comes one by
    one."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def add(self, record: BuildRecord, events: bytes) -> None:
        """Writes a record (under another id, when there is one of that id) and lets go of the oldest."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in self._directory.glob(f"*{_PARTIAL}"):
            left.unlink()  # a killed engine was writing it
        if self._path(record.id).exists():
            record = msgspec.structs.replace(record, id=secrets.token_hex(16))
        path = self._path(record.id)
        partial = path.with_suffix(_PARTIAL)
        try:
            partial.touch(0o600, exist_ok=False)
            with partial.open("wb") as file:
                file.write(msgspec.json.encode(record) + b"\n")
                file.write(events)
                file.flush()
                os.fsync(file.fileno())
            partial.rename(path)
        finally:
            partial.unlink(missing_ok=True)
        self._trim()

    def records(self) -> list[BuildRecord]:
        """All of them, the last build first."""
        return [record for record, _path in self._found()]

    def find(self, reference: str) -> BuildRecord:
        """By its id or a unique beginning of it; `^0` is the last build, `^1` the one before. NotFound,
        InvalidArgument."""
        records = self.records()
        if offset := _OFFSET.fullmatch(reference):
            if int(offset[1]) < len(records):
                return records[int(offset[1])]
            raise NotFound(f"no build {reference}: there are {len(records)} build records")
        if not reference or reference.startswith("^"):
            raise InvalidArgument(
                f"invalid build {reference!r}: it is an id, or ^N for the build N before the last"
            )
        found = [record for record in records if record.id.startswith(reference)]
        exact = [record for record in found if record.id == reference]
        if len(found) > 1 and not exact:
            raise InvalidArgument(
                f"{reference} is the beginning of {len(found)} builds' ids: give more of it"
            )
        if not found:
            raise NotFound(f"no record of a build {reference}: 'corten builder history ls' shows them")
        return (exact or found)[0]

    def events(self, reference: str) -> bytes:
        """The events of a build, a line of JSON each. Errors as of `find`."""
        record = self.find(reference)
        try:
            return self._path(record.id).read_bytes().partition(b"\n")[2]
        except FileNotFoundError as error:
            raise NotFound(f"no record of a build {reference} any more") from error

    def remove(self, reference: str) -> None:
        """Errors as of `find`."""
        self._path(self.find(reference).id).unlink(missing_ok=True)

    def clear(self) -> None:
        """Removes all, those as well that cannot be read."""
        for path in self._directory.glob(f"*{_SUFFIX}"):
            path.unlink(missing_ok=True)

    def _path(self, record_id: str) -> Path:
        return self._directory / f"{record_id}{_SUFFIX}"

    def _found(self) -> list[tuple[BuildRecord, Path]]:
        found = []
        for path in self._directory.glob(f"*{_SUFFIX}"):
            try:
                with path.open("rb") as file:
                    record = _decode(file.readline())
            except (OSError, UnicodeDecodeError, msgspec.MsgspecError):
                continue
            if record.id == path.stem:  # no other name leads out of here
                found.append((record, path))
        found.sort(key=lambda pair: (pair[0].started, pair[0].id), reverse=True)
        return found

    def _trim(self) -> None:
        size = 0
        whole = [path for _record, path in self._found()]
        for kept, path in enumerate(whole, 1):
            size += path.stat().st_size
            if kept > MOST_RECORDS or size > MOST_BYTES:
                path.unlink(missing_ok=True)
        for path in set(self._directory.glob(f"*{_SUFFIX}")).difference(whole):
            path.unlink(missing_ok=True)  # damaged: nobody can ask for it


class BuildHistory:
    """The store on the event loop. No build waits for its record to be on the disk; who asks does."""

    def __init__(self, store: HistoryStore) -> None:
        self._store = store
        self._writing: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()

    def add(self, recording: Recording) -> None:
        """Writes what was recorded, soon."""
        task = asyncio.create_task(self._write(recording))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def records(self) -> list[BuildRecord]:
        """See HistoryStore; here and below."""
        await self.settle()
        return await asyncio.to_thread(self._store.records)

    async def find(self, reference: str) -> BuildRecord:
        await self.settle()
        return await asyncio.to_thread(self._store.find, reference)

    async def events(self, reference: str) -> bytes:
        await self.settle()
        return await asyncio.to_thread(self._store.events, reference)

    async def remove(self, reference: str) -> None:
        await self.settle()
        async with self._turn:
            await asyncio.to_thread(self._store.remove, reference)

    async def clear(self) -> None:
        await self.settle()
        async with self._turn:
            await asyncio.to_thread(self._store.clear)

    async def settle(self) -> None:
        """Waits until what is to be written is."""
        if self._writing:
            await asyncio.wait(set(self._writing))

    async def _write(self, recording: Recording) -> None:
        async with self._turn:
            try:
                await asyncio.to_thread(lambda: self._store.add(*recording.end()))
            except OSError:
                _log.warning("cannot write the record of a build", exc_info=True)
