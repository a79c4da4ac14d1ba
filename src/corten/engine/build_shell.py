"""`--debug-shell`: a step that failed waits for its client to look around in the state before it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable

from corten.api.build import ShellOffer
from corten.build.graph import Exec
from corten.build.solve.failure import BuildFailed
from corten.build.solve.protocols import Resize, Terminal
from corten.build.solve.solver import Solver
from corten.errors import Conflict, CortenError, NotFound

_SHELL = "/bin/sh"


class ShellStand:
    """Of one build. `offer` waits; `open` and `decline` are what the client does."""

    def __init__(self, build_id: str, report: Callable[[ShellOffer], None]) -> None:
        self._id = build_id
        self._report = report
        self._failed: BuildFailed | None = None
        self._solver: Solver | None = None
        self._over = asyncio.Event()
        self._running: asyncio.Future[int] | None = None
        self._resize: Resize | None = None

    async def offer(self, failed: BuildFailed, solver: Solver) -> None:
        """Tells the client, and returns when its shell has ended, or it wants none. A build that is cancelled
        meanwhile ends the shell."""
        self._failed, self._solver = failed, solver
        try:
            self._report(ShellOffer(self._id, failed.vertex.name))
            await self._over.wait()
        finally:
            self._failed = None
            if self._running is not None:
                self._running.cancel()
                await asyncio.wait({self._running})

    async def open(self, fd: int, rows: int, columns: int) -> None:
        """Runs a shell on the descriptor, which is closed at the end; what goes wrong is written there, for
        the client reads nothing else any more."""
        try:
            self.check()
            assert self._failed is not None and self._solver is not None
            terminal = Terminal(fd, rows=rows, columns=columns, started=self._started)
            work = self._solver.debug(self._failed, _shell_of(self._failed), terminal)
            self._running = asyncio.ensure_future(work)
            await asyncio.wait({self._running})
            if not self._running.cancelled():
                self._running.result()
        except CortenError as error:
            with contextlib.suppress(OSError):
                os.write(fd, f"corten: no shell: {error.message}\r\n".encode())
        finally:
            self._resize = None
            os.close(fd)
            self._over.set()

    async def resize(self, rows: int, columns: int) -> None:
        """The client's terminal has another size. NotFound when no shell runs."""
        if self._resize is None:
            raise NotFound("no shell of the build runs")
        await self._resize(rows, columns)

    def _started(self, resize: Resize) -> None:
        self._resize = resize

    def check(self) -> None:
        """NotFound, Conflict: what `open` would raise."""
        if self._failed is None:
            raise NotFound("no step of the build waits for a shell")
        if self._running is not None:
            raise Conflict("the build has a shell already")

    def decline(self) -> None:
        """The client wants no shell: the build ends."""
        self._over.set()


def _shell_of(failed: BuildFailed) -> list[str]:
    """The shell that the step itself was run by, or /bin/sh."""
    operation = failed.vertex.operation
    if isinstance(operation, Exec) and len(operation.args) > 1 and operation.args[0].endswith("sh"):
        return [operation.args[0]]
    return [_SHELL]
