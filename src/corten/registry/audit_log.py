"""The audit log: a line of JSON for each change and each refusal.

A record is in the file before its request is answered, so that killing the registry loses none; it is on the
disk within a second. What cannot be written goes to standard error at once and is kept for a later try;
until that succeeds, changes are refused (`when-unwritable`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import time
from collections import deque
from collections.abc import Iterator

from corten.errors import InvalidArgument, Unavailable
from corten.registry.access import ANONYMOUS
from corten.registry.audit import Audit, NoAudit, Outcome, Record
from corten.registry.config import Config
from corten.registry.lines import LineFile, Lines, StandardError

_LOG = logging.getLogger("corten.registry")
LONGEST = 1000
"""Characters of one field."""
HELD = 10_000
"""Records that are kept while the file cannot be written."""
WINDOW_SECONDS = 60
SINGLY = 100
"""Refusals of one address that are written down one by one within a window; the others are counted. So
nobody who may do nothing can fill the disk, or push what matters out of the files that are kept."""
SOURCES = 4096


class AuditLog:
    """Records in a file that several processes share."""

    def __init__(self, file: Lines, refuses: bool = True) -> None:
        self._file = file
        self._refuses = refuses
        self._held: deque[bytes] = deque()
        self._lost = 0
        self._reason = ""
        self._unsynced = False
        self._refusals = _Refusals()

    def record(self, record: Record) -> None:
        denied = record.outcome is Outcome.DENIED
        if denied and record.source and not self._refusals.is_singled_out(record.source):
            return
        self._put(_line(record))

    def require(self) -> None:
        if (self._held or self._reason) and self._refuses and not self._try_again():
            raise Unavailable(
                f"the audit log cannot be written ({self._reason}): changes are refused until it can be"
            )

    async def run(self) -> None:
        """Brings records to the disk, once a second, until it is cancelled."""
        while True:
            await asyncio.sleep(1)
            self._tell_counted(self._refusals.ended())
            if self._held or self._reason:
                self._try_again()
            if self._unsynced:
                self._unsynced = False
                await asyncio.to_thread(self.sync)

    def sync(self) -> None:
        """Every record is on the disk; a failure counts as one of writing."""
        try:
            self._file.sync()
        except OSError as error:
            self._fail(error)

    def close(self) -> None:
        self._tell_counted(self._refusals.all())
        if self._held:
            self._try_again()
        self.sync()
        self._file.close()

    def _put(self, line: bytes) -> None:
        if self._held:
            self._hold(line)  # in their order
            return
        try:
            self._file.append(line)
            self._unsynced = True
        except OSError as error:
            self._fail(error)
            self._hold(line)

    def _hold(self, line: bytes) -> None:
        _LOG.error("a record that the audit log lacks for now: %s", line.decode().rstrip())
        if self._refuses and len(self._held) < HELD:
            self._held.append(line)
        else:
            self._lost += 1

    def _fail(self, error: OSError) -> None:
        if not self._reason:
            _LOG.error("the audit log cannot be written: %s", error.strerror or error)
        self._reason = error.strerror or str(error)

    def _try_again(self) -> bool:
        try:
            if self._lost:
                detail = f"{self._lost} records were lost while the audit log could not be written"
                self._file.append(_line(Record(ANONYMOUS, "audit.lost", "", detail, Outcome.FAILED)))
                self._lost = 0
            while self._held:
                self._file.append(self._held[0])
                self._held.popleft()
            self._file.sync()
        except OSError as error:
            self._fail(error)
            return False
        if self._reason:
            _LOG.warning("the audit log can be written again")
        self._reason = ""
        return True

    def _tell_counted(self, counted: dict[str, int]) -> None:
        for source, count in counted.items():
            detail = f"{count} more refusals within {WINDOW_SECONDS} s"
            self._put(_line(Record(ANONYMOUS, "refusals", "", detail, Outcome.DENIED, source)))


class _Refusals:
    """Counts refusals by address, in windows."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._counts: dict[str, int] = {}

    def is_singled_out(self, source: str) -> bool:
        """Whether this refusal gets a line of its own."""
        if source not in self._counts and len(self._counts) >= SOURCES:
            source = "others"
        count = self._counts[source] = self._counts.get(source, 0) + 1
        return count <= SINGLY

    def ended(self) -> dict[str, int]:
        """What was counted only, once a window is over."""
        if time.monotonic() - self._begun < WINDOW_SECONDS:
            return {}
        return self.all()

    def all(self) -> dict[str, int]:
        self._begun = time.monotonic()
        counts, self._counts = self._counts, {}
        return {source: count - SINGLY for source, count in counts.items() if count > SINGLY}


def _line(record: Record) -> bytes:
    now = time.time()
    entry = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03d}Z",
        "who": record.identity.name[:LONGEST],
        "from": record.source[:LONGEST],
        "action": record.action[:LONGEST],
        "repository": record.repository[:LONGEST],
        "detail": record.detail[:LONGEST],
        "outcome": record.outcome.value,
        "request": record.request[:LONGEST],
    }
    # ASCII only: no character of a client's ends a line, or is taken for another by who reads it.
    return json.dumps(entry).encode() + b"\n"


def open_audit(config: Config) -> Audit:
    """The registry's audit log, for a worker or a command; InvalidArgument when it cannot be opened."""
    settings = config.audit
    if not settings.enabled:
        return NoAudit()
    refuses = settings.when_unwritable == "refuse-changes"
    if settings.path == "-":
        return AuditLog(StandardError(), refuses)
    path = settings.path or str(config.root_path / "audit" / "audit.log")
    file = LineFile(path, settings.rotate_bytes, settings.keep)
    try:
        os.makedirs(os.path.dirname(os.path.abspath(path)), mode=0o700, exist_ok=True)
        file.append(b"")
    except OSError as error:
        raise InvalidArgument(
            f"cannot write the audit log {path}: {error.strerror}: give [audit] path, or enabled = false"
        ) from error
    return AuditLog(file, refuses)


@contextlib.contextmanager
def auditing(config: Config) -> Iterator[Audit]:
    """The registry's audit log, for one command: what it has recorded is on the disk at the end."""
    audit = open_audit(config)
    try:
        yield audit
    finally:
        audit.close()
