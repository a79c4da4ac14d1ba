# Generated from corten/client/aio by scripts/generate_sync_client: change it there.
"""Query parameters that every kind of object has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from corten.client import jsontext


def filters(values: Mapping[str, str | Sequence[str]] | None) -> dict[str, str]:
    """The `filters` parameter: an object of lists, as JSON."""
    if not values:
        return {}
    table = {key: [value] if isinstance(value, str) else list(value) for key, value in values.items()}
    return {"filters": jsontext.dumps(table).decode()}
