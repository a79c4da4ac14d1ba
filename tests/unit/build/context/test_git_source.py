"""Trees of git repositories, over git's own protocol from a daemon of the test's."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from corten.build.context.git_command import Git, GitFailed, without_credentials
from corten.build.context.git_source import GitFetcher, GitRepositories
from corten.build.graph import GitSource
from corten.errors import CortenError, IntegrityError, InvalidArgument, NotFound, Unsupported

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")

ENVIRONMENT = {
    **os.environ,
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@example.com",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.com",
    "GIT_ALLOW_PROTOCOL": "file:git",
}


def git(directory: Path, *args: str) -> str:
    return subprocess.run(
        ["git", "-c", "init.defaultBranch=main", *args],
        cwd=directory,
        env=ENVIRONMENT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()


def commit(repository: Path, name: str, content: str) -> str:
    path = repository / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    git(repository, "add", ".")
    git(repository, "commit", "-qm", name)
    return git(repository, "rev-parse", "HEAD")


class Server:
    """Repositories at `url`; `commits` of the one that is called repo."""

    def __init__(self, base: Path, url: str) -> None:
        self.base = base
        self.url = url
        module = base / "module"
        module.mkdir()
        git(module, "init", "-q")
        self.module_commit = commit(module, "inside", "of the module")
        repository = base / "repo"
        repository.mkdir()
        git(repository, "init", "-q")
        self.first = commit(repository, "file", "one")
        git(repository, "tag", "-a", "v1", "-m", "v1")
        git(repository, "branch", "old")
        self.second = commit(repository, "dir/file", "two")
        (repository / "dir/exec").write_text("x")
        (repository / "dir/exec").chmod(0o755)
        (repository / "link").symlink_to("dir")
        git(repository, "submodule", "--quiet", "add", f"{url}/module", "sub/module")
        self.third = commit(repository, "third", "three")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    base = tmp_path_factory.mktemp("served")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["git", "daemon", "--export-all", f"--base-path={base}", "--listen=127.0.0.1", f"--port={port}"]
    daemon = subprocess.Popen([*command, "--reuseaddr"], stderr=subprocess.DEVNULL, env=ENVIRONMENT)
    try:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield Server(base, f"git://127.0.0.1:{port}")
    finally:
        daemon.terminate()
        daemon.wait()


class Build:
    """One build's view of repositories."""

    def __init__(self, path: Path) -> None:
        self.scratch = path / "scratch"
        self.scratch.mkdir(exist_ok=True)
        self.kept = path / "kept"
        self._fetcher = GitFetcher(GitRepositories(self.kept), self.scratch, self._git)

    async def _git(self, remote: str) -> Git:
        return Git(self.scratch, remote=remote)

    async def commit(self, source: GitSource) -> str:
        return await self._fetcher.commit(source)

    async def time(self, source: GitSource) -> int:
        return await self._fetcher.time(source, await self._fetcher.commit(source))

    async def tree(self, source: GitSource) -> Path:
        return await self._fetcher.fetch(source, await self._fetcher.commit(source))


@pytest.fixture
def build(tmp_path: Path) -> Build:
    return Build(tmp_path)


def names(tree: Path) -> list[str]:
    found = []
    for directory, directories, files in os.walk(tree):
        if ".git" in directories:
            directories.remove(".git")
            found.append(os.path.relpath(os.path.join(directory, ".git"), tree) + "/")
        found += [os.path.relpath(os.path.join(directory, name), tree) for name in files]
        found += [
            os.path.relpath(os.path.join(directory, name), tree)
            for name in directories
            if os.path.islink(os.path.join(directory, name))
        ]
    return sorted(found)


ALL = [".gitmodules", "dir/exec", "dir/file", "file", "link", "sub/module/inside", "third"]


async def test_the_time_of_a_commit(build: Build, server: Server) -> None:
    for reference, expected in (("v1", server.first), ("", server.third)):
        shown = git(server.base / "repo", "log", "-1", "--format=%ct", expected)
        assert await build.time(GitSource(f"{server.url}/repo", reference)) == int(shown)


async def test_what_references_mean(build: Build, server: Server) -> None:
    remote = f"{server.url}/repo"
    for ref, expected in (
        ("", server.third),
        ("main", server.third),
        ("refs/heads/main", server.third),
        ("v1", server.first),
        ("refs/tags/v1", server.first),
        ("tags/v1", server.first),
        ("heads/old", server.first),
        (server.second, server.second),
    ):
        assert await build.commit(GitSource(remote, ref)) == expected, ref
    assert not build.kept.exists()


async def test_a_branch_comes_before_a_tag(build: Build, server: Server) -> None:
    repository = server.base / "both"
    repository.mkdir()
    git(repository, "init", "-q")
    commit(repository, "a", "1")
    git(repository, "tag", "same")
    wanted = commit(repository, "b", "2")
    git(repository, "branch", "same")
    assert await build.commit(GitSource(f"{server.url}/both", "same")) == wanted


@pytest.mark.parametrize("ref", ["", "v1", "commit"])
async def test_trees(build: Build, server: Server, ref: str) -> None:
    ref = server.second if ref == "commit" else ref
    tree = await build.tree(GitSource(f"{server.url}/repo", ref))
    assert names(tree) == {"": ALL, "v1": ["file"]}.get(ref, ["dir/file", "file"])
    assert (tree / "file").read_text() == "one"


async def test_modes_and_links(build: Build, server: Server) -> None:
    tree = await build.tree(GitSource(f"{server.url}/repo"))
    assert (tree / "dir/exec").stat().st_mode & 0o777 == 0o755
    assert (tree / "dir/file").stat().st_mode & 0o777 == 0o644
    assert (tree / "dir").stat().st_mode & 0o777 == 0o755
    assert os.readlink(tree / "link") == "dir"


async def test_the_history_stays_where_it_is(build: Build, server: Server) -> None:
    await build.tree(GitSource(f"{server.url}/repo", "main", submodules=False))
    (kept,) = build.kept.iterdir()
    assert git(kept, "rev-list", "--count", server.third) == "1"


async def test_what_is_here_is_not_fetched_again(tmp_path: Path, server: Server) -> None:
    repository = server.base / "vanishing"
    repository.mkdir()
    git(repository, "init", "-q")
    wanted = commit(repository, "a", "1")
    source = GitSource(f"{server.url}/vanishing", wanted)
    (tmp_path / "1").mkdir()
    first = Build(tmp_path / "1")
    assert names(await first.tree(source)) == ["a"]
    shutil.rmtree(repository)
    assert names(await first.tree(source)) == ["a"]


async def test_a_repository_that_is_damaged_is_fetched_anew(build: Build, server: Server) -> None:
    source = GitSource(f"{server.url}/repo", server.second)
    await build.tree(source)
    (kept,) = build.kept.iterdir()
    (kept / "HEAD").write_text("nonsense")
    assert "file" in names(await build.tree(source))
    for path in (kept / "objects").rglob("*"):
        if path.is_file():
            path.unlink()
    assert "file" in names(await build.tree(source))


async def test_a_subdirectory(build: Build, server: Server) -> None:
    remote = f"{server.url}/repo"
    assert names(await build.tree(GitSource(remote, subdir="dir"))) == ["exec", "file"]
    assert names(await build.tree(GitSource(remote, subdir="/link/../dir/"))) == ["exec", "file"]
    assert names(await build.tree(GitSource(remote, subdir="link"))) == ["exec", "file"]
    for subdir in ("nothing", "file", "../../../../../etc"):
        with pytest.raises(NotFound, match="has no directory"):
            await build.tree(GitSource(remote, subdir=subdir))


async def test_submodules_may_be_left_out(build: Build, server: Server) -> None:
    tree = await build.tree(GitSource(f"{server.url}/repo", submodules=False))
    assert names(tree) == [name for name in ALL if not name.startswith("sub/")]


async def test_the_repository_may_be_kept(build: Build, server: Server) -> None:
    tree = await build.tree(GitSource(f"{server.url}/repo", keep_git_dir=True))
    assert ".git/" in names(tree) and "sub/module/inside" in names(tree)
    assert git(tree, "rev-parse", "HEAD") == server.third
    assert git(tree, "status", "--porcelain") == ""
    assert git(tree, "remote", "get-url", "origin") == f"{server.url}/repo"
    assert git(tree, "for-each-ref") == ""
    assert str(build.kept) not in (tree / ".git/config").read_text()


async def test_a_checksum(build: Build, server: Server) -> None:
    remote = f"{server.url}/repo"
    assert await build.commit(GitSource(remote, "main", checksum=server.third[:9])) == server.third
    with pytest.raises(IntegrityError, match=f"is at commit {server.third}, not at {server.second} as"):
        await build.commit(GitSource(remote, "main", checksum=server.second))


@pytest.mark.parametrize(
    ("remote", "ref", "error", "message"),
    [
        ("{url}/repo", "nothing", NotFound, "has no branch or tag 'nothing'"),
        ("{url}/repo", "ff" * 20, NotFound, "git://.*/repo has no commit ffff"),
        ("{url}/nothing", "", CortenError, "cannot fetch git://.*/nothing: git says"),
        ("git://127.0.0.1:1/x", "", CortenError, "cannot fetch git://127.0.0.1:1/x: git says: .*refused"),
        ("file:///etc", "", InvalidArgument, "cannot be fetched: git repositories are taken from"),
        ("ext::sh -c touch% /pwned", "", InvalidArgument, "cannot be fetched"),
        ("--upload-pack=touch /pwned", "", InvalidArgument, "is no remote"),
        ("/etc", "", CortenError, "cannot fetch /etc: git says: .*'file' not allowed"),
        ("{url}/repo", "--exec=x", InvalidArgument, "is no ref"),
        ("{url}/repo", "a\nb", InvalidArgument, "is no ref"),
    ],
)
async def test_what_cannot_be_fetched(
    build: Build, server: Server, remote: str, ref: str, error: type[CortenError], message: str
) -> None:
    with pytest.raises(error, match=message) as told:
        await build.tree(GitSource(remote.format(url=server.url), ref))
    assert "\n" not in told.value.message


async def test_submodules_cannot_lead_to_the_host(build: Build, server: Server, tmp_path: Path) -> None:
    repository = server.base / "evil"
    repository.mkdir()
    git(repository, "init", "-q")
    git(repository, "submodule", "--quiet", "add", str(server.base / "module"), "sub")
    commit(repository, "a", "1")
    with pytest.raises(CortenError, match=r"git says: .*'file' not allowed"):
        await build.tree(GitSource(f"{server.url}/evil"))


async def test_hooks_and_configuration_of_the_host_do_not_count(
    build: Build, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    ran = tmp_path / "ran"
    for name in ("post-checkout", "reference-transaction", "post-index-change"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {ran}\n")
        (hooks / name).chmod(0o755)
    config = tmp_path / ".gitconfig"
    config.write_text(f"[core]\n\thooksPath = {hooks}\n[init]\n\ttemplateDir = {tmp_path}/template\n")
    (tmp_path / "template").mkdir()
    shutil.copytree(hooks, tmp_path / "template/hooks")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_TEMPLATE_DIR", str(tmp_path / "template"))
    await build.tree(GitSource(f"{server.url}/repo", keep_git_dir=True))
    await build.tree(GitSource(f"{server.url}/repo"))
    assert not ran.exists()


async def test_several_at_once(build: Build, server: Server) -> None:
    source = GitSource(f"{server.url}/repo")
    trees = await asyncio.gather(*[build.tree(source) for _ in range(3)])
    assert [names(tree) for tree in trees] == [ALL] * 3


async def test_a_cancelled_fetch_leaves_no_process(build: Build) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        task = asyncio.create_task(build.commit(GitSource(f"git://127.0.0.1:{silent.getsockname()[1]}/x")))
        loop = asyncio.get_running_loop()
        silent.setblocking(False)
        connection, _ = await loop.sock_accept(silent)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        # The other side of the connection is gone.
        connection.setblocking(False)
        while await asyncio.wait_for(loop.sock_recv(connection, 4096), 5):
            pass
        connection.close()


async def test_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unsupported, match="need the program git, which is not installed here"):
        Git(tmp_path)


async def test_credentials_are_shown_to_nobody(tmp_path: Path) -> None:
    secret = Git(tmp_path, remote="https://example.com/x.git", authorization="basic SECRET")
    assert (
        (await secret("config", "--get", "http.https://example.com/.extraheader")).strip().endswith("SECRET")
    )
    assert without_credentials("fetch https://user:pass@host/x and ssh://git@h/y") == (
        "fetch https://host/x and ssh://h/y"
    )
    with pytest.raises(GitFailed) as told:
        await secret("ls-remote", "--", "https://user:SECRET@127.0.0.1:1/x.git")
    assert "SECRET" not in told.value.message
