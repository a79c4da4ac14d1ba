"""A past build as a trace: what OTLP's JSON form wants."""

from __future__ import annotations

import re
from typing import Any

from corten.cli.build_trace import trace
from tests.unit.cli.build_events import BEGIN

RECORD = {
    "id": "abc",
    "name": "app",
    "context": "/src/app",
    "dockerfile": "Dockerfile",
    "target": "",
    "started": BEGIN,
    "completed": BEGIN + 9,
    "status": "error",
    "failure": {"message": "it failed"},
    "digest": "",
}
EVENTS = [
    {"type": "started", "vertex": "v1", "name": "FROM", "at": BEGIN + 1},
    {"type": "finished", "vertex": "v1", "at": BEGIN + 2, "cached": True},
    {"type": "started", "vertex": "v2", "name": "RUN", "at": BEGIN + 2},
    {"type": "log", "vertex": "v2", "stream": 1, "data": "eA==", "at": BEGIN + 3},
    {"type": "finished", "vertex": "v2", "at": BEGIN + 8, "error": "no"},
    {"type": "started", "vertex": "v3", "name": "COPY", "at": BEGIN + 4},
]


def spans() -> list[dict[str, Any]]:
    (resource,) = trace(RECORD, EVENTS)["resourceSpans"]
    assert resource["resource"]["attributes"] == [{"key": "service.name", "value": {"stringValue": "corten"}}]
    (scope,) = resource["scopeSpans"]
    found: list[dict[str, Any]] = scope["spans"]
    return found


def attributes(span: dict[str, Any]) -> dict[str, Any]:
    return {item["key"]: next(iter(item["value"].values())) for item in span["attributes"]}


def test_a_span_for_the_build_and_one_for_each_step() -> None:
    root, *steps = spans()
    assert root["name"] == "build app" and "parentSpanId" not in root
    assert root["status"] == {"code": 2, "message": "it failed"}
    assert attributes(root)["build.status"] == "error" and "build.target" not in attributes(root)
    assert [step["name"] for step in steps] == ["FROM", "RUN", "COPY"]
    assert {step["parentSpanId"] for step in steps} == {root["spanId"]}
    assert attributes(steps[0]) == {"vertex": "v1", "cached": True}
    assert attributes(steps[1]) == {"vertex": "v2", "cached": False, "error": "no"}
    assert [step["status"]["code"] for step in steps] == [1, 2, 1]


def test_ids_and_times() -> None:
    found = spans()
    assert found == spans()
    assert len({span["spanId"] for span in found}) == 4
    for span in found:
        assert re.fullmatch("[0-9a-f]{32}", span["traceId"]) and span["traceId"] == found[0]["traceId"]
        assert re.fullmatch("[0-9a-f]{16}", span["spanId"])
    times = [(span["startTimeUnixNano"], span["endTimeUnixNano"]) for span in found]
    assert times == [
        (str(BEGIN + begin), str(BEGIN + end)) for begin, end in ((0, 9), (1, 2), (2, 8), (4, 9))
    ]
