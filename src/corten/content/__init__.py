"""Blobs by digest: ingest, verification, leases and garbage collection."""

from corten.content.ingest import Ingest
from corten.content.store import BlobInfo, ContentStore, Lease

__all__ = ["BlobInfo", "ContentStore", "Ingest", "Lease"]
