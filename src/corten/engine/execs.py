"""The execs facet: further processes in a running container."""

from __future__ import annotations

from typing import TYPE_CHECKING

from corten.engine.results import Attachment, StdioFds

if TYPE_CHECKING:
    from corten.api.container import ExecCreate, ExecInspect


class ExecService:
    """Create, start and look at execs."""

    async def create(self, ref: str, request: ExecCreate) -> str:
        """Registers an exec in the running container `ref`; returns its id. Nothing runs yet."""
        raise NotImplementedError

    def check_start(self, exec_id: str) -> bool:
        """Raises what `start` would raise before it answers 101; returns whether the exec has a terminal."""
        raise NotImplementedError

    async def start(
        self,
        exec_id: str,
        *,
        detach: bool = False,
        tty: bool | None = None,
        console_size: tuple[int, int] | None = None,
        fd: int | None = None,
        stdio: StdioFds | None = None,
    ) -> Attachment | None:
        """Runs it. `fd` is the client's connection (owned by the engine from here on), None when detached.

        `console_size` is (height, width). `stdio`: the client's own descriptors instead of `fd`; the returned
        attachment then ends with the process.
        """
        raise NotImplementedError

    def inspect(self, exec_id: str) -> ExecInspect:
        raise NotImplementedError

    async def resize(self, exec_id: str, *, height: int, width: int) -> None:
        raise NotImplementedError
