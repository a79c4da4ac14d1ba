"""Working out what a file operation's actions make of the file system below."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from corten.build.context.archive_context import is_archive
from corten.build.context.beneath import explain, open_directory, open_file, show
from corten.build.context.contents import ContentDigests, check
from corten.build.context.manifest import describe
from corten.build.context.model import Selection, SourceTree, Stop
from corten.build.context.selection import Match, select
from corten.build.files.copying import ROOT, Copier, place_file
from corten.build.files.destination import Destination, Ids
from corten.build.files.mode import compile_mode
from corten.build.files.nodes import Directory, File
from corten.build.files.owner import Owners
from corten.build.files.unpacking import Unpacking
from corten.build.graph import Copy, FileAction, MakeDirectory, WriteFile
from corten.errors import InvalidArgument, NotFound

_WRITTEN_MODE = 0o644


class Layering:
    """`plan` takes the actions one after the other; `destination` is then what is to be written. `inputs`
    are the vertex's. `scratch` is a directory for files without a name. A context: what the layer's contents
    are read from stays open until it is left."""

    def __init__(self, inputs: Sequence[SourceTree | None], scratch: Path, stop: Stop | None) -> None:
        self._inputs = inputs
        self._scratch = scratch
        self._stop = stop
        self._now = time.time_ns()
        self._owners = Owners(inputs[0])
        self._selected: list[tuple[SourceTree, Copy, list[Match]]] = []
        self._open = ExitStack()
        self.destination = Destination(inputs[0], mtime_ns=self._now)
        self.digests: dict[int, ContentDigests] = {}
        self.notes: list[str] = []

    def __enter__(self) -> Layering:
        self._open.callback(self.destination.close)
        return self

    def __exit__(self, *exception: object) -> None:
        self._open.close()

    def plan(self, action: FileAction) -> None:
        """Works one action out."""
        if isinstance(action, Copy):
            self._copy(action)
        elif isinstance(action, WriteFile):
            self._write(action)
        else:
            self._make(action)

    def selections(self) -> tuple[Selection, ...]:
        """Of each Copy, in order. What was not read for the layer is read now."""
        found = []
        for tree, copy, matches in self._selected:
            digests = self.digests[id(tree)]
            contents = copy.contents_of_directory
            found.append(describe(digests, matches, contents=contents, stop=self._stop))
        return tuple(found)

    def _copy(self, copy: Copy) -> None:
        tree = self._inputs[copy.input]
        if tree is None:
            raise NotFound(f"{show(copy.source)} cannot be copied from an empty file system (scratch)")
        # They are gone through twice: to be copied, and to be described.
        matches = [
            replace(match, listings=tuple(match.listings)) for match in select(tree, copy, stop=self._stop)
        ]
        self._selected.append((tree, copy, matches))
        self.digests.setdefault(id(tree), ContentDigests(tree))
        owner = self._owners.find(copy.owner)
        plain = matches
        if copy.unpack:
            plain = [match for match in matches if not self._unpack(tree, match, copy, owner)]
        self._refuse_several(plain, copy)
        copier = Copier(
            self.destination,
            tree,
            owner=owner,
            change=compile_mode(copy.mode) if copy.mode else None,
            contents=copy.contents_of_directory,
        )
        with contextlib.closing(copier):
            for match in plain:
                copier.copy(match, copy.destination)

    def _refuse_several(self, matches: Sequence[Match], copy: Copy) -> None:
        """Several files to one name: only the last would be left."""
        files = [match for match in matches if match.file is not None]
        if len(files) < 2 or copy.destination.endswith(("/", "/.")):
            return
        parts = self.destination.resolve(copy.destination)
        if not isinstance(self.destination.find(parts), Directory):
            raise InvalidArgument(
                f"{copy.source!r} matches {len(files)} files, and {copy.destination!r} is no directory: end "
                "it with a slash to make it one"
            )

    def _unpack(self, tree: SourceTree, match: Match, copy: Copy, owner: Ids | None) -> bool:
        """Unpacks what is an archive; False for what is none."""
        seen = match.file
        if seen is None or not seen.is_regular:
            return False
        path = f"{match.directory}/{seen.name}" if match.directory else seen.name
        with _opened(tree, match.directory, seen.name, path) as fd:
            check(fd, seen, path, tree.name)
            if not is_archive(fd):
                return False
            parts = self.destination.resolve(copy.destination)
            top = self.destination.make_directories(parts, owner=owner or ROOT)
            unpacking = Unpacking(self.destination, self._scratch, owner=owner, stop=self._stop)
            data = unpacking.unpack(fd, f"{show(path)} of {tree.name}", top)
            self._open.callback(os.close, data)
            check(fd, seen, path, tree.name)
        return True

    def _write(self, action: WriteFile) -> None:
        owner = self._owners.find(action.owner) or ROOT
        change = compile_mode(action.mode) if action.mode else None
        mode = _WRITTEN_MODE if change is None else change(_WRITTEN_MODE, False)
        file = File(mode, *owner, self._now, action.data)
        place_file(self.destination, action.name, action.destination, file, owner)

    def _make(self, action: MakeDirectory) -> None:
        try:
            owner = self._owners.find(action.owner) or ROOT
        except InvalidArgument as error:
            # The user of a WORKDIR is whatever USER said before; other builders do not look, either.
            owner = ROOT
            self.notes.append(f"{action.path} will belong to root: {error.message}")
        parts = self.destination.resolve(action.path)
        self.destination.make_directories(parts, action.mode & 0o777, owner)


@contextlib.contextmanager
def _opened(tree: SourceTree, directory: str, name: str, path: str) -> Iterator[int]:
    try:
        parent = open_directory(tree.root, directory)
        try:
            fd = open_file(parent, name)
        finally:
            os.close(parent)
    except OSError as error:
        raise explain(error, path, tree.name) from error
    try:
        yield fd
    finally:
        os.close(fd)
