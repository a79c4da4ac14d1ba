"""corten events: what happens in the engine."""

from __future__ import annotations

import time

from corten.cli import listing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session
    from corten.client.jsontext import Json

USAGE = "corten events [OPTIONS]"
EXAMPLES = ("corten events --filter container=web --since 10m", "corten events --format '{{json .}}'")
ARGS = (0, 0)
OPTIONS = (
    (
        "filter",
        "f",
        "list",
        "KEY=VALUE",
        "Only some: container, event, image, label, network, type, volume, …",
    ),
    ("format", "", "str", "TEMPLATE", "'json' or a Go template"),
    ("since", "", "str", "TIME", "What came after this time (2006-01-02T15:04:05Z) or span (10m), first"),
    ("until", "", "str", "TIME", "End at this time or span"),
)


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    from corten.cli.quantity import parse_moment

    query = listing.filters(arguments.many("filter"))
    for option in ("since", "until"):
        if arguments.has(option):
            query[option] = parse_moment(arguments.text(option), f"--{option}")
    style = arguments.text("format")
    template = None
    if style:
        from corten.cli.template import Template, to_json

        if style != "json":
            template = Template(style.replace("\\t", "\t").replace("\\n", "\n"))
    for event in session.transport.request("GET", "/events", query=query).json_stream():
        if template is not None:
            line = template.render(_with_from(event))
        else:
            line = to_json(event) if style else text(event)
        print(line, flush=True)
    return 0


def _with_from(event: Json) -> Json:
    """Go's names of the old fields begin with capitals."""
    return {**event, "Status": event.get("status"), "ID": event.get("id"), "From": event.get("from"),
            "TimeNano": event.get("timeNano"), "Time": event.get("time")}  # fmt: skip


def text(event: Json) -> str:
    """`2006-01-02T15:04:05.000000000Z container start 4b1c… (image=busybox, name=web)`."""
    nanoseconds = event.get("timeNano") or event.get("time", 0) * 10**9
    seconds, fraction = divmod(nanoseconds, 10**9)
    moment = time.localtime(seconds)
    zone = time.strftime("%z", moment)
    offset = "Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}"
    stamp = f"{time.strftime('%Y-%m-%dT%H:%M:%S', moment)}.{fraction:09d}{offset}"
    line = f"{stamp} {event['Type']} {event['Action']} {event['Actor']['ID']}"
    attributes = event["Actor"].get("Attributes") or {}
    if attributes:
        line += f" ({', '.join(f'{key}={attributes[key]}' for key in sorted(attributes))})"
    return line
