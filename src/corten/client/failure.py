"""From an HTTP answer that is an error to the exception that the engine raised."""

from __future__ import annotations

from corten import errors
from corten.client import jsontext
from corten.errors import CortenError

# Corten's engine tells by this header what its own command would exit with; Docker's has only the status.
EXIT_CODE_HEADER = "x-corten-exit-code"
_BY_EXIT_CODE: dict[str, type[CortenError]] = {
    "126": errors.CommandNotExecutable,
    "127": errors.CommandNotFound,
}

_BY_STATUS: dict[int, type[CortenError]] = {
    304: errors.NotModified,
    400: errors.InvalidArgument,
    401: errors.Denied,
    403: errors.Denied,
    404: errors.NotFound,
    406: errors.InvalidArgument,
    409: errors.Conflict,
    413: errors.InvalidArgument,
    501: errors.Unsupported,
    503: errors.Unavailable,
    507: errors.NoSpace,
}


def from_response(status: int, headers: dict[str, str], body: bytes) -> CortenError:
    """The exception for an answer with a status of 400 and above (or 304)."""
    message = ""
    try:
        value = jsontext.loads(body)
        if isinstance(value, dict):
            message = str(value.get("message") or value.get("cause") or "")
    except ValueError:
        message = body.decode("utf-8", "replace").strip()[:500]
    if not message:
        message = "nothing to change" if status == 304 else f"the engine answered with HTTP status {status}"
    code = headers.get(EXIT_CODE_HEADER, "")
    if code in _BY_EXIT_CODE:
        return _BY_EXIT_CODE[code](message)
    if code == "125" and status == 500:
        return errors.StartError(message)
    return _BY_STATUS.get(status, CortenError)(message)
