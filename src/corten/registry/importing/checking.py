"""Files whose digests are compared in processes of their own, a file in each at a time."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from queue import SimpleQueue
from typing import NamedTuple

from corten.errors import Unavailable
from corten.oci.digest import algorithm_of
from corten.registry.importing import reading


class Source(NamedTuple):
    """A file, and what it should hold."""

    digest: str
    path: str


class Checked(NamedTuple):
    """`size` is -1 when it does not hold that; `why` says what is wrong."""

    source: Source
    size: int
    why: str = ""


class Readers:
    """So many processes. `close` ends them; so does the end of this one."""

    def __init__(self, count: int) -> None:
        self._idle: SimpleQueue[subprocess.Popen[str]] = SimpleQueue()
        self._all: list[subprocess.Popen[str]] = []
        self._threads = ThreadPoolExecutor(count, "reading")
        self._count = count
        for _ in range(count):
            self._idle.put(self._start())

    def _start(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-I", reading.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._all.append(process)
        return process

    def check(self, sources: Iterable[Source]) -> Iterator[Checked]:
        """Each of `sources`, as it is done."""
        waiting = iter(sources)
        running: set[Future[Checked]] = set()
        while True:
            while len(running) < 2 * self._count and (source := next(waiting, None)) is not None:
                running.add(self._threads.submit(self._check, source))
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()

    def _check(self, source: Source) -> Checked:
        process = self._idle.get()
        try:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(json.dumps([algorithm_of(source.digest), source.path]) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
            if not answer:
                raise BrokenPipeError
        except OSError as error:
            raise Unavailable("a process that compares digests has ended: run the import again") from error
        finally:
            self._idle.put(process)
        digest, rest = json.loads(answer)
        if not digest:
            return Checked(source, -1, f"cannot be read: {rest}")
        if digest != source.digest:
            return Checked(source, -1, f"is damaged: its digest is {digest}")
        return Checked(source, rest)

    def close(self) -> None:
        """Ends the processes."""
        self._threads.shutdown(cancel_futures=True)
        for process in self._all:
            if process.stdin is not None:
                process.stdin.close()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
