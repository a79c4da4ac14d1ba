"""corten engine serve: the engine in the foreground."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten engine serve"
DETAIL = """\
It listens on $CORTEN_RUN/engine.sock and keeps its data in $CORTEN_ROOT; both have defaults for root and for
an
ordinary user. 'docker' works with it: DOCKER_HOST=unix://$CORTEN_RUN/engine.sock docker ps."""
EXAMPLES = ("corten engine serve", "CORTEN_ROOT=/srv/corten CORTEN_RUN=/run/corten-srv corten engine serve")
ARGS = (0, 0)
OPTIONS = ()


def run(session: Session, arguments: Arguments) -> int:
    """Becomes the engine."""
    from corten.client import autostart

    command = autostart.engine_command()
    sys.stdout.flush()
    os.execv(command[0], command)
