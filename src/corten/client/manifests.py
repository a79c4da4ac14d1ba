"""Manifests of registries, and lists of them that are put together here: no engine takes part."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from corten.client.results import Progress
from corten.errors import CortenError
from corten.image.manifest_list import ManifestList, ManifestLists, push_list
from corten.image.model import Progress as Step
from corten.image.registry.client import Fetched, Registries, RegistryClient
from corten.image.registry.credentials import docker_config
from corten.oci.image_config import decode_config
from corten.oci.manifest import (
    CONFIG_TYPES,
    INDEX_TYPES,
    MAX_CONFIG_BYTES,
    decode_index,
    decode_manifest,
    encode,
)
from corten.oci.platform import Platform
from corten.oci.reference import Reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def lists() -> ManifestLists:
    """Those of this user, beside Docker's config.json."""
    return ManifestLists(docker_config().parent / "corten-manifests")


def create(name: str, images: Sequence[str], *, amend: bool = False, tls_verify: bool = True) -> str:
    """Makes a list of what registries have under `images`; returns its whole name."""

    async def work() -> ManifestList:
        async with Registries() as registries:
            return await lists().create(name, images, registries, amend=amend, insecure=not tls_verify)

    return asyncio.run(work()).name


def annotate(
    name: str,
    image: str,
    *,
    os_name: str = "",
    architecture: str = "",
    variant: str = "",
    os_version: str = "",
    os_features: Sequence[str] = (),
) -> None:
    """Says for which platform an image of a list is."""
    platform = Platform(
        architecture, os_name, variant or None, os_version or None, tuple(os_features) or None
    )
    store = lists()
    store.put(store.need(name).annotated(image, platform))


def remove(name: str) -> None:
    """Forgets a list; what was pushed stays."""
    lists().remove(name)


def push(
    name: str,
    *,
    purge: bool = False,
    tls_verify: bool = True,
    report: Callable[[Progress], None] | None = None,
) -> str:
    """Pushes a list under its name; returns its digest. `purge` forgets it here then."""
    store = lists()
    manifests = store.need(name)

    def tell(step: Step) -> None:
        if report is not None:
            report(Progress(text=step.status, id=step.id, current=step.current, total=step.total))

    async def work() -> str:
        async with Registries() as registries:
            return await push_list(manifests, registries, insecure=not tls_verify, report=tell)

    digest = asyncio.run(work())
    if purge:
        store.remove(name)
    return digest


def inspect(name: str, *, member: str = "", verbose: bool = False, tls_verify: bool = True) -> Any:
    """A manifest or list as JSON. `name` may be a list of this host; with `member`, one image of that list.
    `verbose` adds names, descriptors and platforms, as Docker's does."""
    local = lists().get(name)
    if member:
        wanted = Reference.parse(member).canonical
        for item in lists().need(name).members:
            if wanted in (item.named, item.reference):
                return inspect(item.reference, verbose=verbose, tls_verify=tls_verify)
        raise CortenError(f"{member} is no image of the list {name}")
    if local is not None and not verbose:
        return msgspec.json.decode(encode(local.index()))
    if local is not None:
        return [
            {"Ref": item.named, "Descriptor": msgspec.to_builtins(item.descriptor)} for item in local.members
        ]
    return asyncio.run(_inspect(Reference.parse(name), verbose, tls_verify))


async def _inspect(reference: Reference, verbose: bool, tls_verify: bool) -> Any:
    async with Registries() as registries:
        client = registries.client(reference.domain, insecure=not tls_verify)
        found = await client.manifest(reference.path, reference.digest or reference.tag or "latest")
        if not verbose:
            return msgspec.json.decode(found.data)
        if found.descriptor.media_type not in INDEX_TYPES:
            return await _verbose(client, reference, found, None)
        result = []
        for child in decode_index(found.data).manifests:
            fetched = await client.manifest(reference.path, child.digest)
            result.append(await _verbose(client, reference, fetched, child.platform))
        return result


async def _verbose(
    client: RegistryClient, reference: Reference, found: Fetched, platform: Platform | None
) -> dict[str, Any]:
    """Docker's form of `manifest inspect -v`."""
    manifest = decode_manifest(found.data)
    if platform is None and manifest.config.media_type in CONFIG_TYPES:
        data = await client.read_blob(reference.path, manifest.config, limit=MAX_CONFIG_BYTES)
        platform = decode_config(data).platform
    descriptor = msgspec.structs.replace(found.descriptor, platform=platform)
    oci = "oci" in found.descriptor.media_type
    return {
        "Ref": reference.with_digest(found.descriptor.digest).canonical
        if reference.tag is None
        else f"{reference.canonical}@{found.descriptor.digest}",
        "Descriptor": msgspec.to_builtins(descriptor),
        "OCIManifest" if oci else "SchemaV2Manifest": msgspec.json.decode(found.data),
    }
