"""The public Python API, sync and async, over one HTTP codec."""
