"""Which blobs the images and names need, why, and from which repositories they can come."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from corten.errors import IntegrityError, NotFound
from corten.image.registrar import Registrar
from corten.oci.descriptor import Descriptor
from corten.oci.manifest import INDEX_TYPES, MANIFEST_TYPES, OCI_CONFIG, decode_index, decode_manifest


@dataclass(slots=True)
class Need:
    """A blob, and who needs it. `optional`: of an index' manifests only those of some platforms are here."""

    descriptor: Descriptor
    optional: bool
    users: set[str] = field(default_factory=set)
    repositories: set[str] = field(default_factory=set)

    @property
    def is_document(self) -> bool:
        """Whether a registry has it as a manifest."""
        return self.descriptor.media_type in MANIFEST_TYPES | INDEX_TYPES


def needed(registrar: Registrar) -> dict[str, Need]:
    """By digest. What stands in a document that is missing or damaged is not known."""
    needs: dict[str, Need] = {}
    tables = registrar.tables
    names = [*tables.tags(), *tables.digests()]
    repositories: dict[str, set[str]] = {}
    for name in names:
        repositories.setdefault(name.image, set()).add(name.repository)
    for row in tables.images():
        user, places = f"image {row.id[7:19]}", repositories.get(row.id, set())
        manifest = msgspec.json.decode(row.manifest, type=Descriptor)
        layers = msgspec.json.decode(row.layers, type=tuple[Descriptor, ...])
        config = Descriptor(OCI_CONFIG, row.id, len(row.config))  # type: ignore[arg-type]
        for descriptor in (config, *layers):
            _add(needs, descriptor, False, user, places)
        _walk(registrar, needs, manifest, False, user, places)
    for name in names:
        target = msgspec.json.decode(name.target, type=Descriptor)
        _walk(registrar, needs, target, False, f"name {name.repository}", {name.repository})
    return needs


def _walk(
    registrar: Registrar,
    needs: dict[str, Need],
    descriptor: Descriptor,
    optional: bool,
    user: str,
    places: Iterable[str],
) -> None:
    pending = [(descriptor, optional)]
    seen: set[str] = set()
    while pending:
        item, optional = pending.pop()
        if item.digest in seen:
            continue
        seen.add(item.digest)
        here = registrar.content.contains(item.digest)
        _add(needs, item, optional and not here, user, places)
        if not here:
            continue
        try:
            if item.media_type in MANIFEST_TYPES:
                document = decode_manifest(registrar.content.read(item.digest))
                # An empty descriptor's data may stand in the manifest itself.
                pending += [(blob, not blob.size) for blob in (document.config, *document.layers)]
            elif item.media_type in INDEX_TYPES:
                children = decode_index(registrar.content.read(item.digest)).manifests
                pending += [(child, True) for child in children]
        except (IntegrityError, NotFound):
            continue


def _add(
    needs: dict[str, Need], descriptor: Descriptor, optional: bool, user: str, places: Iterable[str]
) -> None:
    need = needs.setdefault(descriptor.digest, Need(descriptor, optional))
    need.optional = need.optional and optional
    need.users.add(user)
    need.repositories.update(places)
