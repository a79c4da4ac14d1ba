"""Every error that Corten tells its callers, in one tree; and one table that maps it to the front ends.

A message is one sentence: what failed, on what, why, and what to do. Libraries raise; only front ends
(`cli`, `daemon`, `cri`, `runtime.command`) turn an error into an exit code, an HTTP status or a gRPC code.
Nobody parses a message. This module imports nothing: the launcher loads it as well.
"""

from __future__ import annotations


class CortenError(Exception):
    """Base of all errors with a message that is meant for a person."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidArgument(CortenError):
    """The request itself is wrong: a bad option, name, reference or configuration."""


class NotFound(CortenError):
    """A container, image, volume, network or path that does not exist."""


class Conflict(CortenError):
    """The name is in use, or the object is in a state that forbids the operation."""


class NotModified(CortenError):
    """The object is already in the state that was asked for (starting what runs)."""


class Denied(CortenError):
    """The caller may not do this."""


class Unsupported(CortenError):
    """This host (kernel, configuration or tools) cannot do it; the message says what is missing."""


class Unavailable(CortenError):
    """A collaborator (the engine, the launcher, a registry) does not answer."""


class IntegrityError(CortenError):
    """Content that is not what its digest, size or media type says."""


class ArchiveError(CortenError):
    """A tar stream that is truncated, malformed, hostile, or over a limit."""


class LimitError(CortenError):
    """A resource limit that did not take."""


class NoSpace(CortenError):
    """The disk (or a quota) is full."""


class StartError(CortenError):
    """A container process that could not be started."""


class CommandNotFound(StartError):
    """The executable does not exist in the container (exit code 127)."""


class CommandNotExecutable(StartError):
    """The executable exists but cannot be run (exit code 126)."""


# class: (HTTP status, gRPC code, exit code of the corten command); the nearest base class counts.
STATUS: dict[type[BaseException], tuple[int, str, int]] = {
    CommandNotFound: (400, "FAILED_PRECONDITION", 127),
    CommandNotExecutable: (400, "FAILED_PRECONDITION", 126),
    StartError: (500, "INTERNAL", 125),
    InvalidArgument: (400, "INVALID_ARGUMENT", 125),
    NotFound: (404, "NOT_FOUND", 1),
    Conflict: (409, "FAILED_PRECONDITION", 1),
    NotModified: (304, "ALREADY_EXISTS", 0),
    Denied: (403, "PERMISSION_DENIED", 1),
    Unsupported: (501, "UNIMPLEMENTED", 1),
    Unavailable: (503, "UNAVAILABLE", 1),
    IntegrityError: (400, "DATA_LOSS", 1),
    ArchiveError: (400, "INVALID_ARGUMENT", 1),
    LimitError: (500, "RESOURCE_EXHAUSTED", 125),
    NoSpace: (507, "RESOURCE_EXHAUSTED", 1),
    CortenError: (500, "INTERNAL", 1),
}


def status_of(error: BaseException) -> tuple[int, str, int]:
    """The (HTTP status, gRPC code, exit code) of `error`, by the nearest class in its inheritance."""
    for cls in type(error).__mro__:
        if cls in STATUS:
            return STATUS[cls]
    return STATUS[CortenError]
