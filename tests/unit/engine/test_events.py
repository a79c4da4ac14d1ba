"""The bus: order, memory, filters."""

from __future__ import annotations

import asyncio
import time

import pytest

from corten.engine.events import REMEMBERED, EventBus, compile_filters
from corten.engine.results import Event
from corten.errors import InvalidArgument


async def test_subscribers_get_what_comes_after() -> None:
    bus = EventBus()
    bus.publish("container", "create", "a")
    stream = bus.subscribe()
    bus.publish("container", "start", "a")
    event = await anext(stream)
    assert (event.action, event.actor_id) == ("start", "a")
    waiting = asyncio.create_task(anext(stream))
    await asyncio.sleep(0)
    bus.publish("container", "die", "a", {"exitCode": "1"})
    assert (await waiting).attributes == {"exitCode": "1"}


async def test_since_looks_back_and_until_ends() -> None:
    bus = EventBus()
    bus.publish("container", "create", "a")
    stream = bus.subscribe(since=0, until=time.time_ns())
    bus.publish("container", "later", "a")
    assert [event.action async for event in stream] == ["create"]
    stream = bus.subscribe(until=time.time_ns() + 50_000_000)
    bus.publish("container", "soon", "a")
    assert [event.action async for event in stream] == ["soon"]


async def test_memory_is_bounded() -> None:
    bus = EventBus()
    for number in range(REMEMBERED + 10):
        bus.publish("container", str(number), "a")
    stream = bus.subscribe(since=0, until=time.time_ns())
    assert (await anext(stream)).action == "10"


async def test_a_closed_stream_ends() -> None:
    bus = EventBus()
    stream = bus.subscribe()
    waiting = asyncio.create_task(anext(stream, None))
    await asyncio.sleep(0)
    await stream.aclose()  # type: ignore[attr-defined]
    assert await waiting is None
    assert not bus._subscribers


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"type": ["container"]}, True),
        ({"type": ["image"]}, False),
        ({"event": ["health_status"]}, True),
        ({"event": ["health_status: healthy"]}, True),
        ({"event": ["health"]}, False),
        ({"container": ["ship"]}, True),
        ({"container": ["abcd"]}, True),
        ({"container": ["shi"]}, False),
        ({"image": ["busybox"]}, True),
        ({"image": ["debian"]}, False),
        ({"label": ["a=1", "b"]}, True),
        ({"label": ["a=2"]}, False),
        ({"volume": ["ship"]}, False),
        ({"container": ["ship"], "event": ["die"]}, False),
        ({}, True),
    ],
)
def test_filters(filters: dict[str, list[str]], expected: bool) -> None:
    event = Event(
        "container",
        "health_status: healthy",
        "abcdef" * 10,
        1,
        {"name": "ship", "image": "busybox:latest", "a": "1", "b": ""},
    )
    assert compile_filters(filters)(event) is expected


def test_an_unknown_filter() -> None:
    with pytest.raises(InvalidArgument, match='invalid filter "colour"'):
        compile_filters({"colour": ["red"]})
