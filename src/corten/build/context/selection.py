"""What an action of a file operation takes from a tree: wildcards, links and patterns worked out."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from corten.build.context.beneath import explain, open_directory, show
from corten.build.context.model import SourceTree, Stop
from corten.build.context.resolve import Place, resolve
from corten.build.context.seen_file import SeenFile
from corten.build.context.walk import Listing, Walk
from corten.build.context.wildcard import compile_component, split_wildcards
from corten.build.graph import Copy
from corten.build.instructions.suggestion import suggestion
from corten.errors import NotFound

_MOST_NAMES = 1000


@dataclass(frozen=True, slots=True)
class Match:
    """One thing that the source matched. `name` is what it is called in a destination that is a directory
    (a link's own name, not that of what it leads to). Either a `file` in the directory `directory` of the
    tree, or a directory with all that is taken from it: `listings`, itself first, walked when asked for."""

    name: str
    directory: str = ""
    file: SeenFile | None = None
    listings: Iterable[Listing] = ()


def select(tree: SourceTree, copy: Copy, *, stop: Stop | None = None) -> list[Match]:
    """The matches of `copy.source`, by name. NotFound when there are none, or not what is required;
    InvalidArgument for a pattern that is none."""
    walk = Walk(tree, copy.include, copy.exclude, stop=stop)
    for path in copy.required:
        place = resolve(tree.root, path, follow=False)
        if place is None or (walk.ignores(place.path) and not stat.S_ISDIR(place.status.st_mode)):
            raise _missing(tree, walk, path)
    base, wildcards = split_wildcards(copy.source)
    if not wildcards:
        match = _match(tree, walk, base, follow=copy.follow_links)
        if match is None:
            raise _missing(tree, walk, base)
        return [match]
    matches = []
    for path in _Glob(tree, walk, wildcards).below(base, follow=copy.follow_links):
        match = _match(tree, walk, path, follow=copy.follow_links)
        if match is not None:
            matches.append(match)
        elif not walk.ignores(path):
            raise NotFound(f"{show(path)} in {tree.name} is a symbolic link to something that is not there")
    if not matches and not copy.allow_missing:
        raise NotFound(f"nothing in {tree.name} matches {copy.source!r}")
    return matches


def _match(tree: SourceTree, walk: Walk, path: str, *, follow: bool) -> Match | None:
    """What is at `path`; None when that is nothing, or is ignored."""
    place = resolve(tree.root, path, follow=follow)
    if place is None:
        return None
    name = path.rpartition("/")[2]
    if stat.S_ISDIR(place.status.st_mode):
        listings = walk.directory(place.path)
        first = next(listings, None)
        return Match(name, listings=chain((first,), listings)) if first is not None else None
    if walk.ignores(place.path) or stat.S_ISSOCK(place.status.st_mode):
        return None
    directory, _, own = place.path.rpartition("/")
    return Match(name, directory, SeenFile(own, place.status))


class _Glob:
    """Finds what matches a path whose components have wildcards. Links are not followed on the way."""

    def __init__(self, tree: SourceTree, walk: Walk, wildcards: Sequence[str]) -> None:
        self._tree = tree
        self._walk = walk
        self._tests = [compile_component(part).fullmatch for part in wildcards]

    def below(self, base: str, *, follow: bool) -> Iterator[str]:
        """The paths below the directory `base`, by name."""
        place = resolve(self._tree.root, base, follow=follow)
        if place is None or not stat.S_ISDIR(place.status.st_mode):
            return
        pending: list[tuple[Place | None, str, int]] = [(place, place.path, 0)]
        while pending:
            place, path, depth = pending.pop()
            if depth == len(self._tests):
                yield path
                continue
            if place is None and not self._is_directory(path):
                continue
            names = sorted(filter(self._tests[depth], self._names(path)), reverse=True)
            pending += [(None, f"{path}/{name}" if path else name, depth + 1) for name in names]

    def _is_directory(self, path: str) -> bool:
        place = resolve(self._tree.root, path, follow=False)
        return place is not None and stat.S_ISDIR(place.status.st_mode)

    def _names(self, path: str) -> list[str]:
        try:
            fd = open_directory(self._tree.root, path)
            try:
                return os.listdir(fd)
            finally:
                os.close(fd)
        except OSError as error:
            raise explain(error, path, self._tree.name) from error


def _missing(tree: SourceTree, walk: Walk, path: str) -> NotFound:
    shown = show("/" + path.strip("/"))
    place = resolve(tree.root, path)
    if place is not None and (walk.ignores(place.path) or stat.S_ISDIR(place.status.st_mode)):
        return NotFound(f"{shown} is not in {tree.name}: its .dockerignore leaves it out")
    parent, _, name = path.strip("/").rpartition("/")
    directory = resolve(tree.root, parent)
    hint = ""
    if directory is not None and stat.S_ISDIR(directory.status.st_mode):
        fd = open_directory(tree.root, directory.path)
        try:
            hint = suggestion(name, os.listdir(fd)[:_MOST_NAMES])
        finally:
            os.close(fd)
    return NotFound(f"{shown} is not in {tree.name}{hint}")
