"""What a RUN writes, on its way to the log: two pipes, read on the event loop."""

from __future__ import annotations

import asyncio
import fcntl
import os

from corten.build.solve.protocols import Log

_PIECE = 1 << 16
_WIDE = 1 << 20
_PATIENCE = 5.0


class Output:
    """A context manager. `give` hands out the process's stdio; `ended` waits until everything has come that
    it wrote."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._given: tuple[int, ...] = ()
        self._open: dict[int, int] = {}
        self._ended: asyncio.Future[None] | None = None

    async def __aenter__(self) -> Output:
        loop = asyncio.get_running_loop()
        self._ended = loop.create_future()
        null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        ends = [null]
        for stream in (1, 2):
            reader, writer = os.pipe2(os.O_CLOEXEC)
            os.set_blocking(reader, False)
            self._open[reader] = stream
            ends.append(writer)
            loop.add_reader(reader, self._read, reader)
        self._given = tuple(ends)
        return self

    async def __aexit__(self, *exception: object) -> None:
        self.close_given()
        for reader in list(self._open):
            self._close(reader)

    def give(self) -> tuple[int, ...]:
        """stdin, stdout, stderr, to be passed on: they are ours until `ended`."""
        return self._given

    def close_given(self) -> None:
        """Our own copies of what was given."""
        for fd in self._given:
            os.close(fd)
        self._given = ()

    async def ended(self) -> None:
        """The process is gone: waits for the end of both pipes; not for ever, it may have passed them on."""
        self.close_given()
        assert self._ended is not None
        await asyncio.wait({self._ended}, timeout=_PATIENCE)

    def _read(self, reader: int) -> None:
        try:
            data = os.read(reader, _WIDE)
        except BlockingIOError:
            return
        if not data:
            self._close(reader)
            return
        if len(data) >= _PIECE:
            self._widen(reader)
        self._log(self._open[reader], data)

    def _widen(self, reader: int) -> None:
        try:
            fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, _WIDE)
        except OSError:
            pass  # an ordinary user's share of pipe memory is used up: 64 KiB will do

    def _close(self, reader: int) -> None:
        asyncio.get_running_loop().remove_reader(reader)
        del self._open[reader]
        os.close(reader)
        if not self._open and self._ended is not None and not self._ended.done():
            self._ended.set_result(None)
