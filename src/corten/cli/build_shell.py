"""`--debug-shell`: this terminal in the state before the step that failed."""

from __future__ import annotations

import sys

from corten.cli import streams, terminal
from corten.errors import CortenError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.session import Session
    from corten.client.jsontext import Json


def run(session: Session, offer: Json) -> None:
    """Opens the shell that the engine offers, and returns when it has ended."""
    path = f"/corten/build/{offer['id']}/shell"
    print(
        f"\ncorten: a shell before the failed step {offer.get('name', '')}; it ends with 'exit'",
        file=sys.stderr,
    )
    query = {}
    if size := terminal.size():
        query = {"h": str(size[0]), "w": str(size[1])}
    try:
        stream = session.transport.request("POST", path, query=query, upgrade=True).hijack()
    except CortenError as error:
        print(f"corten: no shell: {error.message}", file=sys.stderr)
        session.transport.request("DELETE", path, check=False).read()
        return
    try:
        with terminal.RawTerminal(True):
            terminal.follow_size(session, f"{path}/resize")
            streams.copy_hijacked(stream, tty=True, stdin=True, keys=streams.KeySequence(""))
    finally:
        stream.close()
