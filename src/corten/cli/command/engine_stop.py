"""corten engine stop: ends the engine; containers go on."""

from __future__ import annotations

import os
import time

from corten.client import address, autostart, transport
from corten.errors import Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten engine stop"
DETAIL = "Running containers go on; the next command that needs the engine starts one, which takes them over."
EXAMPLES = ("corten engine stop",)
ARGS = (0, 0)
OPTIONS = ()
PATIENCE = 15.0


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    where = address.resolve()
    engine = transport.Transport(where)  # without autostart: an engine is not started to be stopped
    try:
        engine.request("POST", "/corten/engine/shutdown").read()
    except Unavailable:
        print(f"no engine runs at {where}")
        return 0
    finally:
        engine.close()
    run = os.path.dirname(where.path)
    # One that is reached over TCP has its files elsewhere.
    lock = os.path.join(run, "engine.lock") if run else ""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if not autostart.listens(where) and (not lock or autostart.is_free(lock)):
            print(f"the engine at {where} has stopped")
            return 0
        time.sleep(0.02)
    pid = os.path.join(run, "engine.pid") if run else "engine.pid of its run directory"
    raise Unavailable(
        f"the engine at {where} did not stop within {PATIENCE:.0f} seconds; its process is in {pid}"
    )
