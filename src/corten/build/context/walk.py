"""Walking a tree: what is there, without what patterns leave out, in an order that depends on names alone."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter

from corten.build.context.attributes import read_attributes
from corten.build.context.beneath import explain, open_directory
from corten.build.context.model import SourceTree, Stop
from corten.build.context.seen_file import SeenFile
from corten.build.dockerignore import ROOT, IgnoreMatcher, Verdict, clean_path
from corten.build.dockerignore_pattern import BadPattern, compile_pattern
from corten.errors import InvalidArgument

Takes = Callable[[str], bool]

_by_name = attrgetter("name")


class Listing:
    """One directory. `path` is its path in the tree, `relative` that below where the walk began (empty for
    that itself). `files` are what is in it but directories (and sockets), by name. `selected`: it was asked
    for itself, not only as the parent of something. `attributes` are its xattrs."""

    __slots__ = ("attributes", "certain", "files", "path", "relative", "selected", "status")

    def __init__(self, path: str, relative: str, selected: bool, certain: bool) -> None:
        self.path = path
        self.relative = relative
        self.selected = selected
        self.certain = certain  # it is there, whether or not something in it is
        self.status: os.stat_result
        self.attributes: dict[bytes, bytes] | None = None
        self.files: list[SeenFile] = []


class _Rules:
    """What a directory's path has matched of the tree's `ignore`, and of the walk's own patterns."""

    __slots__ = ("excluded", "ignored", "included")

    def __init__(self, ignored: Verdict = ROOT, included: Verdict = ROOT, excluded: Verdict = ROOT) -> None:
        self.ignored = ignored
        self.included = included
        self.excluded = excluded


class _Included:
    """Patterns of what is to be taken: the same rules, the other way round."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self.matcher = IgnoreMatcher(patterns)
        try:
            self._patterns = [
                compile_pattern(clean_path(text)) for text in patterns if not text.startswith("!")
            ]
        except BadPattern as error:
            raise InvalidArgument(str(error)) from None

    def can_skip(self, directory: str) -> bool:
        """Whether nothing below `directory`, which is not taken itself, can be taken."""
        return not any(pattern.can_match_below(directory) for pattern in self._patterns)


class Walk:
    """Walks `tree`. With `include`, only what it matches is taken (and the directories that lead there);
    what `exclude` matches is not. Their paths are relative to where the walk begins, those of the tree's
    `ignore` to its root."""

    def __init__(
        self,
        tree: SourceTree,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        *,
        stop: Stop | None = None,
    ) -> None:
        self._tree = tree
        self._ignore = IgnoreMatcher(tree.ignore) if tree.ignore else None
        self._include = _Included(include) if include else None
        self._exclude = IgnoreMatcher(exclude) if exclude else None
        self._stop = stop

    def ignores(self, path: str) -> bool:
        """Whether the tree's `ignore` matches `path`, or a parent of it."""
        return self._ignored(path).excluded

    def directory(self, path: str) -> Iterator[Listing]:
        """The directory `path` and all below it, parents first; none when it is ignored, and all in it.
        Directories of which nothing is taken are left out. What goes wrong is an error that names the file.
        """
        ignored = self._ignored(path)
        pending = [(Listing(path, "", True, not ignored.excluded), _Rules(ignored))]
        uncertain: list[Listing] = []  # those that lead to the next one
        while pending:
            if self._stop is not None:
                self._stop()
            listing, rules = pending.pop()
            below = self._list(listing, rules)
            while uncertain and not _is_above(uncertain[-1], listing):
                uncertain.pop()
            if listing.certain or listing.files:
                yield from uncertain
                uncertain.clear()
                yield listing
            else:
                uncertain.append(listing)
            pending += below[::-1]

    def _ignored(self, path: str) -> Verdict:
        verdict = ROOT
        if self._ignore is not None and path:
            parts = path.split("/")
            for end in range(1, len(parts) + 1):
                verdict = self._ignore.enter("/".join(parts[:end]), verdict)
        return verdict

    def _list(self, listing: Listing, rules: _Rules) -> list[tuple[Listing, _Rules]]:
        """Fills `listing`; the directories in it that are to be walked."""
        try:
            fd = open_directory(self._tree.root, listing.path)
            try:
                listing.status = os.fstat(fd)
                listing.attributes = read_attributes(fd)
                with os.scandir(fd) as entries:
                    directories = self._entries(listing, rules, entries)
            finally:
                os.close(fd)
        except OSError as error:
            raise explain(error, listing.path, self._tree.name) from error
        listing.files.sort(key=_by_name)
        directories.sort(key=lambda below: below[0].relative)
        return directories

    def _entries(
        self, listing: Listing, rules: _Rules, entries: Iterable[os.DirEntry[str]]
    ) -> list[tuple[Listing, _Rules]]:
        path = listing.path + "/" if listing.path else ""
        relative = listing.relative + "/" if listing.relative else ""
        takes = self._takes(listing, rules)
        files = listing.files
        directories = []
        name = ""
        try:
            for entry in entries:
                name = entry.name
                status = entry.stat(follow_symlinks=False)
                kind = status.st_mode & 0o170000
                if kind == stat.S_IFDIR:
                    below = self._below(path + name, relative + name, rules)
                    if below is not None:
                        directories.append(below)
                elif kind != stat.S_IFSOCK and (takes is None or takes(name)):
                    files.append(SeenFile(name, status))
        except OSError as error:
            raise explain(error, path + name, self._tree.name) from error
        return directories

    def _below(self, path: str, relative: str, rules: _Rules) -> tuple[Listing, _Rules] | None:
        """A directory that is to be walked, because it, or something in it, may be taken."""
        ignored, included, excluded = rules.ignored, rules.included, rules.excluded
        selected = True
        if self._ignore is not None:
            ignored = self._ignore.enter(path, ignored)
            if self._ignore.can_skip(path, ignored):
                return None
        if self._include is not None:
            included = self._include.matcher.enter(relative, included)
            selected = included.excluded
            if not selected and self._include.can_skip(relative):
                return None
        if self._exclude is not None:
            excluded = self._exclude.enter(relative, excluded)
            selected = selected and not excluded.excluded
            if self._exclude.can_skip(relative, excluded):
                return None
        listing = Listing(path, relative, selected, selected and not ignored.excluded)
        return listing, _Rules(ignored, included, excluded)

    def _takes(self, listing: Listing, rules: _Rules) -> Takes | None:
        """What tells whether a file in this directory is taken; None: all are."""
        tests: list[Takes] = []
        if self._ignore is not None:
            tests.append(_tester(self._ignore, listing.path, rules.ignored, wanted=False))
        if self._include is not None:
            tests.append(_tester(self._include.matcher, listing.relative, rules.included, wanted=True))
        if self._exclude is not None:
            tests.append(_tester(self._exclude, listing.relative, rules.excluded, wanted=False))
        if not tests:
            return None
        return tests[0] if len(tests) == 1 else lambda name: all(test(name) for test in tests)


def _tester(matcher: IgnoreMatcher, directory: str, verdict: Verdict, *, wanted: bool) -> Takes:
    base = directory + "/" if directory else ""
    enter = matcher.enter
    return lambda name: enter(base + name, verdict).excluded is wanted


def _is_above(upper: Listing, lower: Listing) -> bool:
    return not upper.relative or lower.relative.startswith(upper.relative + "/")
