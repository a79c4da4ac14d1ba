"""What a command works with: the connection to the engine, opened when it is first used."""

from __future__ import annotations

import sys

from corten.client import address
from corten.client.transport import Transport

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.client.jsontext import Json
    from corten.client.transport import Query


class Session:
    """One run of the command line."""

    __slots__ = ("_transport",)

    def __init__(self) -> None:
        self._transport: Transport | None = None

    @property
    def transport(self) -> Transport:
        """The engine; it is started when it is the user's own and does not run."""
        if self._transport is None:
            self._transport = Transport(address.resolve(), start=_start)
        return self._transport

    def get(self, path: str, query: Query | None = None) -> Json:
        """The JSON answer of a GET."""
        return self.transport.request("GET", path, query=query).json()

    def post(self, path: str, query: Query | None = None, json: object = None) -> Json:
        """The JSON answer of a POST."""
        return self.transport.request("POST", path, query=query, json=json).json()

    def delete(self, path: str, query: Query | None = None) -> Json:
        """The JSON answer of a DELETE."""
        return self.transport.request("DELETE", path, query=query).json()

    def close(self) -> None:
        """Closes idle connections."""
        if self._transport is not None:
            self._transport.close()


def _start(where: address.Address) -> None:
    from corten.client import autostart

    autostart.start_engine(where)


def warn(message: str) -> None:
    """A warning of the engine, as Docker prints it."""
    print(f"WARNING: {message}", file=sys.stderr)


def warn_all(answer: Json) -> None:
    """The warnings in an answer of the engine."""
    for message in (answer or {}).get("Warnings") or ():
        warn(message)
