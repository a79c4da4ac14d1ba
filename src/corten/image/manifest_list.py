"""Lists of manifests that are being put together: which image is for which platform, until the push."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import msgspec

from corten.errors import Conflict, InvalidArgument, NotFound
from corten.image.copy.copier import CopyOptions, copy
from corten.image.copy.registry import RegistryDestination, RegistrySource
from corten.image.model import Report, silent
from corten.image.registry.client import Fetched, Registries, RegistryClient
from corten.oci.descriptor import Descriptor
from corten.oci.digest import Digest
from corten.oci.image_config import decode_config
from corten.oci.manifest import (
    CONFIG_TYPES,
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    INDEX_TYPES,
    MAX_CONFIG_BYTES,
    OCI_INDEX,
    Index,
    decode_index,
    decode_manifest,
    encode,
)
from corten.oci.platform import Platform
from corten.oci.reference import Reference


class Member(msgspec.Struct, frozen=True):
    """`reference` is where it is: a repository and a digest. `named` is what the user called it."""

    reference: str
    named: str
    descriptor: Descriptor


class ManifestList(msgspec.Struct, frozen=True):
    """A list under its canonical name."""

    name: str
    members: tuple[Member, ...] = ()

    def index(self) -> Index:
        """What is pushed: Docker's kind when all members are, OCI's otherwise."""
        docker = all(member.descriptor.media_type == DOCKER_MANIFEST for member in self.members)
        return Index(
            manifests=tuple(member.descriptor for member in self.members),
            schema_version=2,
            media_type=DOCKER_INDEX if docker and self.members else OCI_INDEX,
        )

    def annotated(self, named: str, platform: Platform) -> ManifestList:
        """With what `platform` says of one member; its empty fields change nothing."""
        wanted = Reference.parse(named).canonical
        members = []
        found = False
        for member in self.members:
            if wanted in (member.named, member.reference):
                found = True
                descriptor = msgspec.structs.replace(
                    member.descriptor, platform=_merged(member.descriptor.platform, platform)
                )
                member = msgspec.structs.replace(member, descriptor=descriptor)
            members.append(member)
        if not found:
            raise NotFound(f"manifest for image {named} does not exist in {self.name}")
        return msgspec.structs.replace(self, members=tuple(members))


def _merged(old: Platform | None, new: Platform) -> Platform:
    old = old or Platform()
    return Platform(
        architecture=new.architecture or old.architecture,
        os=new.os or old.os,
        variant=new.variant or old.variant,
        os_version=new.os_version or old.os_version,
        os_features=new.os_features or old.os_features,
    )


class ManifestLists:
    """The lists of one user: a file each below `directory`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def _path(self, name: str) -> Path:
        return self._directory / f"{quote(Reference.parse(name).canonical, safe='')}.json"

    def get(self, name: str) -> ManifestList | None:
        """None when there is none of that name."""
        try:
            return msgspec.json.decode(self._path(name).read_bytes(), type=ManifestList)
        except FileNotFoundError:
            return None
        except msgspec.MsgspecError as error:
            raise InvalidArgument(f"cannot read {self._path(name)}: {error}") from error

    def need(self, name: str) -> ManifestList:
        """NotFound when there is none of that name."""
        found = self.get(name)
        if found is None:
            raise NotFound(f"No such manifest: {name}: make it by 'corten manifest create'")
        return found

    def put(self, manifests: ManifestList) -> None:
        """Keeps a list, in place of an earlier one."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._path(manifests.name)
        temporary = path.with_name(f".{secrets.token_hex(8)}")
        temporary.write_bytes(msgspec.json.format(msgspec.json.encode(manifests), indent=2))
        os.replace(temporary, path)

    def remove(self, name: str) -> None:
        """NotFound when there is none of that name."""
        try:
            self._path(name).unlink()
        except FileNotFoundError:
            raise NotFound(f"No such manifest: {name}") from None

    async def create(
        self, name: str, images: Sequence[str], registries: Registries, *, amend: bool, insecure: bool
    ) -> ManifestList:
        """A list of what the registries have under `images`; an index counts with all its images."""
        known = self.get(name)
        if known is not None and not amend:
            raise Conflict(f"refusing to amend an existing manifest list {name} with no --amend flag")
        members = {member.descriptor.digest: member for member in (known.members if known else ())}
        for image in images:
            for member in await _members(image, registries, insecure):
                members[member.descriptor.digest] = member
        made = ManifestList(Reference.parse(name).canonical, tuple(members.values()))
        self.put(made)
        return made


async def _members(image: str, registries: Registries, insecure: bool) -> list[Member]:
    reference = Reference.parse(image)
    client = registries.client(reference.domain, insecure=insecure)
    found = await client.manifest(reference.path, reference.digest or reference.tag or "latest")
    if found.descriptor.media_type in INDEX_TYPES:
        children = decode_index(found.data).manifests
        return [_member(reference, child) for child in children]
    platform = await _platform(client, reference, found)
    return [_member(reference, msgspec.structs.replace(found.descriptor, platform=platform))]


def _member(reference: Reference, descriptor: Descriptor) -> Member:
    place = reference.with_digest(descriptor.digest)
    return Member(place.canonical, reference.canonical, descriptor)


async def _platform(client: RegistryClient, reference: Reference, found: Fetched) -> Platform | None:
    config = decode_manifest(found.data).config
    if config.media_type not in CONFIG_TYPES:
        return None
    data = await client.read_blob(reference.path, config, limit=MAX_CONFIG_BYTES)
    return decode_config(data).platform


async def push_list(
    manifests: ManifestList, registries: Registries, *, insecure: bool, report: Report = silent
) -> Digest:
    """Pushes a list; images of other repositories are copied into its own first."""
    target = Reference.parse(manifests.name)
    client = registries.client(target.domain, insecure=insecure)
    for member in manifests.members:
        place = Reference.parse(member.reference)
        if (place.domain, place.path) == (target.domain, target.path):
            continue
        source = RegistrySource(registries.client(place.domain, insecure=insecure), place)
        destination = RegistryDestination(client, target.with_digest(member.descriptor.digest))
        options = CopyOptions("all", preserve_digests=True)
        await copy(source, await source.top(), destination, options, report)
    index = manifests.index()
    return await client.put_manifest(
        target.path, target.digest or target.tag or "latest", encode(index), index.media_type
    )
