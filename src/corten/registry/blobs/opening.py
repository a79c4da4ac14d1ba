"""The blob store that a configuration names."""

from __future__ import annotations

from pathlib import Path

from corten.errors import InvalidArgument
from corten.registry.blobs.local import LocalBlobs
from corten.registry.blobs.store import BlobStore
from corten.registry.config import Config


def open_blobs(config: Config) -> BlobStore:
    """Local files below the root, or what `storage` says. InvalidArgument."""
    if not config.storage:
        return LocalBlobs(config.root_path)
    if config.storage.startswith("file://"):
        return LocalBlobs(Path(config.storage.removeprefix("file://")))
    try:
        from corten.registry.blobs.objects import ObjectBlobs
    except ModuleNotFoundError as error:
        raise InvalidArgument("object stores need obstore: pip install 'corten[registry]'") from error
    return ObjectBlobs.from_url(config.storage, config.storage_options)
