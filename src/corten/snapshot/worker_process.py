"""The engine's side of a worker process: spawned (never forked from a process with threads), asked, and
ended."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from corten import errors
from corten.snapshot.growing import Growing

# Pieces of a MiB come and go: memory that is given back to the kernel each time has to be cleared each time.
_MALLOC = {"MALLOC_TRIM_THRESHOLD_": str(32 << 20), "MALLOC_MMAP_THRESHOLD_": str(16 << 20)}
_START = "import sys; sys.path[:] = {path!r}; from corten.snapshot.worker import main; main({parent})"


class Worker:
    """One worker process; `call` blocks. Not thread-safe: one thread owns it."""

    def __init__(self, *, fds: Sequence[int] = ()) -> None:
        start = _START.format(path=[entry for entry in sys.path if entry], parent=os.getpid())
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", start],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=tuple(fds),
            env={**os.environ, **_MALLOC},
            bufsize=0,
            # A Control-C at the terminal is the engine's to handle.
            start_new_session=True,
        )

    def call(
        self,
        operation: str,
        *,
        progress: Callable[[int, int], None] | None = None,
        growing: Growing | None = None,
        **arguments: Any,
    ) -> Any:
        """Runs one operation of `snapshot.worker` and returns its result, or raises its CortenError.
        `growing` answers the worker's questions about a blob that is still being written."""
        self._send({"operation": operation, **arguments})
        failed: BaseException | None = None
        while True:
            message = self._answer()
            if "want" in message:
                assert growing is not None
                try:
                    have, complete = growing.wait(message["want"])
                    self._send({"have": have, "complete": complete})
                except BaseException as error:
                    failed = error
                    self._send({"abort": True})
                continue
            if "result" in message:
                return message["result"]
            if "error" in message:
                if failed is not None:
                    raise failed
                kind = getattr(errors, message["error"], errors.CortenError)
                raise kind(message["message"])
            if progress is not None:
                progress(message["done"], message["total"])

    def _send(self, message: dict[str, Any]) -> None:
        data = msgspec.msgpack.encode(message)
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(len(data).to_bytes(4, "big") + data)
        except BrokenPipeError:
            raise self._died() from None

    def _answer(self) -> dict[str, Any]:
        size = self._exactly(4)
        return msgspec.msgpack.decode(self._exactly(int.from_bytes(size, "big")), type=dict[str, Any])

    def _exactly(self, size: int) -> bytes:
        assert self._process.stdout is not None
        data = b""
        while len(data) < size:
            piece = self._process.stdout.read(size - len(data))
            if not piece:
                raise self._died()
            data += piece
        return data

    def _died(self) -> errors.CortenError:
        status = self._process.wait()
        return errors.CortenError(f"the process that works on layers died (status {status}): try again")

    def close(self) -> None:
        """Ends the process: at once when it idles, by SIGKILL when it is in the middle of something."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def kill(self) -> None:
        """Ends the process at once, from any thread; the owner's `call` then raises."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
