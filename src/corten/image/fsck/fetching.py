"""Blobs that are missing or damaged, from the registries that may have them."""

from __future__ import annotations

import asyncio

from corten.content import ContentStore
from corten.errors import CortenError
from corten.image.fsck.needed import Need
from corten.image.fsck.problem import Problem
from corten.image.registry.client import Registries
from corten.oci.reference import Reference


async def fetch_again(content: ContentStore, registries: Registries, problem: Problem, need: Need) -> bool:
    """Puts the blob in the place of what is there. False, with the reason as the problem's remedy, when no
    registry has it."""
    reasons = []
    for repository in sorted(need.repositories):
        reference = Reference.parse(repository, default_tag=False)
        try:
            await _fetch(content, registries, reference, need)
        except CortenError as error:
            reasons.append(error.message)
            continue
        problem.repaired = f"fetched again from {reference.domain}"
        return True
    problem.remedy = "load or pull again " + " and ".join(sorted(need.users))
    if reasons:
        problem.remedy += f" ({'; '.join(reasons)})"
    return False


async def _fetch(content: ContentStore, registries: Registries, reference: Reference, need: Need) -> None:
    client = registries.client(reference.domain)
    descriptor = need.descriptor
    with content.lease() as lease:
        lease.pin(descriptor.digest)
        if need.is_document:
            fetched = await client.manifest(reference.path, descriptor.digest)
            await asyncio.to_thread(content.add, fetched.data, expected=descriptor.digest, lease=lease)
            return
        size = descriptor.size
        with content.writer(descriptor.digest, size=size, lease=lease) as ingest:
            async for piece in client.blob(reference.path, descriptor):
                await asyncio.to_thread(ingest.write, piece)
            await asyncio.to_thread(ingest.commit)
