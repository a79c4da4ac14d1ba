"""`--progress=rawjson`: BuildKit's SolveStatus, one a line, for programs."""

from __future__ import annotations

from corten.cli.build_steps import Display, Step
from corten.client import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.client.jsontext import Json


class RawDisplay(Display):
    """Every event as a line."""

    def event(self, event: Json) -> None:
        """One event."""
        step = self.steps.apply(event)
        line = _line(event, step)
        if line:
            self.stream.write(jsontext.dumps(line).decode() + "\n")

    def refresh(self) -> None:
        """Whoever reads is not kept waiting."""
        self.stream.flush()


def _line(event: Json, step: Step | None) -> Json:
    kind = event["type"]
    if kind == "warning":
        return {"warnings": [_warning(event)]}
    if step is None:
        return None
    if kind in ("started", "finished"):
        vertex: Json = {"digest": step.vertex, "name": step.name, "started": moment(step.began)}
        if step.ended:
            vertex["completed"] = moment(step.ended)
        if step.cached:
            vertex["cached"] = True
        if step.error:
            vertex["error"] = step.error
        return {"vertexes": [vertex]}
    if kind == "log":
        log = {"vertex": step.vertex, "stream": event["stream"], "data": event["data"]}
        return {"logs": [{**log, "timestamp": moment(event["at"])}]}
    if kind == "status":
        part = step.parts[event["id"]]
        status: Json = {"id": part.id, "vertex": step.vertex, "name": part.id, "current": part.current}
        if part.total:
            status["total"] = part.total
        import time

        status |= {"timestamp": moment(event.get("at") or time.time_ns()), "started": moment(part.began)}
        if part.done:
            status["completed"] = moment(part.ended)
        return {"statuses": [status]}
    return None


def _warning(event: Json) -> Json:
    import binascii

    def encoded(text: str) -> str:
        return binascii.b2a_base64(text.encode(), newline=False).decode()

    first, last = event.get("lines") or (0, 0)
    warning: Json = {"level": 1, "short": encoded(f"{event['rule']}: {event['message']}")}
    if event.get("detail"):
        warning["detail"] = [encoded(event["detail"])]
    if event.get("url"):
        warning["url"] = event["url"]
    if first:
        warning["range"] = [{"start": {"line": first}, "end": {"line": last or first}}]
    return warning


def moment(nanoseconds: int) -> str:
    """RFC 3339 in UTC with nanoseconds."""
    import time

    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:09d}Z"
