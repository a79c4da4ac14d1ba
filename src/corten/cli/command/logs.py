"""corten logs: the output of a container, from its log."""

from __future__ import annotations

from corten.cli import streams
from corten.client.muxstream import STDERR, Demultiplexer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten logs [OPTIONS] CONTAINER"
EXAMPLES = ("corten logs --tail 20 -f web", "corten logs --since 10m -t web")
ARGS = (1, 1)
OPTIONS = (
    ("details", "", "bool", "", "Show the attributes that the log driver was given"),
    ("follow", "f", "bool", "", "Go on with new output"),
    ("since", "", "str", "TIME", "Only what came after this time (2006-01-02T15:04:05Z) or span (10m)"),
    ("tail", "n", "str", "N", "Only the last lines (default all)"),
    ("timestamps", "t", "bool", "", "Show when each line came"),
    ("until", "", "str", "TIME", "Only what came before this time or span"),
)


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    name = arguments.rest[0]
    query = {"stdout": "1", "stderr": "1"}
    for option in ("details", "follow", "timestamps"):
        if arguments.on(option):
            query[option] = "1"
    for option in ("since", "until"):
        if arguments.has(option):
            from corten.cli.quantity import parse_moment

            query[option] = parse_moment(arguments.text(option), f"--{option}")
    if arguments.has("tail"):
        query["tail"] = arguments.text("tail")
    tty = session.get(f"/containers/{name}/json")["Config"].get("Tty", False)
    answer = session.transport.request("GET", f"/containers/{name}/logs", query=query)
    demultiplexer = Demultiplexer()
    for data in answer.stream():
        if tty:
            streams.write_all(1, data)
            continue
        for source, piece in demultiplexer.feed(data):
            streams.write_all(2 if source == STDERR else 1, piece)
    return 0
