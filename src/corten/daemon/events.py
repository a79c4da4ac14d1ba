"""/events: what happens in the engine, as it happens."""

from __future__ import annotations

from corten.api.event import Event, EventActor
from corten.api.message import encode
from corten.daemon.call import Call
from corten.daemon.message import Answer
from corten.daemon.routing import Routes
from corten.engine import results
from corten.engine.timestamp import parse_time

routes = Routes()


def to_api(event: results.Event) -> Event:
    """The event in Docker's form; `status`, `id` and `from` only where old clients look for them."""
    message = Event(
        type=event.type,
        action=event.action,
        actor=EventActor(id=event.actor_id, attributes=event.attributes),
        scope=event.scope,
        time=event.time_nano // 1_000_000_000,
        time_nano=event.time_nano,
    )
    if event.type in ("container", "image"):
        message.status, message.id = event.action, event.actor_id
        if event.type == "container":
            message.from_ = event.attributes.get("image", "")
    return message


@routes.get("/events")
async def events(call: Call) -> Answer:
    since, until = call.text("since"), call.text("until")
    subscription = call.engine.events.subscribe(
        since=parse_time(since) if since else None,
        until=parse_time(until) if until else None,
        filters=call.filters(),
    )
    try:
        response = await call.open_stream("application/json")
        async for event in subscription:
            await response.write(encode(to_api(event)) + b"\n")
    finally:
        close = getattr(subscription, "aclose", None)
        if close is not None:
            await close()
    await response.write_eof()
    return response
