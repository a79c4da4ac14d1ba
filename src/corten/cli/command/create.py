"""corten create: a container that is ready to start."""

from __future__ import annotations

from corten.cli.container_options import CONTAINER_OPTIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten create [OPTIONS] IMAGE [COMMAND] [ARG...]"
EXAMPLES = (
    "corten create --name job --memory 128m busybox sleep 60",
    "corten create -it --name shell busybox",
)
ARGS = (1, None)
INTERSPERSED = False
OPTIONS = CONTAINER_OPTIONS


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    from corten.cli import container_request, creation

    body = container_request.create_body(arguments)
    interactive = arguments.on("interactive")
    wanted = [name.lower() for name in arguments.many("attach")] or ["stdout", "stderr"]
    body["Tty"] = arguments.on("tty")
    body["OpenStdin"] = body["StdinOnce"] = body["AttachStdin"] = interactive
    body["AttachStdout"], body["AttachStderr"] = "stdout" in wanted, "stderr" in wanted
    print(creation.create(session, arguments, body))
    return 0
