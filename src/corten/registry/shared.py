"""What the workers of a machine share: memory that is mapped before they are forked."""

from __future__ import annotations

from dataclasses import dataclass

from corten.registry.config import Config
from corten.registry.counters import Layout, SharedCounters
from corten.registry.rate_limits import Buckets
from corten.registry.routing import Resource

NO_RESOURCE = "none"
"""How requests are counted that name nothing, or are no HTTP."""


@dataclass(frozen=True, slots=True)
class Shared:
    """Numbers and buckets."""

    counters: SharedCounters
    buckets: Buckets

    @classmethod
    def of(cls, config: Config) -> Shared:
        """For as many workers as `config` asks for."""
        layout = Layout([*(resource.value for resource in Resource), NO_RESOURCE])
        return cls(SharedCounters(layout, config.worker_count()), Buckets())
