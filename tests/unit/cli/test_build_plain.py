"""--progress=plain and rawjson: the lines of each step together, in an order that can be read."""

from __future__ import annotations

import io
import json

import pytest

from corten.cli import build_plain
from corten.cli.build_plain import PlainDisplay
from corten.cli.build_rawjson import RawDisplay
from tests.unit.cli.build_events import Feed


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def test_steps_one_after_the_other(stream: io.StringIO) -> None:
    display = PlainDisplay(stream)
    feed = Feed(display)
    feed.start("a", "[internal] load build definition from Dockerfile")
    feed.finish("a", 0.04)
    feed.start("b", "[1/2] FROM busybox", 0.1)
    feed.finish("b", 0.1, cached=True)
    feed.start("c", "[2/2] RUN make", 0.2)
    feed.log("c", "one\ntw", 0.7)
    feed.log("c", "o\n", 12.7, stream=2)
    feed.log("c", "no newline", 150.2)
    feed.finish("c", 200.2)
    display.end()
    assert stream.getvalue().splitlines() == [
        "#1 [internal] load build definition from Dockerfile",
        "#1 DONE 0.0s",
        "",
        "#2 [1/2] FROM busybox",
        "#2 CACHED",
        "",
        "#3 [2/2] RUN make",
        "#3 0.500 one",
        "#3 12.50 two",
        "#3 200.0 no newline",
        "#3 DONE 200.0s",
    ]


def test_output_of_steps_that_run_together_is_not_mixed(stream: io.StringIO) -> None:
    display = PlainDisplay(stream)
    feed = Feed(display)
    feed.start("a", "[a] RUN one")
    feed.start("b", "[b] RUN two")
    feed.log("a", "a1\n")
    feed.log("b", "b1\n")
    feed.log("a", "a2\n")
    feed.finish("b", 1)
    feed.finish("a", 2)
    display.end()
    assert stream.getvalue().splitlines() == [
        "#1 [a] RUN one",
        "#1 0.000 a1",
        "#1 0.000 a2",
        "#1 ...",
        "",
        "#2 [b] RUN two",
        "#2 0.000 b1",
        "#2 DONE 1.0s",
        "",
        "#1 [a] RUN one",
        "#1 DONE 2.0s",
    ]


def test_who_waits_too_long_gets_a_turn(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    display = PlainDisplay(stream)
    feed = Feed(display)
    feed.start("a", "[a] RUN one")
    feed.start("b", "[b] RUN two")
    feed.log("b", "b1\n")
    assert "b1" not in stream.getvalue()
    monkeypatch.setattr(build_plain, "_PATIENCE", -1.0)
    display.refresh()
    assert stream.getvalue().endswith("#1 ...\n\n#2 [b] RUN two\n#2 0.000 b1\n")


def test_how_steps_end(stream: io.StringIO) -> None:
    display = PlainDisplay(stream)
    feed = Feed(display)
    feed.start("a", "[1/2] RUN false")
    feed.finish("a", 1, error="exit code: 1")
    feed.start("b", "[2/2] RUN sleep")
    feed.finish("b", 1, error="canceled")
    display.end()
    assert "#1 ERROR: exit code: 1\n" in stream.getvalue()
    assert "#2 CANCELED\n" in stream.getvalue()


def test_sizes(stream: io.StringIO) -> None:
    display = PlainDisplay(stream)
    feed = Feed(display)
    feed.start("a", "[1/1] FROM debian")
    feed.status("a", "sha256:abc", 0, 29_150_000)
    feed.status("a", "sha256:abc", 100, 29_150_000)  # too little to tell of
    feed.status("a", "sha256:abc", 12_580_000, 29_150_000)
    feed.status("a", "sha256:abc", 29_150_000, 29_150_000, done=True)
    feed.finish("a", 1)
    display.end()
    lines = [line for line in stream.getvalue().splitlines() if "sha256" in line]
    assert [line.partition("B /")[0] for line in lines] == [
        "#1 sha256:abc 0",
        "#1 sha256:abc 12.58M",
        "#1 sha256:abc 29.15M",
    ]
    assert lines[-1].endswith(" done")


def test_explanations(stream: io.StringIO) -> None:
    display = PlainDisplay(stream, explain=True)
    feed = Feed(display)
    feed.start("a", "[1/3] FROM busybox")
    feed.finish("a", cached=True)
    feed.start("b", "[2/3] COPY . .")
    changed = [
        {"kind": "file", "what": "src/a.py", "detail": "content"},
        {"kind": "file", "what": "b", "detail": "added"},
    ]
    feed.finish("b", misses=changed)
    feed.start("c", "[3/3] RUN make")
    feed.finish("c", misses=[{"kind": "variable", "what": "A", "detail": "1 → 2"}])
    feed.start("d", "[1/1] RUN other")
    feed.finish("d", misses=[{"kind": "new", "what": "x", "detail": "there was no such step"}])
    display.end()
    said = [line for line in stream.getvalue().splitlines() if " cache " in line]
    assert said == [
        "#1 cache hit",
        "#2 cache miss: file src/a.py: another content; file b: added",
        "#3 cache miss: variable A: 1 → 2",
        "#4 cache miss: there was no such step",
    ]


def test_rawjson_has_the_shape_of_buildkit(stream: io.StringIO) -> None:
    feed = Feed(RawDisplay(stream))
    feed.start("sha256:a", "[1/1] RUN true")
    feed.log("sha256:a", "hello\n", 0.5)
    feed.status("sha256:a", "part", 1, 2)
    feed.finish("sha256:a", 1)
    display = RawDisplay(stream)
    display.event({"type": "warning", "rule": "StageNameCasing", "message": "m", "url": "u", "lines": [2, 3]})
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    started = "2023-11-14T22:13:20.000000000Z"
    vertex = {"digest": "sha256:a", "name": "[1/1] RUN true", "started": started}
    assert lines[0] == {"vertexes": [vertex]}
    assert lines[1] == {
        "logs": [
            {
                "vertex": "sha256:a",
                "stream": 1,
                "data": "aGVsbG8K",
                "timestamp": "2023-11-14T22:13:20.500000000Z",
            }
        ]
    }
    status = lines[2]["statuses"][0]
    assert (status["id"], status["vertex"], status["current"], status["total"]) == ("part", "sha256:a", 1, 2)
    assert lines[3] == {"vertexes": [{**vertex, "completed": "2023-11-14T22:13:21.000000000Z"}]}
    assert lines[4]["warnings"][0]["range"] == [{"start": {"line": 2}, "end": {"line": 3}}]
