"""A past build as a trace: OTLP in its JSON form, as collectors of OpenTelemetry take it."""

from __future__ import annotations

import hashlib

from corten.cli.build_steps import Steps
from corten.version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.client.jsontext import Json

_INTERNAL = 1  # SpanKind
_OK, _ERROR = 1, 2  # StatusCode


def trace(record: Json, events: list[Json]) -> Json:
    """An ExportTraceServiceRequest. Ids are worked out from the build's: the same build is the same trace."""
    steps = Steps()
    for event in events:
        steps.apply(event)
    build = record["id"]
    failure = record["failure"]
    root = _span(
        build,
        "",
        f"build {record['name']}".rstrip(),
        (record["started"], record["completed"]),
        failure["message"] if failure else "canceled" if record["status"] == "canceled" else "",
        {
            "build.ref": build,
            "build.status": record["status"],
            "build.context": record["context"],
            "build.dockerfile": record["dockerfile"],
            "build.target": record["target"],
            "build.image.digest": record["digest"],
        },
    )
    spans = [root]
    for step in steps.all:
        span = _span(
            build,
            step.vertex,
            step.name,
            (step.began, step.ended or record["completed"]),
            step.error,
            {"vertex": step.vertex, "cached": step.cached, "error": step.error},
        )
        spans.append({**span, "parentSpanId": root["spanId"]})
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": _attributes({"service.name": "corten"})},
                "scopeSpans": [{"scope": {"name": "corten.build", "version": __version__}, "spans": spans}],
            }
        ]
    }


def _span(
    build: str, vertex: str, name: str, times: tuple[int, int], error: str, attributes: dict[str, Json]
) -> dict[str, Json]:
    """`times`: begin and end in nanoseconds since 1970; a step that builds share may have begun before."""
    return {
        "traceId": hashlib.sha256(build.encode()).hexdigest()[:32],
        "spanId": hashlib.sha256(f"{build}\0{vertex}".encode()).hexdigest()[:16],
        "name": name,
        "kind": _INTERNAL,
        "startTimeUnixNano": str(times[0]),
        "endTimeUnixNano": str(max(times)),
        "attributes": _attributes(attributes),
        "status": {"code": _ERROR, "message": error} if error else {"code": _OK},
    }


def _attributes(values: dict[str, Json]) -> list[Json]:
    """Those that say something."""
    return [
        {"key": key, "value": {"boolValue" if isinstance(value, bool) else "stringValue": value}}
        for key, value in values.items()
        if value != ""
    ]
