"""What the Python API gives back where Docker's API has no type of its own."""

from __future__ import annotations

import msgspec

from corten.errors import CortenError


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """How a command ended. `stdout_bytes` and `stderr_bytes` are what it wrote, as it wrote it."""

    exit_code: int
    stdout_bytes: bytes = b""
    stderr_bytes: bytes = b""

    @property
    def stdout(self) -> str:
        """Standard output as text; bytes that are no UTF-8 survive as surrogates."""
        return self.stdout_bytes.decode("utf-8", "surrogateescape")

    @property
    def stderr(self) -> str:
        """Standard error as text."""
        return self.stderr_bytes.decode("utf-8", "surrogateescape")

    def check(self) -> Result:
        """Itself when the command succeeded; raises CommandFailed otherwise."""
        if self.exit_code:
            raise CommandFailed(self)
        return self


class CommandFailed(CortenError):
    """A command that ended with another exit code than 0; `result` has it."""

    def __init__(self, result: Result) -> None:
        lines = result.stderr.strip().splitlines()
        what = f": {lines[-1]}" if lines else ""
        super().__init__(f"the command ended with exit code {result.exit_code}{what}")
        self.result = result


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """A step of something long (load, import, bootstrap). `total` is 0 when nobody knows it."""

    text: str
    id: str = ""
    current: int = 0
    total: int = 0
