"""corten builder history trace: a build's steps as an OpenTelemetry trace."""

from __future__ import annotations

from corten.cli.build_records import BUILDER, REFERENCE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten builder history trace [OPTIONS] [REF]"
DETAIL = f"""\
Writes OTLP/JSON (resourceSpans), which Jaeger and collectors of OpenTelemetry take: a span for the build, and
one below it for each step.
{REFERENCE}"""
EXAMPLES = (
    "corten builder history trace -o trace.json",
    "corten builder history trace | curl -H 'Content-Type: application/json' -d @- localhost:4318/v1/traces",
)
ARGS = (0, 1)
OPTIONS = (BUILDER, ("output", "o", "str", "FILE", "Write to a file instead of stdout"))


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    import json

    from corten.cli import build_records, build_trace

    record = build_records.find(session, arguments.rest)
    text = json.dumps(build_trace.trace(record, build_records.events(session, record)), indent=2) + "\n"
    output = arguments.text("output", "-")
    if output == "-":
        print(text, end="")
    else:
        _write(output, text)
    return 0


def _write(path: str, text: str) -> None:
    from corten.client.files import receive_file

    try:
        receive_file(iter([text.encode()]), path)
    except OSError as error:
        from corten.errors import CortenError

        raise CortenError(f"cannot write the trace to {path}: {error.strerror}") from error
