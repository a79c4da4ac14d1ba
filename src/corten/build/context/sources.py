"""The sources of one build: contexts of the client's, repositories, downloads."""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
import shutil
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import TracebackType
from typing import Protocol, TypeVar
from urllib.parse import urlsplit

from corten.build.context.archive_context import is_archive, newest_file, spool, unpack_archive
from corten.build.context.git_command import Git
from corten.build.context.git_source import GitFetcher, GitRepositories
from corten.build.context.http_source import HttpDownloads
from corten.build.context.model import SourceTree, Stop
from corten.build.context.stat_cache import StatCaches
from corten.build.graph import GitSource, HttpSource, LocalSource
from corten.errors import CortenError, InvalidArgument, NotFound
from corten.snapshot.tree import remove_tree

T = TypeVar("T")

CONTEXT = "context"
"""The name of the LocalSource that is the build's main context."""

Status = Callable[[str, int, int, bool], None]
"""See solve.protocols."""

_MAX_DOCKERFILE = 16 << 20


class Credentials(Protocol):
    """What of the client's secrets is needed (solve.protocols.Secrets)."""

    async def read(self, id: str) -> bytes | None: ...

    async def agent(self, id: str) -> str | None: ...


class ContextStore:
    """What sources keep between builds, beneath `directory`; one for the engine.

    ::

        contexts/     digests of files (stat_cache)
        downloads/    http_source
        git/          git_source
        scratch/      of builds that run
    """

    def __init__(self, directory: Path) -> None:
        self.digests = StatCaches(directory / "contexts")
        self.downloads = HttpDownloads(directory / "downloads")
        self.repositories = GitRepositories(directory / "git")
        self._scratch = directory / "scratch"

    def recover(self) -> None:
        """Once at start: removes what builds of a killed engine have left."""
        remove_tree(str(self._scratch))

    def in_use(self) -> bool:
        """Whether any build is running."""
        return self._scratch.is_dir() and any(self._scratch.iterdir())

    def new_scratch(self) -> Path:
        """A new directory for one build."""
        path = self._scratch / secrets.token_hex(8)
        path.mkdir(parents=True, mode=0o700)
        return path


class ContextSources:
    """solve.protocols.Sources: an asynchronous context manager. Contexts are given to it by `directory`,
    `archive` and `remote`, before the solver asks for them."""

    def __init__(self, store: ContextStore, credentials: Credentials | None = None) -> None:
        self._store = store
        self._credentials = credentials
        self._scratch: Path | None = None
        self._in_place: dict[str, str] = {}
        self._trees: dict[LocalSource | HttpSource | GitSource, SourceTree] = {}
        self._keys: dict[GitSource, str] = {}
        self._times: dict[str, int | None] = {}
        self._cloned: dict[str, GitSource] = {}
        self._roots: dict[str, int] = {}
        self._fds: list[int] = []
        self._used: list[str] = []

    async def __aenter__(self) -> ContextSources:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.shield(asyncio.to_thread(self._close))

    def _close(self) -> None:
        for fd in self._fds:
            os.close(fd)
        for path in self._used:
            self._store.digests.release(path)
        if self._scratch is not None:
            remove_tree(str(self._scratch))

    # -- contexts

    def directory(self, name: str, path: Path) -> None:
        """The context `name` is a directory of this host, read in place. NotFound."""
        self._in_place[name] = str(path)
        self._roots[name] = self._open(path, f"the build context {path}")

    async def archive(self, name: str, pieces: AsyncIterator[bytes], *, has_times: bool = True) -> None:
        """The context `name` is an archive, whose bytes these are; `has_times`: the times in it tell when it
        was made (see `time`). ArchiveError, NoSpace."""
        path = self._new("archive")
        await spool(pieces, path)
        newest = await self._unpack(name, path)
        self._times[name] = newest if has_times else None

    async def remote(self, name: str, url: str, *, checksum: str = "", status: Status) -> bytes | None:
        """The context `name` is an archive that `url` yields. When it yields something else, that is
        returned: a Dockerfile, without any context."""
        download = await self._store.downloads.fetch(
            url, checksum=checksum, progress=lambda done, total: status(url, done, total, False)
        )
        path = self._store.downloads.path(download)
        self._times[name] = download.modified or None
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if not await asyncio.to_thread(is_archive, fd):
                if download.size > _MAX_DOCKERFILE:
                    raise InvalidArgument(f"what {url} yields is neither an archive nor a Dockerfile")
                return await asyncio.to_thread(os.pread, fd, _MAX_DOCKERFILE, 0)
        finally:
            os.close(fd)
        status(url, download.size, download.size, True)
        newest = await self._unpack(name, path)
        self._times[name] = download.modified or newest
        return None

    async def repository(self, name: str, source: GitSource, *, status: Status) -> None:
        """The context `name` is the tree of a repository."""
        directory = await self._fetch(source, status)
        self._cloned[name] = source
        self._add(name, directory)

    def root(self, name: str = CONTEXT) -> int | None:
        """A descriptor of the context's directory, to read the Dockerfile from; it stays this object's. None
        when there is no context of that name."""
        return self._roots.get(name)

    # -- for the plan

    async def time(self, source: LocalSource | GitSource | HttpSource) -> int | None:
        """See plan.model.SourceTimes: a commit's time; Last-Modified; without it, that of the newest file of
        an archive. What a directory of the client holds has none."""
        if isinstance(source, LocalSource):
            if source.name not in self._cloned:
                return self._times.get(source.name)
            source = self._cloned[source.name]
        if isinstance(source, GitSource):
            return await self._git().time(source, await self._commit(source))
        downloads = self._store.downloads
        download = await downloads.fetch(source.url, checksum=source.checksum)
        return download.modified or await _in_thread(lambda stop: _newest(downloads.path(download), stop))

    # -- for the solver

    async def key(self, source: LocalSource | HttpSource | GitSource, status: Status) -> str:
        """See solve.protocols.Sources."""
        if isinstance(source, LocalSource):
            return ""
        if isinstance(source, GitSource):
            commit = await self._commit(source)
            flags = f"{'git' if source.keep_git_dir else ''} {'modules' if source.submodules else ''}"
            return f"{commit} {flags} {source.remote if source.keep_git_dir else ''} {source.subdir}"
        download = await self._store.downloads.fetch(
            source.url,
            checksum=source.checksum,
            progress=lambda done, total: status(source.url, done, total, False),
        )
        name = source.filename or download.filename
        return f"{download.digest} {source.mode:o} {source.uid}:{source.gid} {name}"

    async def open(self, source: LocalSource | HttpSource | GitSource, status: Status) -> SourceTree:
        """See solve.protocols.Sources."""
        tree = self._trees.get(source)
        if tree is None:
            if isinstance(source, LocalSource):
                tree = await asyncio.to_thread(self._local, source)
            elif isinstance(source, GitSource):
                tree = SourceTree(self._open(await self._fetch(source, status)), source.remote)
            else:
                tree = await self._download(source, status)
            self._trees[source] = tree
        return tree

    def _local(self, source: LocalSource) -> SourceTree:
        root = self._roots.get(source.name)
        if root is None:
            raise NotFound(f"there is no build context {source.name!r}")
        contents = None
        in_place = self._in_place.get(source.name)
        if in_place is not None:
            contents = self._store.digests.open(in_place)
            self._used.append(in_place)
        shown = "the build context" if source.name == CONTEXT else f"the build context {source.name!r}"
        return SourceTree(root, shown, source.ignore, contents=contents)

    async def _download(self, source: HttpSource, status: Status) -> SourceTree:
        """A directory with the one file in it."""
        store = self._store.downloads
        download = await store.fetch(
            source.url,
            checksum=source.checksum,
            progress=lambda done, total: status(source.url, done, total, False),
        )
        status(source.url, download.size, download.size, True)
        directory = self._new("download")
        directory.mkdir(mode=0o700)
        file = directory / os.path.basename(source.filename or download.filename)
        kept = source.mode != 0o600 or (source.uid, source.gid) != (0, 0)
        await asyncio.to_thread(_place, store.path(download), file, source if kept else None)
        owned = (source.uid, source.gid) != (0, 0)
        return SourceTree(self._open(directory), source.url, keep_owners=owned)

    # -- repositories

    async def _commit(self, source: GitSource) -> str:
        if source not in self._keys:
            self._keys[source] = await self._git().commit(source)
        return self._keys[source]

    async def _fetch(self, source: GitSource, status: Status) -> Path:
        commit = await self._commit(source)
        status(f"git fetch {commit[:12]}", 0, 0, False)
        path = await self._git().fetch(source, commit)
        status(f"git fetch {commit[:12]}", 0, 0, True)
        return path

    def _git(self) -> GitFetcher:
        return GitFetcher(self._store.repositories, self._home(), self._make_git)

    async def _make_git(self, remote: str) -> Git:
        """With the client's credentials, as BuildKit takes them: the secrets GIT_AUTH_TOKEN and
        GIT_AUTH_HEADER, or those with the host's name behind a dot; the agent `default`."""
        authorization = agent = ""
        if self._credentials is not None:
            if remote.startswith(("http://", "https://")):
                authorization = await self._authorization(urlsplit(remote).hostname or "")
            else:
                agent = await self._credentials.agent("default") or ""
        return Git(self._home(), agent=agent, remote=remote, authorization=authorization)

    async def _authorization(self, host: str) -> str:
        assert self._credentials is not None
        for suffix in (f".{host}", ""):
            header = await self._credentials.read(f"GIT_AUTH_HEADER{suffix}")
            if header is not None:
                return header.decode().strip()
            token = await self._credentials.read(f"GIT_AUTH_TOKEN{suffix}")
            if token is not None:
                return "basic " + base64.b64encode(b"x-access-token:" + token.strip()).decode()
        return ""

    # -- directories

    def _home(self) -> Path:
        if self._scratch is None:
            self._scratch = self._store.new_scratch()
        return self._scratch

    def _new(self, kind: str) -> Path:
        return self._home() / f"{kind}-{secrets.token_hex(6)}"

    async def _unpack(self, name: str, path: Path) -> int | None:
        """The time of its newest file."""
        target = self._new("context")
        target.mkdir(mode=0o755)
        newest = await _in_thread(lambda stop: unpack_archive(path, target, stop=stop))
        if path.parent == self._scratch:
            path.unlink()
        self._add(name, target)
        return newest

    def _add(self, name: str, directory: Path) -> None:
        self._roots[name] = self._open(directory)

    def _open(self, path: Path, shown: str = "") -> int:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise NotFound(f"cannot open {shown or path}: {error.strerror}") from error
        self._fds.append(fd)
        return fd


def _place(download: Path, file: Path, source: HttpSource | None) -> None:
    """Without `source` the very file of the downloads; with it, a copy that has its mode and owner."""
    if source is None:
        try:
            os.link(download, file)
            return
        except OSError:
            pass  # a file system without links
    shutil.copyfile(download, file)
    modified = download.stat().st_mtime
    if source is not None:
        if (source.uid, source.gid) != (0, 0):
            os.chown(file, source.uid, source.gid)
        file.chmod(source.mode)
    os.utime(file, (modified, modified))


def _newest(path: Path, stop: Stop) -> int | None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return newest_file(fd, stop=stop)
    finally:
        os.close(fd)


class _Stopped(CortenError):
    def __init__(self) -> None:
        super().__init__("the build was cancelled")


async def _in_thread(work: Callable[[Stop], T]) -> T:
    """In a thread; when the caller is cancelled, it is told to stop, and its end is waited for."""
    cancelled = threading.Event()

    def stop() -> None:
        if cancelled.is_set():
            raise _Stopped

    future = asyncio.ensure_future(asyncio.to_thread(work, stop))
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        cancelled.set()
        await asyncio.wait({future})
        if not future.cancelled():
            future.exception()
        raise
