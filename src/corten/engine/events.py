"""The events facet: a bus with a bounded memory."""

from __future__ import annotations

from collections.abc import AsyncIterator

from corten.engine.results import Event, Filters


class EventBus:
    """Publishes to every subscriber, and remembers the last ones for `since`."""

    def publish(self, type: str, action: str, actor_id: str, attributes: dict[str, str] | None = None) -> None:
        raise NotImplementedError

    def subscribe(
        self, *, since: int | None = None, until: int | None = None, filters: Filters | None = None
    ) -> AsyncIterator[Event]:
        """Events from now (subscribed when this returns), or from `since`, up to `until` (ns since the epoch).

        Close the iterator (`aclose`) to unsubscribe.
        """
        raise NotImplementedError
