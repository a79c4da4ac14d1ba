"""Lists are made once, in a process that is ended when it takes too much, and kept within a budget."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

pytest.importorskip("jinja2")

from corten.errors import CortenError, LimitError, Unavailable
from corten.registry.blobs.local import LocalBlobs
from corten.registry.page.layers import shelf as shelf_module
from corten.registry.page.layers.list_file import ListFile
from corten.registry.page.layers.process import run
from corten.registry.page.layers.program import UNAVAILABLE, Task
from corten.registry.page.layers.shelf import Layer, Shelf, read_part
from corten.registry.page.settings import PageSettings
from tests.registry_gallery import layer_of, noise
from tests.registry_server import digest_of


class Fixture:
    def __init__(self, directory: Path, settings: PageSettings) -> None:
        self.directory = directory
        self.blobs = LocalBlobs(directory / "store")
        self.shelf = Shelf(str(directory / "page"), self.blobs, settings)

    def layer(self, data: bytes) -> Layer:
        name = digest_of(data)
        (self.directory / "store" / "blobs" / name[7:]).write_bytes(data)
        return Layer(name, f"blobs/{name[7:]}", len(data))

    def files(self) -> list[str]:
        return sorted(os.listdir(self.directory / "page"))


@pytest.fixture
def fixture(tmp_path: Path) -> Fixture:
    return Fixture(tmp_path, PageSettings())


def paths(path: str) -> list[bytes]:
    with ListFile(path) as found:
        return [entry.path for entry in found]


async def test_a_layer_is_listed_once(fixture: Fixture) -> None:
    layer = fixture.layer(layer_of({"a": b"1", "b": b"2"}))
    assert not fixture.shelf.is_listed(layer.digest)
    path, again = await asyncio.gather(*(fixture.shelf.listing(layer, 60) for _ in range(2)))
    assert path is not None and path == again
    assert paths(path) == [b"a", b"b"]
    os.unlink(fixture.directory / "store" / layer.location)
    assert await fixture.shelf.listing(layer, 60) == path
    assert len(fixture.files()) == 1


async def test_who_does_not_want_to_wait_asks_again(fixture: Fixture) -> None:
    layer = fixture.layer(layer_of({"a": noise(2_000_000)}))
    assert await fixture.shelf.listing(layer, 0) is None
    assert await fixture.shelf.listing(layer, 60) is not None


async def test_a_damaged_layer_is_not_read_again_and_again(fixture: Fixture) -> None:
    layer = fixture.layer(b"this is no layer" * 1000)
    path = await fixture.shelf.listing(layer, 60)
    assert path is not None
    with ListFile(path) as found:
        assert "layer" in found.summary.problem


async def test_what_differs(fixture: Fixture) -> None:
    base = fixture.layer(layer_of({"a": b"1", "b": b"2"}))
    over = fixture.layer(layer_of({"a": b"3", ".wh.b": b"", "c": b"4"}))
    found = await fixture.shelf.comparison([base], [base, over], 60)
    assert found is not None
    assert [changes.count for changes in (found.added, found.changed, found.removed)] == [1, 1, 1]
    assert await fixture.shelf.comparison([base], [base, over], 0) == found


async def test_a_comparison_that_takes_too_much_is_told_and_not_begun_again(
    fixture: Fixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = [fixture.layer(layer_of({name: b"1"})) for name in "ab"]
    for layer in layers:
        await fixture.shelf.listing(layer, 60)
    tasks: list[Task] = []

    async def too_long(task: Task, source: object = None) -> None:
        tasks.append(task)
        raise LimitError("it takes longer than the limit of 60 seconds")

    monkeypatch.setattr(shelf_module, "run", too_long)
    for _ in range(2):
        found = await fixture.shelf.comparison(layers[:1], layers[1:], 60)
        assert found is not None and "longer than the limit" in found.problem
    assert len(tasks) == 1


async def test_the_longest_unused_goes_first(tmp_path: Path) -> None:
    fixture = Fixture(tmp_path, PageSettings(list_bytes=100_000))
    layers = [
        fixture.layer(layer_of({f"{number}/{noise(60, n).hex()}": b"" for n in range(600)}))
        for number in range(4)
    ]
    for moment, layer in enumerate(layers):
        path = await fixture.shelf.listing(layer, 60)
        assert path is not None
        os.utime(path, (moment, moment))
    assert 0 < sum(os.path.getsize(tmp_path / "page" / name) for name in fixture.files()) <= 100_000
    assert fixture.shelf.is_listed(layers[-1].digest)
    assert not fixture.shelf.is_listed(layers[0].digest)


async def test_a_process_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    fixture = Fixture(tmp_path, PageSettings(seconds=1))
    bomb = fixture.layer(gzip.compress(tar_bomb(), 1))
    path = await fixture.shelf.listing(bomb, 60)
    assert path is not None
    with ListFile(path) as found:
        assert "cannot be listed" in found.summary.problem
    assert len(fixture.files()) == 1


def tar_bomb() -> bytes:
    """Headers of many small members: much to do for few bytes."""
    return (
        layer_of({})[:0]
        + b"".join(gzip.decompress(layer_of({f"{number}": b""}))[:512] for number in range(3000)) * 100
    )


async def test_a_process_that_takes_too_much_memory_is_ended(fixture: Fixture) -> None:
    layer = fixture.layer(layer_of({f"{noise(100, n).hex()}": b"" for n in range(20_000)}))
    output = str(fixture.directory / "out")
    with pytest.raises(CortenError, match="memory"):
        await run(Task("list", output, memory=24 << 20), str(fixture.directory / "store" / layer.location))


LOCKED_IN = """
import json, os, socket, subprocess, sys
sys.path[:] = json.loads(sys.argv[1])
from corten.registry.page.layers import program

def hostile(read, output, bounds):
    tried = {}
    for name, attempt in (
        ("file", lambda: open("/etc/hostname")),
        ("socket", socket.socket),
        ("program", lambda: os.posix_spawn("/bin/true", ["true"], {})),
        ("kill", lambda: os.kill(os.getppid(), 0)),
    ):
        try:
            attempt()
        except OSError:
            continue
        tried[name] = "worked"
    output.write(json.dumps([os.geteuid(), tried, read(3).decode()]).encode())

program.list_layer = hostile
del sys.argv[1]
program.main()
"""


def test_a_process_that_a_layer_has_taken_over_can_do_little(tmp_path: Path) -> None:
    """It opens no file and no socket, starts nothing, and as root has become nobody."""
    output = tmp_path / "out"
    task = msgspec.json.encode(Task("list", str(output))).decode()
    search = json.dumps([entry for entry in sys.path if entry])
    done = subprocess.run(
        [sys.executable, "-c", LOCKED_IN, search, task], input=b"abc", stderr=subprocess.PIPE
    )
    assert done.returncode == 0, done.stderr.decode()
    user, worked, read = json.loads(output.read_bytes())
    assert read == "abc"
    if os.geteuid() == 0:
        assert user == 65534 and worked == {}
    else:
        assert set(worked) <= {"kill"}


@pytest.mark.root
def test_root_that_cannot_become_nobody_reads_no_layer(tmp_path: Path) -> None:
    """And nothing is said of the layer, which may well be read another time."""
    task = msgspec.json.encode(Task("list", str(tmp_path / "out"))).decode()
    program = "import sys; sys.path[:] = {!r}; from corten.registry.page.layers.program import main; main()"
    dropped = "-setuid,-setgid"
    done = subprocess.run(
        ["setpriv", f"--bounding-set={dropped}", f"--inh-caps={dropped}", "--"]
        + [sys.executable, "-c", program.format([entry for entry in sys.path if entry]), task],
        input=b"no layer",
        capture_output=True,
    )
    assert done.returncode == UNAVAILABLE, done.stderr.decode()
    assert "may not become nobody" in done.stdout.decode()
    assert not (tmp_path / "out").read_bytes()


async def test_a_store_without_files_is_read_as_a_stream(
    fixture: Fixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fixture.blobs, "local_path", lambda _location: None)
    path = await fixture.shelf.listing(fixture.layer(layer_of({"a": noise(3_000_000)})), 60)
    assert path is not None
    assert paths(path) == [b"a"]


async def test_too_many_at_once_are_refused(fixture: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf_module, "WAITING", 2)
    layers = [fixture.layer(layer_of({f"{number}": b"x"})) for number in range(3)]
    for layer in layers[:2]:
        await fixture.shelf.listing(layer, 0)
    with pytest.raises(Unavailable, match="try again"):
        await fixture.shelf.listing(layers[2], 0)
    await fixture.shelf.close()
    assert not [name for name in fixture.files() if name.endswith(".new")]


async def test_a_page_of_a_list(fixture: Fixture) -> None:
    names = [f"{number:05}" for number in range(2500)]
    path = await fixture.shelf.listing(fixture.layer(layer_of(dict.fromkeys(names, b""))), 60)
    assert path is not None
    _summary, entries, more = read_part(path, 990, 20, b"")
    assert [entry.path.decode() for entry in entries] == names[990:1010] and more
    _summary, entries, more = read_part(path, 2490, 20, b"")
    assert [entry.path.decode() for entry in entries] == names[2490:] and not more
    _summary, entries, more = read_part(path, 1, 2, b"499")
    assert [entry.path.decode() for entry in entries] == ["01499", "02499"] and not more
    assert read_part(path, 5000, 20, b"")[1] == []
