"""The specification's error codes in one table, and the exception that carries one (distribution-spec,
"Error Codes")."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

import msgspec

from corten.errors import CortenError


class Code(enum.Enum):
    """A code, and the status that it has unless the resource says otherwise."""

    BLOB_UNKNOWN = "BLOB_UNKNOWN", 404
    BLOB_UPLOAD_INVALID = "BLOB_UPLOAD_INVALID", 400
    BLOB_UPLOAD_UNKNOWN = "BLOB_UPLOAD_UNKNOWN", 404
    DIGEST_INVALID = "DIGEST_INVALID", 400
    MANIFEST_BLOB_UNKNOWN = "MANIFEST_BLOB_UNKNOWN", 400
    MANIFEST_INVALID = "MANIFEST_INVALID", 400
    MANIFEST_UNKNOWN = "MANIFEST_UNKNOWN", 404
    NAME_INVALID = "NAME_INVALID", 400
    NAME_UNKNOWN = "NAME_UNKNOWN", 404
    SIZE_INVALID = "SIZE_INVALID", 400
    TAG_INVALID = "TAG_INVALID", 400
    UNAUTHORIZED = "UNAUTHORIZED", 401
    DENIED = "DENIED", 403
    UNSUPPORTED = "UNSUPPORTED", 405
    TOOMANYREQUESTS = "TOOMANYREQUESTS", 429
    # Not in the table of the specification but in use, as what clients print is the message.
    PAGINATION_NUMBER_INVALID = "PAGINATION_NUMBER_INVALID", 400
    RANGE_INVALID = "RANGE_INVALID", 416
    UNAVAILABLE = "UNAVAILABLE", 503
    UNKNOWN = "UNKNOWN", 500

    def __init__(self, word: str, status: int) -> None:
        self.word = word
        self.status = status


class RegistryError(CortenError):
    """What a client is told: a code of the specification, a sentence, and what else helps (`detail`).

    `status` overrides the code's; `headers` are sent along (Retry-After, Range, WWW-Authenticate).
    """

    def __init__(
        self,
        code: Code,
        message: str,
        detail: Any = None,
        *,
        status: int = 0,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.detail = detail
        self.status = status or code.status
        self.headers = dict(headers or {})

    def body(self) -> bytes:
        """The JSON document of the specification's "Error Codes"; a single error."""
        return errors_body([self])


def errors_body(errors: list[RegistryError]) -> bytes:
    """The JSON document for several errors at once."""
    entries = []
    for error in errors:
        entry: dict[str, Any] = {"code": error.code.word, "message": error.message}
        if error.detail is not None:
            entry["detail"] = error.detail
        entries.append(entry)
    return msgspec.json.encode({"errors": entries})


class RegistryErrors(CortenError):
    """Several errors of one request (each blob that a manifest lacks); the first decides the status."""

    def __init__(self, errors: list[RegistryError]) -> None:
        super().__init__("; ".join(error.message for error in errors))
        self.errors = errors
