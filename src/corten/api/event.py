"""Events of the engine, as GET /events streams them."""

from __future__ import annotations

import msgspec

from corten.api.message import Message


class EventActor(Message, kw_only=True):
    id: str = msgspec.field(name="ID")
    attributes: dict[str, str] = {}


class Event(msgspec.Struct, kw_only=True):
    """One event. `status`, `id` and `from` are what old clients read.

    `type` is container, image, volume, network or daemon; `time` is in seconds, `time_nano` the same in ns.
    """

    status: str | msgspec.UnsetType = msgspec.UNSET
    id: str | msgspec.UnsetType = msgspec.UNSET
    from_: str | msgspec.UnsetType = msgspec.field(name="from", default=msgspec.UNSET)
    type: str = msgspec.field(name="Type")
    action: str = msgspec.field(name="Action")
    actor: EventActor = msgspec.field(name="Actor")
    scope: str = "local"
    time: int = 0
    time_nano: int = msgspec.field(name="timeNano", default=0)
