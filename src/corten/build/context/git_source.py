"""Trees of git repositories: a commit is found, fetched (as little of its history as goes), and checked out.

What was fetched is kept, one bare repository for each remote::

    <directory>/<digest of the remote>/
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from weakref import WeakValueDictionary

from corten.build.context.beneath import show
from corten.build.context.git_command import PROTOCOLS, Git, GitFailed, without_credentials
from corten.build.context.resolve import resolve
from corten.build.graph import GitSource
from corten.errors import CortenError, IntegrityError, InvalidArgument, NotFound
from corten.snapshot.tree import remove_tree

_COMMIT = re.compile(r"[0-9a-f]{40}")
_PEELED = "^{}"

MakeGit = Callable[[str], Awaitable[Git]]
"""The Git for a remote, with the client's credentials."""


class GitRepositories:
    """Beneath `directory`. One for the engine: two builds do not fetch into one repository at a time."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # while one is held

    def lock(self, remote: str) -> asyncio.Lock:
        """To be held while the remote's repository is used."""
        return self._locks.setdefault(remote, asyncio.Lock())

    async def open(self, git: Git, remote: str) -> Path:
        """The bare repository of `remote`; a broken one is made anew."""
        path = self._directory / hashlib.sha256(remote.encode()).hexdigest()[:32]
        if (path / "HEAD").exists():
            with contextlib.suppress(GitFailed):
                await git("--git-dir", str(path), "rev-parse", "--git-dir")
                _unlock(path)
                return path
        await asyncio.to_thread(remove_tree, str(path))
        path.mkdir(parents=True, mode=0o700)
        await git("init", "--quiet", "--bare", str(path))
        return path


class GitFetcher:
    """The git sources of one build. `scratch` is a directory of the build's own."""

    def __init__(self, repositories: GitRepositories, scratch: Path, make_git: MakeGit) -> None:
        self._repositories = repositories
        self._scratch = scratch
        self._make_git = make_git

    async def commit(self, source: GitSource) -> str:
        """The hash of the commit that `source` means now, without fetching it. NotFound, IntegrityError when
        it is not the one of `source.checksum`."""
        _check(source)
        with self._explained(source):
            commit = await self._find(source)
        if source.checksum and not commit.startswith(source.checksum.lower()):
            raise IntegrityError(
                f"{_shown(source)} is at commit {commit}, not at {source.checksum} as its checksum says"
            )
        return commit

    async def fetch(self, source: GitSource, commit: str) -> Path:
        """A new directory with the tree of `commit`; of `source.subdir`, when there is one."""
        target = self._scratch / f"git-{secrets.token_hex(6)}"
        target.mkdir(mode=0o700)
        git = await self._make_git(source.remote)
        async with self._repositories.lock(source.remote):
            with self._explained(source):
                repository = await self._repositories.open(git, source.remote)
                await self._download(git, repository, source, commit)
                if source.keep_git_dir:
                    await self._clone(git, repository, source, commit, target)
                else:
                    await self._check_out(git, repository, commit, target)
                if source.submodules and (target / ".gitmodules").is_file():
                    await self._submodules(git, repository, source, commit, target)
        return await asyncio.to_thread(_subdirectory, target, source)

    async def time(self, source: GitSource, commit: str) -> int:
        """When `commit` was made (its committer's time), in seconds since 1970."""
        git = await self._make_git(source.remote)
        async with self._repositories.lock(source.remote):
            with self._explained(source):
                repository = await self._repositories.open(git, source.remote)
                await self._download(git, repository, source, commit)
                shown = await git("--git-dir", str(repository), "log", "-1", "--format=%ct", commit, "--")
        return int(shown)

    async def _find(self, source: GitSource) -> str:
        git = await self._make_git(source.remote)
        if _COMMIT.fullmatch(source.ref):
            return source.ref
        if not source.ref:
            said = await git("ls-remote", "--", source.remote, "HEAD")
        else:
            said = await git("ls-remote", "--", source.remote, source.ref, source.ref + _PEELED)
        found = {name: commit for commit, _, name in (line.partition("\t") for line in said.splitlines())}
        name = source.ref or "HEAD"
        # A branch comes before a tag of the same name, as for git checkout; a tag means its commit.
        for candidate in (
            name if name == "HEAD" else "",
            "refs/heads/" + name.removeprefix("refs/heads/"),
            "refs/tags/" + name.removeprefix("refs/tags/") + _PEELED,
            "refs/tags/" + name.removeprefix("refs/tags/"),
            "refs/" + name.removeprefix("refs/") + _PEELED,
            "refs/" + name.removeprefix("refs/"),
        ):
            if candidate in found:
                return found[candidate]
        if not source.ref:
            raise NotFound(f"the repository {_shown(source)} has no commits")
        raise NotFound(f"the repository {_shown(source)} has no branch or tag {source.ref!r}")

    async def _download(self, git: Git, repository: Path, source: GitSource, commit: str) -> None:
        """As little as goes: the one commit; what its name means; everything."""
        bare = ("--git-dir", str(repository))
        if await self._has(git, repository, commit):
            return
        fetch = [*bare, "fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head"]
        attempts = [[*fetch, "--depth=1", "--", source.remote, commit]]
        if source.ref and not _COMMIT.fullmatch(source.ref):
            attempts.append([*fetch, "--depth=1", "--", source.remote, source.ref])
        everything = ("+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*")
        if (repository / "shallow").exists():
            fetch.append("--unshallow")
        attempts.append([*fetch, "--force", "--", source.remote, *everything])
        for position, attempt in enumerate(attempts, 1):
            try:
                await git(*attempt)
            except GitFailed:
                if position == len(attempts):
                    raise
            if await self._has(git, repository, commit):
                # A ref of its own, or the next collection of garbage would take it.
                await git(*bare, "update-ref", f"refs/corten/{commit}", commit)
                return
        raise NotFound(f"the repository {_shown(source)} has no commit {commit}")

    async def _has(self, git: Git, repository: Path, commit: str) -> bool:
        """Whether it is there with its whole tree."""
        try:
            await git("--git-dir", str(repository), "rev-list", "--objects", "--no-walk", "--quiet", commit)
        except GitFailed:
            return False
        return True

    async def _check_out(self, git: Git, repository: Path, commit: str, target: Path) -> None:
        """Without a repository beside the files."""
        index = {"GIT_INDEX_FILE": str(repository / f"index-{secrets.token_hex(6)}")}
        bare = ("--git-dir", str(repository), "--work-tree", str(target))
        try:
            await git(*bare, "read-tree", commit, environment=index)
            await git(*bare, "checkout-index", "--all", "--force", directory=target, environment=index)
        finally:
            Path(index["GIT_INDEX_FILE"]).unlink(missing_ok=True)

    async def _clone(self, git: Git, repository: Path, source: GitSource, commit: str, target: Path) -> None:
        """With a repository of its own, that knows where it is from."""
        await git("init", "--quiet", str(target))
        await git("remote", "add", "origin", without_credentials(source.remote), directory=target)
        fetch = ("fetch", "--quiet", "--no-tags", "--depth=1", "--no-write-fetch-head")
        await git(
            *fetch,
            "--",
            f"file://{repository}",
            f"refs/corten/{commit}:refs/corten/{commit}",
            directory=target,
            protocols=("file",),
        )
        await git("checkout", "--quiet", "--force", commit, directory=target)
        await git("update-ref", "-d", f"refs/corten/{commit}", directory=target)
        await git("reflog", "expire", "--all", "--expire=now", directory=target)

    async def _submodules(
        self, git: Git, repository: Path, source: GitSource, commit: str, target: Path
    ) -> None:
        if source.keep_git_dir:
            update = ("submodule", "--quiet", "update", "--init", "--recursive", "--depth=1")
            await git(*update, directory=target)
            return
        # Submodules need a repository around them: it is taken away again, with theirs.
        await git("init", "--quiet", str(target))
        await git("remote", "add", "origin", source.remote, directory=target)
        alternates = target / ".git/objects/info/alternates"
        alternates.write_text(f"{repository / 'objects'}\n")
        shallow = repository / "shallow"
        if shallow.exists():
            shutil.copyfile(shallow, target / ".git/shallow")
        await git("read-tree", commit, directory=target)
        update = ("submodule", "--quiet", "update", "--init", "--recursive", "--depth=1")
        await git(*update, directory=target)
        await asyncio.to_thread(_remove_repositories, target)

    @contextlib.contextmanager
    def _explained(self, source: GitSource) -> Iterator[None]:
        try:
            yield
        except GitFailed as error:
            raise CortenError(f"cannot fetch {_shown(source)}: git says: {error.message}") from error


def _check(source: GitSource) -> None:
    """Nothing may look like an option, or name a program."""
    for what, text in (("remote", source.remote), ("ref", source.ref)):
        if text.startswith("-") or "\0" in text or "\n" in text:
            raise InvalidArgument(f"{text!r} is no {what} of a git repository")
    scheme = source.remote.partition("://")[0].lower() if "://" in source.remote else "ssh"
    if scheme not in PROTOCOLS or "::" in source.remote.partition("/")[0]:
        raise InvalidArgument(
            f"{_shown(source)} cannot be fetched: git repositories are taken from {', '.join(PROTOCOLS)} URLs"
        )


def _shown(source: GitSource) -> str:
    return without_credentials(source.remote)


def _unlock(repository: Path) -> None:
    """Removes the locks that a killed git has left."""
    for path in repository.glob("*.lock"):
        path.unlink(missing_ok=True)


def _remove_repositories(target: Path) -> None:
    """The .git of a tree, and those of its submodules."""
    for directory, directories, files in os.walk(target):
        if ".git" in directories:
            directories.remove(".git")
            remove_tree(os.path.join(directory, ".git"))
        elif ".git" in files:
            os.unlink(os.path.join(directory, ".git"))


def _subdirectory(target: Path, source: GitSource) -> Path:
    if not source.subdir.strip("/."):
        return target
    root = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        place = resolve(root, source.subdir)
    finally:
        os.close(root)
    if place is None or not (target / place.path).is_dir():
        raise NotFound(f"the repository {_shown(source)} has no directory {show(source.subdir)}")
    return target / place.path
