"""Whether a pull and a push can succeed now."""

from __future__ import annotations

import asyncio
import time

from corten.errors import CortenError
from corten.registry.audit import Audit
from corten.registry.blobs.store import BlobStore
from corten.registry.metadata.store import Metadata

DEADLINE_SECONDS = 5.0
CACHED_SECONDS = 1.0


class Readiness:
    """Asks database, storage and audit log; the answer holds for a second, and many who ask cost one
    question."""

    def __init__(
        self, metadata: Metadata, blobs: BlobStore, audit: Audit, deadline: float = DEADLINE_SECONDS
    ) -> None:
        self._metadata = metadata
        self._blobs = blobs
        self._audit = audit
        self._deadline = deadline
        self._asking: asyncio.Task[str] | None = None
        self._answered = -CACHED_SECONDS
        self._answer = ""

    async def reason(self) -> str:
        """Why the registry is not ready; "" when it is."""
        if time.monotonic() - self._answered < CACHED_SECONDS:
            return self._answer
        # A question that has no answer stays the only one: it may hold a thread.
        asking = self._asking = self._asking or asyncio.create_task(self._ask())
        done, _ = await asyncio.wait([asking], timeout=self._deadline)
        if not done:
            self._note(f"database or storage did not answer within {self._deadline:g} s")
        elif self._asking is asking:
            self._note(asking.result())
            self._asking = None
        return self._answer

    def _note(self, answer: str) -> None:
        self._answer = answer
        self._answered = time.monotonic()

    async def _ask(self) -> str:
        try:
            await self._metadata.has_repository("readiness")
            await asyncio.to_thread(self._blobs.check_writable)
            self._audit.require()
        except CortenError as error:
            return error.message
        except OSError as error:
            return f"the registry's storage does not answer: {error.strerror or error}"
        return ""
