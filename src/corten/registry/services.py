"""What handlers work with."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from corten.registry.access import Access
from corten.registry.accounts.token_service import TokenService
from corten.registry.audit import Audit
from corten.registry.blobs.store import BlobStore
from corten.registry.config import Config
from corten.registry.location import location
from corten.registry.metadata.store import Metadata
from corten.registry.metrics import Metrics
from corten.registry.readiness import Readiness
from corten.registry.uploads import Uploads

if TYPE_CHECKING:
    from corten.registry.page.opening import Page
    from corten.registry.upstream.cache import PullThrough


@dataclass(frozen=True, slots=True)
class Services:
    """The collaborators of one process."""

    config: Config
    metadata: Metadata
    blobs: BlobStore
    uploads: Uploads
    access: Access
    audit: Audit
    readiness: Readiness
    tokens: TokenService | None = None
    upstreams: PullThrough | None = None
    metrics: Metrics | None = None
    page: Page | None = None

    def location(self, request: web.BaseRequest, path: str) -> str:
        """`path` as a client has to ask for it, through whichever proxies."""
        return location(self.config, request, path)

    def warning(self, repository: str) -> str:
        """The Warning header for a repository (distribution-spec, "Warnings"); "" for none."""
        for pattern, text in self.config.warnings.items():
            if fnmatch.fnmatchcase(repository, pattern):
                quoted = text.replace("\\", "\\\\").replace('"', '\\"')
                return f'299 - "{quoted}"'
        return ""
