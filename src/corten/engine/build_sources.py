"""The contexts of one build."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from corten.api.build import BuildRequest, ContextDirectory, ContextEmpty
from corten.build.context.model import SourceTree
from corten.build.context.stat_cache import StatCaches
from corten.build.graph import GitSource, HttpSource, LocalSource
from corten.build.solve.protocols import Status
from corten.errors import NotFound, Unsupported


class BuildSources:
    """An asynchronous context manager; `solve.protocols.Sources`."""

    def __init__(self, request: BuildRequest, caches: StatCaches) -> None:
        self._request = request
        self._caches = caches
        self._directories: dict[str, Path] = {}
        self._trees: dict[LocalSource, SourceTree] = {}
        self._used: list[str] = []
        self._fds: list[int] = []
        self.root: int | None = None
        self.name = ""

    async def __aenter__(self) -> BuildSources:
        context = self._request.context
        if isinstance(context, ContextDirectory):
            self._directories["context"] = Path(context.path)
            self.root = self._open(context.path)
            self.name = context.path
        elif not isinstance(context, ContextEmpty):
            raise Unsupported("only a directory can be a build context by now")
        return self

    async def __aexit__(self, *exception: object) -> None:
        for fd in self._fds:
            os.close(fd)
        for path in self._used:
            await asyncio.to_thread(self._caches.release, path)

    def add(self, directories: dict[str, Path]) -> None:
        self._directories.update(directories)

    async def key(self, source: LocalSource | HttpSource | GitSource, status: Status) -> str:
        return ""

    async def open(self, source: LocalSource | HttpSource | GitSource, status: Status) -> SourceTree:
        if not isinstance(source, LocalSource):
            raise Unsupported("only a directory can be a build context by now")
        tree = self._trees.get(source)
        if tree is None:
            directory = self._directories.get(source.name)
            if directory is None:
                raise NotFound(f"there is no build context {source.name!r}")
            path = str(directory)
            self._used.append(path)
            contents = await asyncio.to_thread(self._caches.open, path)
            tree = SourceTree(self._open(path), "the build context", source.ignore, contents=contents)
            self._trees[source] = tree
        return tree

    def _open(self, path: str) -> int:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise NotFound(f"cannot open the build context {path}: {error.strerror}") from error
        self._fds.append(fd)
        return fd
