"""The records of past builds: bounded, whole or not there, found by what a person types."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import msgspec
import pytest

from corten.api.build import (
    BuildFailure,
    BuildPlanned,
    BuildRequest,
    BuildResult,
    ContextDirectory,
    ContextRemote,
    ContextUpload,
    Secret,
)
from corten.api.build_history import BuildRecord
from corten.build.progress import Miss, VertexFinished, VertexLog, VertexStarted, VertexStatus
from corten.engine import build_history
from corten.engine.build_events import BUILD_CANCELED
from corten.engine.build_history import BuildHistory, HistoryStore
from corten.engine.build_recording import Recording
from corten.errors import InvalidArgument, NotFound


@pytest.fixture
def store(tmp_path: Path) -> HistoryStore:
    return HistoryStore(tmp_path / "build" / "history")


def record(number: int, **more: object) -> BuildRecord:
    fields = {"id": f"{number:04}", "started": number, "completed": number, "status": "completed", **more}
    return msgspec.convert(fields, BuildRecord)


def files(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "build" / "history").iterdir())


def recorded(request: BuildRequest, *lines: object) -> BuildRecord:
    recording = Recording(request)
    for line in lines:
        recording.take(line)  # type: ignore[arg-type]
    return recording.end()[0]


def test_what_is_written_is_read(store: HistoryStore, tmp_path: Path) -> None:
    assert store.records() == []
    first, second = record(1, name="ä", failure=BuildFailure(message="no")), record(2)
    store.add(second, b'{"type":"log"}\n{}\n')
    store.add(first, b"")
    assert store.records() == [second, first]
    assert store.events("0002") == b'{"type":"log"}\n{}\n' and store.events("^1") == b""
    place = tmp_path / "build" / "history"
    assert place.stat().st_mode & 0o777 == 0o700
    assert (place / "0001.json").stat().st_mode & 0o777 == 0o600


def test_the_oldest_go(store: HistoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_history, "MOST_RECORDS", 3)
    for number in (3, 1, 5, 2, 4):
        store.add(record(number), b"")
    assert [found.started for found in store.records()] == [5, 4, 3]
    monkeypatch.setattr(build_history, "MOST_BYTES", 2500)
    store.add(record(6), bytes(1000))
    store.add(record(7), bytes(1000))
    assert [found.started for found in store.records()] == [7, 6]


def test_a_record_is_whole_or_not_there(
    store: HistoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add(record(1), b"{}\n")

    def refuse(_fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space"):
        patched.setattr(os, "fsync", refuse)
        store.add(record(2), b"{}\n")
    assert files(tmp_path) == ["0001.json"]


def test_what_a_killed_engine_has_left(store: HistoryStore, tmp_path: Path) -> None:
    store.add(record(1), b"")
    place = tmp_path / "build" / "history"
    (place / "0002.partial").write_bytes(b'{"id":"0002"')  # between its writing and its renaming
    (place / "0003.json").write_bytes(b"not a record\n")
    (place / "0004.json").write_bytes(msgspec.json.encode(record(9, id="../../engine")))
    (place / "0005.json").write_bytes(
        msgspec.json.encode(record(5, id="0005", name="?")).replace(b"?", b"\xff")
    )
    assert [found.id for found in store.records()] == ["0001"]
    store.add(record(2), b"")
    assert files(tmp_path) == ["0001.json", "0002.json"]


def test_how_builds_are_named(store: HistoryStore) -> None:
    for number, name in enumerate(("abc1", "abd2", "abd"), 1):
        store.add(record(number, id=name), b"")
    for reference, found in (
        ("^0", "abd"),
        ("^2", "abc1"),
        ("abc", "abc1"),
        ("abd", "abd"),
        ("abd2", "abd2"),
    ):
        assert store.find(reference).id == found
    for reference, error, words in (
        ("^3", NotFound, "there are 3"),
        ("x", NotFound, "no record"),
        ("ab", InvalidArgument, "3 builds' ids"),
        ("", InvalidArgument, "invalid build"),
        ("^-1", InvalidArgument, "invalid build"),
        ("../abc1", NotFound, "no record"),
    ):
        with pytest.raises(error, match=words):
            store.find(reference)
        with pytest.raises(error, match=words):
            store.remove(reference)


def test_removing(store: HistoryStore, tmp_path: Path) -> None:
    store.clear()
    for number in range(3):
        store.add(record(number), b"")
    store.remove("^0")
    assert [found.started for found in store.records()] == [1, 0]
    store.clear()
    assert files(tmp_path) == []


def test_an_id_that_is_taken_or_no_name_of_a_file(store: HistoryStore, tmp_path: Path) -> None:
    store.add(record(1), b"a")
    store.add(record(1), b"b")
    assert len(store.records()) == 2 and store.events("0001") == b"a"
    for hostile in ("", "../x", "a/b", ".", "-", "x" * 65, "a\0b", "^0", "é"):
        found = recorded(BuildRequest(id=hostile))
        assert len(found.id) == 32 and found.id.isalnum()
    assert recorded(BuildRequest(id="a-b_C1")).id == "a-b_C1"


async def test_whoever_asks_waits_for_what_is_being_written(store: HistoryStore) -> None:
    history = BuildHistory(store)
    for name in ("a", "b"):
        history.add(Recording(BuildRequest(id=name)))
    assert sorted(found.id for found in await history.records()) == ["a", "b"]
    await history.remove("a")
    assert (await history.find("^0")).id == "b"


async def test_a_disk_that_is_full_harms_nobody(store: HistoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store, "add", refuse)
    history = BuildHistory(store)
    history.add(Recording(BuildRequest(id="a")))
    assert await history.records() == []


def test_the_sum_of_a_build() -> None:
    found = recorded(
        BuildRequest(id="x", platforms=["linux/amd64"], target="t"),
        VertexStarted("own", "[internal]", 1),
        VertexFinished("own", 2),
        BuildPlanned(vertices=3),
        VertexStarted("a", "FROM", 3),
        VertexFinished("a", 3, cached=True),
        VertexStarted("b", "RUN", 4),
        VertexFinished("b", 5, error="no"),
        BuildFailure(message="it failed", step="RUN", log=["0.1 no"]),
    )
    assert (found.total_steps, found.completed_steps, found.cached_steps) == (5, 2, 1)
    assert found.status == "error" and found.failure == BuildFailure(
        message="it failed", step="RUN", log=["0.1 no"]
    )
    assert found.platforms == ["linux/amd64"] and found.target == "t"
    done = recorded(
        BuildRequest(id="x"),
        BuildPlanned(vertices=3),
        VertexStarted("a", "FROM", 3),
        VertexFinished("a", 3),
        BuildResult(image_id="sha256:1", digest="sha256:2", names=["app:latest"]),
    )
    assert (done.status, done.total_steps, done.completed_steps) == ("completed", 1, 1)
    assert (done.image_id, done.digest, done.images) == ("sha256:1", "sha256:2", ["app:latest"])
    for last in ([BUILD_CANCELED], []):
        canceled = recorded(BuildRequest(id="x"), *last)
        assert canceled.status == "canceled" and canceled.failure is None


@pytest.mark.parametrize(
    ("request_", "name", "dockerfile"),
    [
        (BuildRequest(context=ContextDirectory("/src/app")), "app", "Dockerfile"),
        (BuildRequest(context=ContextDirectory("/src/app/"), target="t"), "app (t)", "Dockerfile"),
        (
            BuildRequest(context=ContextDirectory("/src/app"), dockerfile="/src/app/ci/Dockerfile"),
            "app/ci",
            "ci/Dockerfile",
        ),
        (BuildRequest(context=ContextDirectory("/src/app"), dockerfile="a.df"), "app/a.df", "a.df"),
        (
            BuildRequest(context=ContextDirectory("/src/app"), dockerfile="/other/a.df"),
            "other/a.df",
            "/other/a.df",
        ),
        (BuildRequest(context=ContextUpload(), tags=["app:1", "x"]), "app:1", "Dockerfile"),
        (BuildRequest(target="t"), "t", "Dockerfile"),
        (
            BuildRequest(context=ContextDirectory("/a"), build_args={"BUILDKIT_BUILD_NAME": "mine"}),
            "mine",
            "Dockerfile",
        ),
    ],
    ids=["directory", "target", "below", "other name", "elsewhere", "upload", "nothing", "given"],
)
def test_names(request_: BuildRequest, name: str, dockerfile: str) -> None:
    found = recorded(request_)
    assert (found.name, found.dockerfile) == (name, dockerfile)


def test_nothing_secret_is_kept() -> None:
    url = "https://me:hunter2@hunter2@example.com/app.git"
    recording = Recording(
        BuildRequest(
            context=ContextRemote(url),
            secrets=[Secret("s", b"hunter2")],
            build_args={"PASSWORD": "hunter2"},
            registry_auth="hunter2",
        )
    )
    misses = (Miss("variable", "PASSWORD", "hunter2"),)
    recording.take(VertexStarted("v", f"[internal] load git source {url}", 1))
    recording.take(VertexLog("v", 2, f"\xff: cannot reach {url}\n".encode("latin-1"), 2))
    recording.take(VertexFinished("v", 2, error=f"cannot fetch {url}", misses=misses))
    recording.take(BuildFailure(message=f"cannot fetch {url}", step=f"load {url}", log=[f"0.1 {url}"]))
    found, events = recording.end()
    assert b"hunter2" not in msgspec.json.encode(found) + events
    (log,) = (line for line in map(msgspec.json.decode, events.splitlines()) if line["type"] == "log")
    output = b"\xff: cannot reach https://xxxxx@example.com/app.git\n"
    assert msgspec.convert(log["data"], bytes) == output
    assert found.context == found.name == "https://xxxxx@example.com/app.git"


def test_a_file_name_that_is_no_text_fails_no_build() -> None:
    recording = Recording(BuildRequest(id="x"))
    recording.take(VertexStarted("v", "COPY \udcff", 1))
    recording.take(VertexStatus("v", "\udcff", 1, 1))
    recording.take(VertexFinished("v", 2, error="cannot read \udcff"))
    recording.take(BuildFailure(message="cannot read \udcff", step="COPY \udcff", log=["\udcff"]))
    found, events = recording.end()
    assert b'"name":"COPY ?"' in events and b'"cannot read ?"' in events
    assert msgspec.json.encode(found)


def test_a_terminal_has_nothing_to_obey() -> None:
    hostile = "a\x1b[2Jb\r\n\u202e"
    found = recorded(
        BuildRequest(context=ContextDirectory(f"/{hostile}"), target=hostile, dockerfile=hostile),
        BuildFailure(message=f"{hostile}\nsecond", step=hostile),
    )
    assert found.failure is not None
    assert found.failure.message.endswith("\nsecond")
    for text in (found.name, found.context, found.target, found.dockerfile, found.failure.step):
        assert text.isprintable() and "[2J" in text
    assert "\x1b" not in found.failure.message


def test_the_events_are_bounded() -> None:
    recording = Recording(BuildRequest(id="x"))
    recording.take(VertexStarted("v", "RUN yes", 1))
    for at in range(200_000):
        recording.take(VertexLog("v", 1, b"y\n", at))
    for at in range(1000):
        recording.take(VertexStatus("v", "part", at, 1000))
    recording.take(VertexStatus("v", "part", 1000, 1000, done=True))
    recording.take(VertexFinished("v", 9))
    _found, events = recording.end()
    assert len(events) < (2 << 20) + 2000
    lines = [msgspec.json.decode(line) for line in events.splitlines()]
    assert [line["type"] for line in lines if line["type"] != "log"] == [
        "started",
        "status",
        "status",
        "finished",
    ]
    clipped = [msgspec.convert(line["data"], bytes) for line in lines if line["type"] == "log"]
    assert clipped.count(b"y\n") == len(clipped) - 1
    assert clipped[-1].startswith(b"[output clipped")
    assert all(line["at"] > 0 for line in lines if line["type"] == "status")
    for number in range(30_000):
        recording.take(VertexStarted(str(number), "n" * 300, 1))
    assert len(recording.end()[1]) <= 4 << 20
