"""What a view works with, and what it gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from corten.registry.access import Access, Action, Identity
from corten.registry.blobs.store import BlobStore
from corten.registry.metadata.browser import Browser
from corten.registry.metadata.browsing_records import Facts
from corten.registry.page.addresses import Address
from corten.registry.page.describer import Describer
from corten.registry.page.layers.shelf import Shelf


class Shown(NamedTuple):
    """A template and its values; `refresh` is after how many seconds the page asks again (0: not)."""

    template: str
    values: Mapping[str, Any]
    status: int = 200
    refresh: int = 0


@dataclass(frozen=True, slots=True)
class Visit:
    """One request, whose caller may see the repository that it is about. `host` is the registry's name in
    commands; `query` is what stands behind the question mark, each value once."""

    address: Address
    query: Mapping[str, str]
    identity: Identity
    host: str
    scheme: str
    access: Access
    browser: Browser
    blobs: BlobStore
    describer: Describer
    shelf: Shelf
    seen: dict[str, bool] = field(default_factory=dict)

    async def may_see(self, repository: str) -> bool:
        """Whether the caller may pull from a repository."""
        if repository not in self.seen:
            self.seen[repository] = await self.access.allows(self.identity, Action.PULL, repository)
        return self.seen[repository]

    async def facts(self, known: Mapping[str, Facts | None]) -> dict[str, Facts]:
        """Facts of manifests; those that nobody has looked at are described now."""
        found = {digest: facts for digest, facts in known.items() if facts is not None}
        missing = [digest for digest in known if digest not in found]
        return {**found, **await self.describer.describe(missing)} if missing else found
