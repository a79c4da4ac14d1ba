"""The sources of one build, and that nothing of them stays."""

from __future__ import annotations

import asyncio
import gzip
import io
import os
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from corten.build.context import sources as sources_module
from corten.build.context.selection_digest import digest_selection
from corten.build.context.sources import ContextSources, ContextStore
from corten.build.graph import Copy, GitSource, HttpSource, LocalSource
from corten.errors import ArchiveError, NotFound
from tests.unit.build.context.test_http_source import serving
from tests.unit.build.context.trees import plant
from tests.unit.snapshot.archives import device, directory, member, symlink, tar_of


def nothing(id: str, done: int, total: int, complete: bool) -> None:
    pass


@pytest.fixture
def store(tmp_path: Path) -> ContextStore:
    return ContextStore(tmp_path / "build")


def left(tmp_path: Path) -> list[str]:
    scratch = tmp_path / "build/scratch"
    return os.listdir(scratch) if scratch.exists() else []


async def pieces(data: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def listing(root: int) -> list[str]:
    found = []
    for base, directories, files in os.walk(f"/proc/self/fd/{root}"):
        found += [
            os.path.relpath(os.path.join(base, name), f"/proc/self/fd/{root}") for name in files + directories
        ]
    return sorted(found)


async def test_a_directory_is_read_in_place(store: ContextStore, tmp_path: Path) -> None:
    context = plant(tmp_path / "context", {"f": "x", "ignored": "y"})
    async with ContextSources(store) as sources:
        sources.directory("context", context)
        assert sources.root() is not None and sources.root("other") is None
        source = LocalSource("context", ("ignored",))
        assert await sources.key(source, nothing) == ""
        tree = await sources.open(source, nothing)
        assert await sources.open(source, nothing) is tree
        assert digest_selection(tree, Copy(1, "/", "/")).files == 1
        assert tree.contents is not None and not tree.keep_owners
        with pytest.raises(NotFound, match="there is no build context 'other'"):
            await sources.open(LocalSource("other"), nothing)
    assert left(tmp_path) == []
    with pytest.raises(OSError):
        os.fstat(tree.root)


async def test_a_directory_that_is_none(store: ContextStore, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    async with ContextSources(store) as sources:
        for name in ("nothing", "file"):
            with pytest.raises(NotFound, match="cannot open the build context"):
                sources.directory("context", tmp_path / name)


ARCHIVE = [
    directory("d/", 0o711),
    member("d/f", b"x", mode=0o640, uid=5),
    symlink("l", "/etc"),
    device("n", 1, 3),
]


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
async def test_an_archive(store: ContextStore, tmp_path: Path, compress: type[bytes]) -> None:
    async with ContextSources(store) as sources:
        await sources.archive("context", pieces(compress(tar_of(ARCHIVE))))
        root = sources.root()
        assert root is not None
        # No device is made on the host.
        assert listing(root) == ["d", "d/f", "l"]
        assert os.stat("d/f", dir_fd=root).st_mode & 0o7777 == 0o640
        assert os.stat("d/f", dir_fd=root).st_uid == os.geteuid()
        tree = await sources.open(LocalSource("context"), nothing)
        assert digest_selection(tree, Copy(1, "/", "/")).files == 2
        assert [
            name.partition("-")[0] for name in os.listdir(tmp_path / "build/scratch" / left(tmp_path)[0])
        ] == ["context"]
    assert left(tmp_path) == []


async def test_the_times_of_sources(store: ContextStore, tmp_path: Path) -> None:
    modified = "Tue, 05 Mar 2024 10:00:00 GMT"
    archive = tar_of(
        [
            directory("d/", mtime=3000),
            member("d/older", b"x", mtime=1000),
            member("d/newer", b"x", mtime=2000.7),
        ]
    )

    async def handler(request: web.Request) -> web.StreamResponse:
        headers = {"Last-Modified": modified} if "dated" in request.path else {}
        body = b"FROM scratch" if "plain" in request.path else archive
        return web.Response(body=body, headers=headers)

    async with serving(handler) as url, ContextSources(store) as sources:
        await sources.archive("upload", pieces(gzip.compress(archive)))
        await sources.archive("sent", pieces(archive), has_times=False)
        await sources.remote("remote", f"{url}/a", status=nothing)
        await sources.remote("dated", f"{url}/dated", status=nothing)
        await sources.remote("plain", f"{url}/dated-plain", status=nothing)
        sources.directory("here", plant(tmp_path / "here", {"f": "x"}))
        found = {
            name: await sources.time(LocalSource(name, ("ignored",)))
            for name in ("upload", "sent", "remote", "dated", "plain", "here", "context")
        }
        assert found == {
            "upload": 2000,
            "sent": None,
            "remote": 2000,
            "dated": 1709632800,
            "plain": 1709632800,
            "here": None,
            "context": None,
        }
        assert await sources.time(HttpSource(f"{url}/b", "b")) == 2000
        assert await sources.time(HttpSource(f"{url}/dated-b", "b")) == 1709632800
        assert await sources.time(HttpSource(f"{url}/plain", "b")) is None


@pytest.mark.parametrize(
    "data",
    [b"", b"nonsense" * 100, tar_of([member("../x")]), tar_of([member("x", bytes(5000))])[:3000]],
    ids=["empty", "nonsense", "outside", "truncated"],
)
async def test_an_archive_that_is_bad(store: ContextStore, tmp_path: Path, data: bytes) -> None:
    async with ContextSources(store) as sources:
        with pytest.raises(ArchiveError):
            await sources.archive("context", pieces(data))
    assert left(tmp_path) == []


async def test_links_in_an_archive_lead_nowhere(store: ContextStore, tmp_path: Path) -> None:
    (tmp_path / "victim").mkdir()
    data = tar_of([symlink("l", str(tmp_path / "victim")), member("l/x", b"1")])
    async with ContextSources(store) as sources:
        try:
            await sources.archive("context", pieces(data))
        except ArchiveError:
            pass
    assert list((tmp_path / "victim").iterdir()) == []


async def test_an_upload_that_breaks_off(store: ContextStore, tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield tar_of([member("x", bytes(5000))])[:2000]
        raise ConnectionResetError

    async with ContextSources(store) as sources:
        with pytest.raises(ConnectionResetError):
            await sources.archive("context", broken())
    assert left(tmp_path) == []


async def test_a_build_that_is_cancelled_while_it_unpacks(
    store: ContextStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()
    real = sources_module.unpack_archive

    def unpack(path: Path, target: Path, *, stop: object) -> None:
        loop.call_soon_threadsafe(begun.set)
        while True:
            stop()  # type: ignore[operator]

    monkeypatch.setattr(sources_module, "unpack_archive", unpack)
    assert real is not unpack

    async def build() -> None:
        async with ContextSources(store) as sources:
            await sources.archive("context", pieces(tar_of([member("x")])))

    task = asyncio.create_task(build())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert left(tmp_path) == []


async def test_a_context_from_a_url(store: ContextStore, tmp_path: Path) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(body=tar_of(ARCHIVE) if request.path == "/tar" else b"FROM scratch\n")

    async with serving(handler) as url, ContextSources(store) as sources:
        assert await sources.remote("context", f"{url}/tar", status=nothing) is None
        root = sources.root()
        assert root is not None and listing(root) == ["d", "d/f", "l"]
        assert await sources.remote("other", f"{url}/Dockerfile", status=nothing) == b"FROM scratch\n"
        assert sources.root("other") is None
    assert left(tmp_path) == []


async def test_a_download_is_one_file(store: ContextStore, tmp_path: Path) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"content", headers={"ETag": '"1"'})

    async with serving(handler) as url, ContextSources(store) as sources:
        source = HttpSource(f"{url}/x", "name")
        key = await sources.key(source, nothing)
        assert key == await sources.key(source, nothing)
        assert key != await sources.key(HttpSource(f"{url}/x", "other"), nothing)
        tree = await sources.open(source, nothing)
        assert listing(tree.root) == ["name"]
        assert os.stat("name", dir_fd=tree.root).st_mode & 0o7777 == 0o600
        other = await sources.open(HttpSource(f"{url}/x", "../../name", mode=0o755), nothing)
        assert os.stat("name", dir_fd=other.root).st_mode & 0o7777 == 0o755
        assert os.stat("name", dir_fd=tree.root).st_mode & 0o7777 == 0o600
    assert left(tmp_path) == []


@pytest.mark.root
async def test_a_download_with_an_owner(store: ContextStore) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"content")

    async with serving(handler) as url, ContextSources(store) as sources:
        tree = await sources.open(HttpSource(url, "name", uid=5, gid=6), nothing)
        assert tree.keep_owners and os.stat("name", dir_fd=tree.root).st_uid == 5


async def test_secrets_for_repositories(store: ContextStore) -> None:
    class Secrets:
        async def read(self, id: str) -> bytes | None:
            return {"GIT_AUTH_TOKEN": b"general\n", "GIT_AUTH_HEADER.special": b"bearer x"}.get(id)

        async def agent(self, id: str) -> str | None:
            return "/agent" if id == "default" else None

    async with ContextSources(store, Secrets()) as sources:
        assert await sources._authorization("special") == "bearer x"
        assert (await sources._authorization("host")).startswith("basic ")
        plain = await sources._make_git("git@host:x")
        assert plain._environment["SSH_AUTH_SOCK"] == "/agent"
        assert not any("general" in value for value in plain._environment.values())


def test_what_a_killed_engine_left_is_removed(store: ContextStore, tmp_path: Path) -> None:
    (store.new_scratch() / "x").mkdir()
    store.recover()
    assert left(tmp_path) == []


async def test_repositories(store: ContextStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Fetcher:
        fetched = 0

        def __init__(self, *args: object) -> None:
            pass

        async def commit(self, source: GitSource) -> str:
            return "c" * 40

        async def time(self, source: GitSource, commit: str) -> int:
            assert (source.ref, commit) == ("main", "c" * 40)
            return 4000

        async def fetch(self, source: GitSource, commit: str) -> Path:
            Fetcher.fetched += 1
            return plant(tmp_path / "tree", {"f": "x"})

    monkeypatch.setattr(sources_module, "GitFetcher", Fetcher)
    async with ContextSources(store) as sources:
        source = GitSource("https://host/x.git", "main")
        assert (await sources.key(source, nothing)).startswith("c" * 40)
        assert Fetcher.fetched == 0
        assert listing((await sources.open(source, nothing)).root) == ["f"]
        assert (await sources.key(source, nothing)) != await sources.key(
            GitSource("https://host/x.git", "main", subdir="d"), nothing
        )
        await sources.repository("context", source, status=nothing)
        root = sources.root()
        assert root is not None and listing(root) == ["f"]
        assert [await sources.time(item) for item in (source, LocalSource("context"))] == [4000, 4000]


def test_archives_are_told_by_their_bytes(tmp_path: Path) -> None:
    from corten.build.context.archive_context import is_archive

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:xz") as tar:
        tar.addfile(tarfile.TarInfo("x"))
    for data, expected in ((buffer.getvalue(), True), (b"FROM scratch\n" * 100, False), (b"", False)):
        path = tmp_path / "file"
        path.write_bytes(data)
        with path.open("rb") as file:
            assert is_archive(file.fileno()) is expected
