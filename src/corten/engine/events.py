"""The events facet: a bus with a bounded memory."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable

from corten.engine.results import Event, Filters
from corten.engine.timestamp import now
from corten.errors import InvalidArgument

REMEMBERED = 1024
"""How many events `since` can look back on. Docker's daemon keeps 256."""

BACKLOG = 16384
"""How far a subscriber may fall behind before it loses its oldest events."""

_ALIASES = {
    "container": "container",
    "image": "image",
    "volume": "volume",
    "network": "network",
    "daemon": "daemon",
}
_KEYS = frozenset({*_ALIASES, "type", "event", "label", "scope"})


class EventBus:
    """Publishes to every subscriber, and remembers the last ones for `since`."""

    def __init__(self) -> None:
        self._ring: deque[Event] = deque(maxlen=REMEMBERED)
        self._subscribers: set[_Subscription] = set()

    def publish(
        self, type: str, action: str, actor_id: str, attributes: dict[str, str] | None = None
    ) -> None:
        """Tells everybody; never waits."""
        event = Event(type, action, actor_id, now(), attributes or {})
        self._ring.append(event)
        for subscriber in self._subscribers:
            subscriber.push(event)

    def subscribe(
        self, *, since: int | None = None, until: int | None = None, filters: Filters | None = None
    ) -> AsyncIterator[Event]:
        """Events from now (subscribed when this returns), or from `since`, up to `until` (ns since 1970).

        Close the iterator (`aclose`) to unsubscribe.
        """
        matches = compile_filters(filters or {})
        past = [event for event in self._ring if since is not None and event.time_nano >= since]
        subscription = _Subscription(past, until, matches, self._subscribers.discard)
        self._subscribers.add(subscription)
        return subscription


class _Subscription(AsyncIterator[Event]):
    def __init__(
        self,
        past: list[Event],
        until: int | None,
        matches: Callable[[Event], bool],
        forget: Callable[[_Subscription], None],
    ) -> None:
        self._queue: deque[Event] = deque((event for event in past if matches(event)), maxlen=BACKLOG)
        self._until = until
        self._matches = matches
        self._forget = forget
        self._wake = asyncio.Event()
        self._closed = False

    def push(self, event: Event) -> None:
        if self._matches(event):
            self._queue.append(event)
            self._wake.set()

    async def __anext__(self) -> Event:
        while not self._closed:
            if self._queue:
                event = self._queue.popleft()
                if self._until is not None and event.time_nano > self._until:
                    break
                return event
            self._wake.clear()
            timeout = None if self._until is None else (self._until - time.time_ns()) / 1e9
            if timeout is not None and timeout <= 0:
                break
            try:
                async with asyncio.timeout(timeout):
                    await self._wake.wait()
            except TimeoutError:
                break
        self._forget(self)
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self._closed = True
        self._wake.set()
        self._forget(self)


def compile_filters(filters: Filters) -> Callable[[Event], bool]:
    """A predicate for Docker's event filters; InvalidArgument for an unknown one."""
    for key in filters:
        if key not in _KEYS:
            raise InvalidArgument(f'invalid filter "{key}": events know {", ".join(sorted(_KEYS))}')
    if not filters:
        return lambda event: True

    def matches(event: Event) -> bool:
        return all(not values or _match_one(event, key, values) for key, values in filters.items())

    return matches


def _match_one(event: Event, key: str, values: list[str]) -> bool:
    if key == "type":
        return event.type in values
    if key == "scope":
        return event.scope in values
    if key == "event":
        # "health_status: healthy" answers to "health_status", "exec_create: sh" to "exec_create".
        return any(event.action == value or event.action.startswith(value + ":") for value in values)
    if key == "label":
        return all(_has_label(event.attributes, value) for value in values)
    if key == "image" and event.type == "container":
        image = event.attributes.get("image", "")
        return any(image == value or image.split(":")[0] == value for value in values)
    if event.type != key:
        return False
    name = event.attributes.get("name", "")
    return any(
        value
        and (
            event.actor_id == value or name == value or (len(value) >= 4 and event.actor_id.startswith(value))
        )
        for value in values
    )


def _has_label(attributes: dict[str, str], wanted: str) -> bool:
    key, separator, value = wanted.partition("=")
    return key in attributes and (not separator or attributes[key] == value)
