"""What handlers work with."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass

from aiohttp import web

from corten.registry.access import Access
from corten.registry.audit import Audit
from corten.registry.blobs.store import BlobStore
from corten.registry.config import Config
from corten.registry.metadata.store import Metadata
from corten.registry.uploads import Uploads

_HOST = re.compile(r"[A-Za-z0-9._~-]+(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](?::[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class Services:
    """The collaborators of one process."""

    config: Config
    metadata: Metadata
    blobs: BlobStore
    uploads: Uploads
    access: Access
    audit: Audit

    def location(self, request: web.BaseRequest, path: str) -> str:
        """`path` as a client has to ask for it: what it called this registry, through whichever proxies.

        A proxy that ends TLS says so in X-Forwarded-Proto, and X-Forwarded-Host has the name that the
        client used. The answer goes to the client that has sent these headers; a forged one leads astray
        nobody else.
        """
        if self.config.external_url:
            return self.config.external_url.rstrip("/") + path
        headers = request.headers
        scheme = headers.get("X-Forwarded-Proto", "").partition(",")[0].strip().lower()
        if scheme not in ("http", "https"):
            scheme = request.scheme
        host = headers.get("X-Forwarded-Host", "").partition(",")[0].strip() or headers.get("Host", "")
        if not _HOST.fullmatch(host):
            return path
        return f"{scheme}://{host}{path}"

    def warning(self, repository: str) -> str:
        """The Warning header for a repository (distribution-spec, "Warnings"); "" for none."""
        for pattern, text in self.config.warnings.items():
            if fnmatch.fnmatchcase(repository, pattern):
                quoted = text.replace("\\", "\\\\").replace('"', '\\"')
                return f'299 - "{quoted}"'
        return ""
