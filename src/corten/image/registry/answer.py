"""A registry's refusal in words (distribution-spec, "Error Codes")."""

from __future__ import annotations

import msgspec

from corten.errors import (
    Conflict,
    CortenError,
    Denied,
    IntegrityError,
    InvalidArgument,
    NotFound,
    Unavailable,
)
from corten.image.registry.retry import seconds_of

_HUB_LIMIT = (
    "docker.io limits how often an address or account may pull in six hours: log in by `corten login` for a "
    "higher limit, configure a mirror in corten.toml, or try again later"
)


class _Error(msgspec.Struct):
    code: str = ""
    message: str = ""


class _Errors(msgspec.Struct):
    errors: list[_Error] = []
    details: str = ""  # what the token servers of Docker say
    message: str = ""


_WORDS = {
    "BLOB_UNKNOWN": "the registry has no such blob",
    "BLOB_UPLOAD_INVALID": "the registry refused the upload as invalid",
    "BLOB_UPLOAD_UNKNOWN": "the registry knows nothing of this upload any more",
    "DIGEST_INVALID": "the registry computed another digest for what was sent",
    "MANIFEST_BLOB_UNKNOWN": "the registry lacks a blob or a manifest that this one names",
    "MANIFEST_INVALID": "the registry refused the manifest as invalid",
    "MANIFEST_UNKNOWN": "the registry has no such tag or digest",
    "NAME_INVALID": "the registry refused the repository's name",
    "NAME_UNKNOWN": "the registry has no such repository",
    "SIZE_INVALID": "the registry counted another size than what was announced",
    "UNAUTHORIZED": "log in first by `corten login`",
    "DENIED": "this account may not do that, or the repository does not exist",
    "UNSUPPORTED": "the registry does not support this operation",
    "TOOMANYREQUESTS": "the registry says: too many requests",
}


class RateLimited(Unavailable):
    """The server wants fewer requests (429). `seconds`: how long it asks to wait; None: it does not say."""

    def __init__(self, message: str, seconds: float | None) -> None:
        super().__init__(message)
        self.seconds = seconds


def explain(
    status: int, body: bytes, what: str, host: str, *, hub: bool = False, retry_after: str | None = None
) -> CortenError:
    """The error for an answer with `status` to `what` ("pull busybox:latest"), from `host`."""
    code, text = _first(body)
    if status == 429 or code == "TOOMANYREQUESTS":
        told = seconds_of(retry_after) if retry_after else None
        wait = f" (it asks to wait {told:.0f} s)" if told else ""
        reason = _HUB_LIMIT if hub else "try again later"
        return RateLimited(f"cannot {what}: {host} says: too many requests{wait}; {reason}", told)
    reason = _WORDS.get(code, "")
    if text and text.lower() not in reason.lower():
        reason = f"{text} ({reason})" if reason else text
    if not reason and status in (401, 403):
        reason = _WORDS["UNAUTHORIZED" if status == 401 else "DENIED"]
    if not reason:
        reason = f"the registry answered with HTTP status {status}"
    message = f"cannot {what}: {host}: {reason}"
    if status == 401 or code == "UNAUTHORIZED":
        return Denied(f"cannot {what}: {host} wants a login: {reason}")
    if status == 403 or code == "DENIED":
        return Denied(message)
    if status == 404:
        return NotFound(message)
    if code in ("DIGEST_INVALID", "SIZE_INVALID"):
        return IntegrityError(message)
    if status == 405 or code == "UNSUPPORTED":
        return Conflict(message)
    if status >= 500 or status in (408, 425):
        return Unavailable(message)
    return InvalidArgument(message)


def code_of(body: bytes) -> str:
    """The first error's code, or ""."""
    return _first(body)[0]


def _first(body: bytes) -> tuple[str, str]:
    try:
        answer = msgspec.json.decode(body, type=_Errors)
    except msgspec.MsgspecError:
        return "", ""
    if answer.errors:
        return answer.errors[0].code, _clean(answer.errors[0].message)
    return "", _clean(answer.details or answer.message)


def _clean(text: str) -> str:
    """One printable line: what a registry says goes to a terminal."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line[:300].rstrip(".")
