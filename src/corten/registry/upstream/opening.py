"""The cache that a configuration asks for. What it needs is imported only then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from corten.registry.audit import Audit
from corten.registry.blobs.store import BlobStore
from corten.registry.config import Config
from corten.registry.metadata.store import Metadata
from corten.registry.uploads import Uploads

if TYPE_CHECKING:
    from corten.registry.upstream.cache import PullThrough


def open_upstreams(
    config: Config, metadata: Metadata, blobs: BlobStore, uploads: Uploads, audit: Audit
) -> PullThrough | None:
    """None where no upstream is configured."""
    if not config.upstreams:
        return None
    from corten.registry.upstream.cache import PullThrough

    return PullThrough(config, metadata, blobs, uploads, audit)
