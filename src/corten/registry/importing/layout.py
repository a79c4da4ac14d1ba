"""The directory of Docker's registry (distribution, `registry/storage/paths.go`):

    <root>/docker/registry/v2/
        blobs/<algorithm>/<ab>/<hex>/data
        repositories/<name>/_manifests/revisions/<algorithm>/<hex>/link
                            _manifests/tags/<tag>/current/link
                            _layers/<algorithm>/<hex>/link

A link is a file that holds a digest. One that is not there was deleted; what is named by a sha512 digest
links to the sha256 digest of the same bytes. What is in a link is never a path: if it is no digest, it is
no link.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from corten.errors import InvalidArgument, NotFound
from corten.oci.digest import algorithm_of, hex_of
from corten.registry.names import ALGORITHMS, is_repository, is_supported_digest, is_tag

_LINK_BYTES = 200
_BELOW = ("", "v2", "registry/v2", "docker/registry/v2")


class Revision(NamedTuple):
    """A manifest of a repository; `pushed` in milliseconds since 1970."""

    digest: str
    pushed: int


class Tag(NamedTuple):
    """A tag; `updated` in milliseconds since 1970. `digest` "" when its link is damaged."""

    name: str
    digest: str
    updated: int


class Layout:
    """One registry's directory. Only reads."""

    def __init__(self, root: str) -> None:
        self.root = root

    @classmethod
    def find(cls, directory: str) -> Layout:
        """At `directory`, or below it as a registry's configuration names it. NotFound, InvalidArgument."""
        if not os.path.isdir(directory):
            raise NotFound(f"there is no directory {directory}")
        for below in _BELOW:
            root = os.path.join(directory, below) if below else directory
            if os.path.isdir(f"{root}/repositories"):
                if not os.access(f"{root}/repositories", os.R_OK | os.X_OK):
                    raise InvalidArgument(f"{root}/repositories cannot be read")
                return cls(root.rstrip("/"))
        raise InvalidArgument(
            f"{directory} is not the storage of Docker's registry: that has docker/registry/v2/repositories"
        )

    def repositories(self) -> Iterator[tuple[str, bool]]:
        """(name, whether it is valid), in the order of names."""
        todo = [""]
        while todo:
            name = todo.pop()
            below = []
            is_one = False
            try:
                with os.scandir(f"{self.root}/repositories/{name}") as entries:
                    for entry in entries:
                        if not entry.is_dir(follow_symlinks=False):
                            continue
                        if not entry.name.startswith("_"):
                            below.append(f"{name}/{entry.name}" if name else entry.name)
                        elif entry.name == "_manifests":
                            is_one = True
            except OSError:
                if name:
                    yield name, False
                continue
            if is_one:
                yield name, is_repository(name)
            todo += sorted(below, reverse=True)

    def revisions(self, repository: str) -> list[Revision]:
        """The manifests of a repository, tagged or not."""
        found = []
        for algorithm in ALGORITHMS:
            directory = f"{self.root}/repositories/{repository}/_manifests/revisions/{algorithm}"
            for name in _names(directory):
                digest = f"{algorithm}:{name}"
                moment = _modified(f"{directory}/{name}/link")
                if moment is not None and is_supported_digest(digest):
                    found.append(Revision(digest, moment))
        return found

    def tags(self, repository: str) -> list[Tag]:
        """The tags of a repository, in the order of names."""
        directory = f"{self.root}/repositories/{repository}/_manifests/tags"
        found = []
        for name in _names(directory):
            path = f"{directory}/{name}/current/link"
            moment = _modified(path)
            if moment is not None:
                found.append(Tag(name, _read_link(path) if is_tag(name) else "", moment))
        return found

    def path_of(self, repository: str, digest: str) -> str | None:
        """The file that has the bytes of a manifest or blob; None when there is none."""
        for found in (digest, self._linked(repository, digest)):
            if found:
                name = hex_of(found)
                path = f"{self.root}/blobs/{algorithm_of(found)}/{name[:2]}/{name}/data"
                if os.path.isfile(path) and not os.path.islink(path):
                    return path
        return None

    def is_layer(self, repository: str, digest: str) -> bool:
        """Whether the repository has `digest` as a blob, and its bytes are there: an index may list such."""
        place = f"{algorithm_of(digest)}/{hex_of(digest)}/link"
        link = f"{self.root}/repositories/{repository}/_layers/{place}"
        return bool(_read_link(link)) and self.path_of(repository, digest) is not None

    def _linked(self, repository: str, digest: str) -> str:
        """What the repository's link of a digest says: the same bytes by another algorithm, it may be."""
        place = f"{algorithm_of(digest)}/{hex_of(digest)}/link"
        for kind in ("_layers", "_manifests/revisions"):
            found = _read_link(f"{self.root}/repositories/{repository}/{kind}/{place}")
            if found and found != digest:
                return found
        return ""


def _names(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except OSError:
        return []


def _modified(path: str) -> int | None:
    try:
        return os.stat(path, follow_symlinks=False).st_mtime_ns // 1_000_000
    except OSError:
        return None


def _read_link(path: str) -> str:
    """The digest in a link; "" when there is none."""
    try:
        with open(path, "rb") as file:
            text = file.read(_LINK_BYTES).decode("ascii", "replace").strip()
    except OSError:
        return ""
    return text if is_supported_digest(text) else ""
