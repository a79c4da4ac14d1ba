"""What rows of several tables have to do with each other: conditions that more than one query has."""

from __future__ import annotations

from sqlalchemy import ColumnElement, FromClause, and_

from corten.registry.metadata.schema import (
    cached_manifests,
    manifest_references,
    manifests,
    repository_blobs,
)


def needs_link(references: FromClause = manifest_references) -> ColumnElement[bool]:
    """A manifest's reference needs the blob of a link. (References have no index on digests without their
    repository.)"""
    return and_(
        references.c.repository == repository_blobs.c.repository,
        references.c.target == repository_blobs.c.digest,
    )


def is_copy_of_manifest() -> ColumnElement[bool]:
    """The row of a manifest that came from upstream, and was not pushed since."""
    return and_(
        cached_manifests.c.repository == manifests.c.repository,
        cached_manifests.c.digest == manifests.c.digest,
    )


def is_copy_that_refers(copies: FromClause = cached_manifests) -> ColumnElement[bool]:
    """The same, of the manifest whose reference it is."""
    return and_(
        copies.c.repository == manifest_references.c.repository,
        copies.c.digest == manifest_references.c.manifest,
    )
