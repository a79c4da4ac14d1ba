"""The Python API that blocks: generated from `corten.client.aio`."""
