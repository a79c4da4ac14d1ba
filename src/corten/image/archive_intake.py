"""The large files of an archive that is a file itself: worker processes read each where it lies, once, side
by side, and store, hash and unpack it in the same pass."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from dataclasses import dataclass
from pathlib import Path

from corten.content import ContentStore, Lease
from corten.errors import Unavailable
from corten.image.model import Progress, Report
from corten.oci.digest import Digest, algorithm_of
from corten.snapshot.snapshotter import Part, Session, Taken

_PATIENCE = 0.1


@dataclass(frozen=True, slots=True)
class OpenArchive:
    """A regular file that is open for reading as `fd`, whose archive begins at `offset`. `given_up` is set
    when nobody waits for the images any more."""

    fd: int
    offset: int
    given_up: threading.Event


@dataclass(slots=True)
class _Pending:
    name: str
    size: int
    target: Path
    future: Future[Taken]


class LayerIntake:
    """Takes files of one archive into the store. A context, around the session's: what is not a blob at its
    end is thrown away."""

    def __init__(self, archive: OpenArchive, content: ContentStore, report: Report) -> None:
        self.archive = archive
        self._content = content
        self._report = report
        self._pending: list[_Pending] = []

    def begin(self, session: Session, name: str, offset: int, size: int, expected: Digest | None) -> None:
        """Begins with the file `name`, whose `size` bytes are at `offset` in the archive."""
        algorithm = "sha256" if expected is None else algorithm_of(expected)
        part = Part(self.archive.fd, self.archive.offset + offset, size)
        target = self._content.new_file()
        label = name.rpartition("/")[2][:12]

        def progress(_name: str, done: int, total: int) -> None:
            self._report(Progress("Loading layer", label, done, total))

        future = session.take_in(part, target, algorithm, progress)
        self._pending.append(_Pending(name, size, target, future))

    def finish(self, session: Session, lease: Lease) -> Iterator[tuple[str, int, Digest]]:
        """(name, size, digest) of each file, which is a blob then, pinned by `lease`. The digests are not
        compared with anything."""
        for pending in self._pending:
            self._wait(pending)
            taken = pending.future.result()
            self._content.adopt(pending.target, taken.digest, lease=lease)
            session.found(taken.digest, taken.staged)
            yield pending.name, pending.size, taken.digest

    def _wait(self, pending: _Pending) -> None:
        """Until this one is complete; raises what went wrong with any."""
        rest = {one.future for one in self._pending}
        while not pending.future.done():
            if self.archive.given_up.is_set():
                raise Unavailable("the load was given up")
            done, rest = wait(rest, _PATIENCE, FIRST_EXCEPTION)
            for future in done:
                future.result()

    def __enter__(self) -> LayerIntake:
        return self

    def __exit__(self, *exc: object) -> None:
        for pending in self._pending:
            pending.target.unlink(missing_ok=True)
