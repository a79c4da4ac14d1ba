"""What images take on disk, and what they share."""

from __future__ import annotations

import contextlib
from collections import Counter

from corten.errors import NotFound
from corten.image.model import DiskUsage, ImageSizes, Users
from corten.image.registrar import Registrar


def disk_usage(registrar: Registrar, users: Users) -> DiskUsage:
    """Every layer is counted once in `layers_size`; a layer that two images have is shared in both."""
    images = [registrar.image(row) for row in registrar.tables.images() if not row.hidden]
    uses: Counter[str] = Counter(chain_id for image in images for chain_id in image.chain)
    sizes: dict[str, int] = {}
    for chain_id in registrar.snapshotter.walk():
        with contextlib.suppress(NotFound):
            sizes[chain_id] = registrar.snapshotter.usage(chain_id).size
    result = []
    for image in images:
        shared = sum(sizes.get(chain_id, 0) for chain_id in image.chain if uses[chain_id] > 1)
        result.append(ImageSizes(image, shared, image.size - shared, len(users.of_image(image.id))))
    blobs = sum(blob.size for blob in registrar.content.walk())
    return DiskUsage(tuple(result), sum(sizes.values()), blobs)
