"""`python -m corten.daemon`: the engine process.

Environment: CORTEN_ROOT, CORTEN_RUN (directories), CORTEN_TCP (loopback address), CORTEN_GROUP (owns the
sockets), CORTEN_IDLE_EXIT (seconds), CORTEN_LOG (debug, info, warning), CORTEN_READY_FD (a pipe that gets a
byte when the engine listens); systemd's LISTEN_FDS and NOTIFY_SOCKET.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from corten.errors import CortenError, InvalidArgument, status_of

if TYPE_CHECKING:
    from corten.daemon.process import Settings


def main(arguments: list[str] | None = None) -> int:
    """Runs the engine; the exit code is 0 after a clean end."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        return _run(arguments)
    except CortenError as error:
        print(f"corten engine: {error.message}", file=sys.stderr)
        return status_of(error)[2] or 1
    except KeyboardInterrupt:
        return 130


def _run(arguments: list[str]) -> int:
    from corten.engine import rootless

    if arguments:
        _apply(arguments)
    # First of all, single-threaded: an ordinary user's engine becomes root in a namespace of its own.
    state = rootless.enter_if_needed()

    import asyncio
    import logging

    import uvloop

    logging.basicConfig(
        level=os.environ.get("CORTEN_LOG", "warning").upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    if state is not None and state.note:
        logging.getLogger("corten.daemon").warning(state.note)

    from corten.daemon import listening, process

    ready = listening.take_ready_fd(os.environ)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(process.serve(_settings(), ready))
    return 0


def _apply(arguments: list[str]) -> None:
    """Command-line options are other names for the variables."""
    import argparse

    parser = argparse.ArgumentParser(
        prog="corten engine serve", description="Run the engine in the foreground."
    )
    parser.add_argument("--root", metavar="DIR", help="data directory (CORTEN_ROOT)")
    parser.add_argument("--run", metavar="DIR", help="run directory, where the sockets are (CORTEN_RUN)")
    parser.add_argument("--tcp", metavar="ADDRESS", help="also listen on this loopback address (CORTEN_TCP)")
    parser.add_argument("--group", metavar="NAME", help="the group that may use the sockets (CORTEN_GROUP)")
    parser.add_argument("--idle-exit", metavar="SECONDS", help="end when idle for so long (CORTEN_IDLE_EXIT)")
    parser.add_argument("--log", metavar="LEVEL", help="debug, info, warning or error (CORTEN_LOG)")
    for name, value in vars(parser.parse_args(arguments)).items():
        if value is not None:
            os.environ[f"CORTEN_{name.upper()}"] = value


def _settings() -> Settings:
    from corten.daemon.process import Settings
    from corten.engine.paths import Paths

    return Settings(
        paths=Paths.from_environment(),
        tcp=os.environ.get("CORTEN_TCP", ""),
        group=os.environ.get("CORTEN_GROUP", ""),
        idle_exit=_seconds(os.environ.get("CORTEN_IDLE_EXIT", "")),
    )


def _seconds(text: str) -> float | None:
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError as error:
        raise InvalidArgument(f'invalid CORTEN_IDLE_EXIT "{text}": a number of seconds is needed') from error
    if seconds <= 0:
        raise InvalidArgument(f'invalid CORTEN_IDLE_EXIT "{text}": it must be positive')
    return seconds


if __name__ == "__main__":
    sys.exit(main())
