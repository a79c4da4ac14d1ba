from __future__ import annotations

import errno
import json

import pytest

from corten.errors import Unavailable
from corten.registry.access import Identity
from corten.registry.audit import Outcome, Record
from corten.registry.audit_log import SINGLY, AuditLog


class Paper:
    """Takes lines, or says that it is full."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.full = False

    def append(self, line: bytes) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.lines.append(line)

    def sync(self) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")

    def close(self) -> None:
        return

    @property
    def details(self) -> list[str]:
        return [json.loads(line)["detail"] for line in self.lines]


def record(log: AuditLog, detail: str, outcome: Outcome = Outcome.DONE, source: str = "") -> None:
    log.record(Record(Identity("alice"), "manifest.push", "app", detail, outcome, source))


def test_a_line_is_ascii_and_one() -> None:
    paper = Paper()
    log = AuditLog(paper)
    log.record(Record(Identity('a\n{"who":"root"}'), "x", "r\u2028\u202e", "\x1b[2J" + "d" * 5000))
    (line,) = paper.lines
    assert line.isascii() and line.count(b"\n") == 1 and len(line) < 8000
    assert json.loads(line)["who"] == 'a\n{"who":"root"}'


def test_what_cannot_be_written_is_kept_in_its_order() -> None:
    paper = Paper()
    log = AuditLog(paper)
    record(log, "1")
    paper.full = True
    record(log, "2")
    with pytest.raises(Unavailable, match="No space left"):
        log.require()
    paper.full = False
    record(log, "3")
    log.require()
    record(log, "4")
    assert paper.details == ["1", "2", "3", "4"]


def test_going_on_says_how_many_were_lost(caplog: pytest.LogCaptureFixture) -> None:
    paper = Paper()
    log = AuditLog(paper, refuses=False)
    paper.full = True
    record(log, "1")
    record(log, "2")
    log.require()
    paper.full = False
    log._try_again()
    assert paper.details == ["2 records were lost while the audit log could not be written"]
    assert sum("a record that the audit log lacks" in text for text in caplog.messages) == 2


def test_a_disk_that_fails_later_refuses_as_well() -> None:
    paper = Paper()
    log = AuditLog(paper)
    record(log, "1")
    paper.full = True
    log.sync()
    with pytest.raises(Unavailable):
        log.require()
    paper.full = False
    log.require()


def test_refusals_of_one_address_are_counted() -> None:
    paper = Paper()
    log = AuditLog(paper)
    for number in range(SINGLY + 20):
        record(log, str(number), Outcome.DENIED, "192.0.2.1")
    record(log, "another", Outcome.DENIED, "192.0.2.2")
    record(log, "a change", Outcome.DONE, "192.0.2.1")
    log.close()
    assert len(paper.lines) == SINGLY + 3
    assert paper.details[-1].startswith("20 more refusals")
