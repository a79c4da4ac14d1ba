"""What of an output this command writes: an archive to a file or to stdout, or files into a directory."""

from __future__ import annotations

import os

from corten.cli.streams import write_all
from corten.errors import CortenError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.session import Session
    from corten.client.jsontext import Json


def receive(session: Session, offer: Json) -> None:
    """Reads what the engine offers, and writes it. After a failure nothing half-written is left, but for
    files in a directory."""
    answer = session.transport.request("GET", f"/corten/build/{offer['id']}/files/{offer['index']}")
    destination = offer["destination"]
    if destination == "-":
        for data in answer.stream():
            write_all(1, data)
    elif offer.get("unpack"):
        from corten.client.files import unpack

        try:
            os.makedirs(destination, exist_ok=True)
            unpack(answer.stream(), destination, lambda name: name, mirror=bool(offer.get("delete")))
        except OSError as error:
            raise _cannot_write(destination, error) from error
    else:
        from corten.client.files import receive_file

        try:
            receive_file(answer.stream(), destination)
        except OSError as error:
            raise _cannot_write(destination, error) from error


def _cannot_write(destination: str, error: OSError) -> CortenError:
    return CortenError(f"cannot write {error.filename or destination}: {error.strerror}")
