"""What is written down of a request once its answer has gone out: numbers, and a line of the access log."""

from __future__ import annotations

import time
from urllib.parse import parse_qsl, quote

import msgspec

from corten.registry.access import CALLER, Identity
from corten.registry.counters import Counters
from corten.registry.lines import Lines
from corten.registry.request import Request

RECEIVED = "corten.registry.received"
"""The key in a request that tells how many bytes of its body came past the HTTP parser."""
GONE = 499
"""The status of requests whose client went away before it had its answer."""
HARMLESS = frozenset(
    ("digest", "mount", "from", "n", "last", "tag", "artifactType", "digest-algorithm", "scope", "service")
)
"""Parameters whose values are written down; another's might be a secret."""
LONGEST = 1000


class Recorder:
    """One for all connections of a worker."""

    def __init__(self, counters: Counters, lines: Lines | None) -> None:
        self._counters = counters
        self._count = counters.count
        self._lines = lines

    def record(self, request: Request, status: int) -> None:
        """The request's answer has ended, one way or another."""
        seconds = time.monotonic() - request.begun
        sent = request.writer.output_size
        self._count(request.series, status, seconds, sent)
        received = 0
        if request.method != "GET" and request.method != "HEAD":
            received = request.get(RECEIVED, request.content.total_bytes)
            self._counters.add("bytes_received", received)
        if self._lines is not None:
            line = _line(request, status, seconds, sent, received)
            try:
                self._lines.append(line)
            except OSError:
                self._counters.add("access_log_lost")


def _line(request: Request, status: int, seconds: float, sent: int, received: int) -> bytes:
    identity: Identity | None = request.get(CALLER)
    route = request.route
    return (
        msgspec.json.encode(
            {
                "time": round(time.time(), 3),
                "remote": request.remote,
                "identity": identity.name if identity is not None else "",
                "method": request.method[:20],
                "path": shown_path(request),
                "repository": _ascii(route.repository[:255]) if route is not None else "",
                "status": status,
                "bytes": sent,
                "received": received,
                "seconds": round(seconds, 6),
                "agent": _ascii(request.headers.get("User-Agent", "")[:200]),
                "request": request.name,
            }
        )
        + b"\n"
    )


def shown_path(request: Request) -> str:
    """The target, without the values of parameters that might be secrets."""
    url = request.rel_url
    path = _ascii(url.raw_path[:LONGEST])
    if not url.raw_query_string:
        return path
    pairs = parse_qsl(url.raw_query_string[:LONGEST], keep_blank_values=True)
    shown = "&".join(
        f"{quote(name, safe='')}={quote(value, safe=':/,') if name in HARMLESS else '...'}"
        for name, value in pairs
    )
    return f"{path}?{shown}"


def _ascii(text: str) -> str:
    """Without characters that are no text, or that look like others."""
    return text if text.isascii() else text.encode("ascii", "backslashreplace").decode()
