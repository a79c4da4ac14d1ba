"""Blobs by digest: ingest, verify, garbage collection; an OCI image layout on disk."""
