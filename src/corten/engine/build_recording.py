"""What is kept of a build, taken down while it runs: the record, and the events that its log is drawn from.

Nothing is kept that says more than the client was shown: no secret, and a build argument's value only where a
step's name has it. Passwords of URLs, which a client may see, are left out.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from typing import Literal

import msgspec

from corten.api.build import (
    BuildFailure,
    BuildPlanned,
    BuildRequest,
    BuildResult,
    ContextDirectory,
    ContextRemote,
)
from corten.api.build_history import BuildRecord
from corten.build.progress import VertexFinished, VertexLog, VertexStarted, VertexStatus, Warning
from corten.engine.build_events import BUILD_CANCELED, BuildLine

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""What is the id of a record, and so the name of a file."""

_OUTPUT_BYTES = 2 << 20
_ALL_BYTES = 4 << 20
"""So much of a build's events is kept: steps' output up to the first number, all else up to the second."""
_LONGEST = 4096
_MOST = 100
_NAME = "BUILDKIT_BUILD_NAME"
_DOCKERFILE = "Dockerfile"
_PASSWORD = re.compile(r"(?<=://)[^/?#\s]+@")
_PASSWORD_IN_OUTPUT = re.compile(_PASSWORD.pattern.encode())

_encode = msgspec.json.Encoder().encode


class _TimedStatus(VertexStatus, frozen=True, kw_only=True, tag="status", tag_field="type"):
    """A status with its time: whoever reads it later cannot look at the clock."""

    at: int


class Recording:
    """Of one build; `take` gets what its client is told, `end` makes the record of it."""

    def __init__(self, request: BuildRequest) -> None:
        self._request = request
        self._started = time.time_ns()
        self._lines: list[bytes] = []
        self._size = 0
        self._is_full = False
        self._clipped: set[str] = set()
        self._statuses: set[tuple[str, str]] = set()
        self._steps: dict[str, VertexFinished | None] = {}
        self._expected = 0
        self._result: BuildResult | None = None
        self._failure: BuildFailure | None = None

    def take(self, line: BuildLine) -> None:
        """One event, or the last line."""
        if isinstance(line, VertexLog):
            self._output(line)
        elif isinstance(line, VertexStarted):
            self._steps[line.vertex] = None
            self._keep(msgspec.structs.replace(line, name=_kept(line.name)))
        elif isinstance(line, VertexFinished):
            self._steps[line.vertex] = line
            self._keep(msgspec.structs.replace(line, error=_kept(line.error), misses=()))
        elif isinstance(line, VertexStatus):
            self._status(line)
        elif isinstance(line, BuildPlanned):
            self._expected = len(self._steps) + line.vertices + 1  # the export
        elif isinstance(line, Warning):
            self._keep(line)
        elif isinstance(line, BuildResult):
            self._result = line
        elif isinstance(line, BuildFailure):
            self._failure = line

    def end(self) -> tuple[BuildRecord, bytes]:
        """The record, and the events: a line of JSON each."""
        request, result = self._request, self._result
        finished = [step for step in self._steps.values() if step is not None]
        directory, shown = _context(request)
        status: Literal["completed", "error", "canceled"] = "completed"
        if result is None:
            canceled = self._failure is None or self._failure == BUILD_CANCELED
            status = "canceled" if canceled else "error"
        record = BuildRecord(
            id=request.id if ID.fullmatch(request.id) else secrets.token_hex(16),
            name=_shown(_name(request, directory, shown)),
            context=_shown(shown),
            dockerfile=_shown(_dockerfile(request, directory)),
            target=_shown(request.target),
            platforms=[_shown(platform) for platform in request.platforms[:_MOST]],
            started=self._started,
            completed=time.time_ns(),
            status=status,
            failure=_bounded(self._failure) if status == "error" and self._failure is not None else None,
            total_steps=len(self._steps) if result is not None else max(len(self._steps), self._expected),
            completed_steps=sum(not step.error for step in finished),
            cached_steps=sum(step.cached for step in finished),
            image_id=result.image_id if result is not None else "",
            digest=result.digest if result is not None else "",
            images=[_shown(name) for name in result.names[:_MOST]] if result is not None else [],
        )
        return record, b"".join(self._lines)

    def _output(self, line: VertexLog) -> None:
        if not self._is_full:
            if b"://" in line.data:
                data = _PASSWORD_IN_OUTPUT.sub(b"xxxxx@", line.data)
                line = msgspec.structs.replace(line, data=data)
            self._is_full = not self._keep(line, _OUTPUT_BYTES)  # a gap is not filled with what comes later
        if self._is_full and line.vertex not in self._clipped:
            self._clipped.add(line.vertex)
            note = f"[output clipped: {_OUTPUT_BYTES >> 20} MiB of a build's log are kept]\n"
            self._keep(msgspec.structs.replace(line, data=note.encode()))

    def _status(self, line: VertexStatus) -> None:
        """Of each part the begin and the end are kept."""
        name = _kept(line.id)
        part = (line.vertex, name)
        if line.done or (part not in self._statuses and len(self._statuses) < _LONGEST):
            self._statuses.add(part)
            self._keep(
                _TimedStatus(line.vertex, name, line.current, line.total, line.done, at=time.time_ns())
            )

    def _keep(self, event: msgspec.Struct, limit: int = _ALL_BYTES) -> bool:
        line = _encode(event) + b"\n"
        if self._size + len(line) > limit:
            return False
        self._lines.append(line)
        self._size += len(line)
        return True


def _kept(text: str) -> str:
    """Without passwords, and without the bytes of file names that are no text."""
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()
    return _PASSWORD.sub("xxxxx@", text) if "://" in text else text


def _shown(text: str, spaces: str = "") -> str:
    """For a terminal: without passwords, bounded, and without what a terminal would obey but for `spaces`."""
    text = _kept(text)[:_LONGEST]
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or letter in spaces else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def _bounded(failure: BuildFailure) -> BuildFailure:
    return BuildFailure(
        message=_shown(failure.message, "\n\t"),
        error=failure.error,
        step=_shown(failure.step),
        log=[_kept(line) for line in failure.log],
        exit_code=failure.exit_code,
    )


def _context(request: BuildRequest) -> tuple[str, str]:
    """The context's directory on this host (empty: it is none), and what is shown of the context."""
    context = request.context
    if isinstance(context, ContextDirectory):
        return context.path, context.path
    return "", _kept(context.url) if isinstance(context, ContextRemote) else ""


def _dockerfile(request: BuildRequest, directory: str) -> str:
    """Its path in the context where it is there."""
    path = request.dockerfile or _DOCKERFILE
    if directory and path.startswith(f"{directory.rstrip('/')}/"):
        return os.path.relpath(path, directory)
    return path


def _name(request: BuildRequest, directory: str, context: str) -> str:
    """As buildx names builds: `app`, `app/docker/Dockerfile.test`, `https://… (target)`."""
    if given := request.build_args.get(_NAME):
        return given
    dockerfile = _dockerfile(request, directory)
    if directory:
        if os.path.isabs(dockerfile):
            directory, dockerfile = os.path.split(dockerfile)
        place = dockerfile.removesuffix(_DOCKERFILE).rstrip("/")
        if place and not dockerfile.endswith(f"/{_DOCKERFILE}"):
            place = dockerfile
        name = os.path.join(os.path.basename(directory.rstrip("/")), place).rstrip("/")
    else:
        name = context or (request.tags[0] if request.tags else "")
    if not request.target:
        return name
    return f"{name} ({request.target})" if name else request.target
