"""corten stats: what containers use, live."""

from __future__ import annotations

import sys
import time

from corten.cli import listing, usage
from corten.errors import CortenError, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.listing import Row
    from corten.cli.options import Arguments
    from corten.cli.session import Session
    from corten.client.jsontext import Json

USAGE = "corten stats [OPTIONS] [CONTAINER...]"
EXAMPLES = ("corten stats", "corten stats --no-stream --format '{{.Name}} {{.CPUPerc}} {{.MemUsage}}' web")
ARGS = (0, None)
OPTIONS = (
    ("all", "a", "bool", "", "Stopped containers too"),
    ("format", "", "str", "TEMPLATE", "'table', 'json', a Go template, or 'table TEMPLATE'"),
    ("no-stream", "", "bool", "", "Measure once (takes a second), print, end"),
    ("no-trunc", "", "bool", "", "Do not shorten ids"),
)
INTERVAL = 1.0


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    names = arguments.rest
    for name in names:
        session.get(f"/containers/{name}/json")  # an unknown one is told at once
    once = arguments.on("no-stream")
    live = not once and sys.stdout.isatty()
    before: dict[str, Json] = {}
    _sample(session, arguments, before)
    try:
        while True:
            time.sleep(INTERVAL)
            text = listing.render(
                _sample(session, arguments, before),
                headers=usage.HEADERS,
                columns=usage.COLUMNS,
                style=arguments.text("format"),
            )
            _show(text, live)
            if once:
                return 0
    except KeyboardInterrupt:
        return 0


def _show(text: str, live: bool) -> None:
    if live:  # each line clears what is left of the one below it, then the rest of the screen goes
        text = "\x1b[H" + "".join(f"{line}\x1b[K\n" for line in text.splitlines()) + "\x1b[J"
    sys.stdout.write(text)
    sys.stdout.flush()


def _sample(session: Session, arguments: Arguments, before: dict[str, Json]) -> list[Row]:
    """One row a container; `before` keeps each one's last CPU counters."""
    chosen: list[tuple[str, str, str]] = []
    if arguments.rest:
        for name in arguments.rest:
            try:
                item = session.get(f"/containers/{name}/json")
                chosen.append((name, item["Id"], item["Name"].removeprefix("/")))
            except NotFound:
                continue  # removed in the meantime
    else:
        query = {"all": "1"} if arguments.on("all") else {}
        for item in session.get("/containers/json", query):
            name = item["Names"][0].removeprefix("/") if item["Names"] else ""
            chosen.append((item["Id"][:12], item["Id"], name))
    rows = []
    for reference, identifier, name in chosen:
        try:
            sample = session.get(f"/containers/{identifier}/stats", {"stream": "0", "one-shot": "1"})
        except CortenError:
            sample = None
        last = before.get(identifier) or {"cpu_usage": {}}
        rows.append(usage.row(reference, identifier, name, last, sample, arguments.on("no-trunc")))
        if sample is not None:
            before[identifier] = sample["cpu_stats"]
    return rows
