"""The Python API for asyncio. `corten.client.sync` is generated from this package by
scripts/generate_sync_client."""
