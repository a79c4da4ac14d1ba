"""/images and /events: streams of JSON lines, and what an error in the middle looks like."""

from __future__ import annotations

import json
import time

import pytest

from corten.engine.results import Pruned
from corten.errors import ArchiveError
from tests.unit.daemon.conftest import Served


def test_load_streams_progress(served: Served) -> None:
    served.engine.images.lines = [{"stream": "Loaded image: a:b\n"}, {"status": "done"}]
    body = bytes(2_500_000)
    answer = served.request("POST", "/images/load?quiet=1", body)
    assert answer.status == 200 and answer.headers["Content-Type"] == "application/json"
    assert [json.loads(line) for line in answer.body.splitlines()] == served.engine.images.lines
    assert served.engine.images.loaded == body


def test_load_that_fails_at_once_has_a_status(served: Served) -> None:
    served.engine.images.lines = [ArchiveError("the archive is truncated")]
    answer = served.request("POST", "/images/load", b"x")
    assert answer.status == 400
    assert json.loads(answer.body) == {"message": "the archive is truncated"}


def test_load_that_fails_later_ends_with_an_error_line(served: Served) -> None:
    served.engine.images.lines = [{"status": "x"}, ArchiveError("the archive is truncated")]
    answer = served.request("POST", "/images/load", b"x")
    assert answer.status == 200
    last = json.loads(answer.body.splitlines()[-1])
    assert last == {
        "error": "the archive is truncated",
        "errorDetail": {"message": "the archive is truncated"},
    }


@pytest.mark.parametrize(
    ("method", "path", "call"),
    [
        (
            "GET",
            "/images/localhost:5000/a/b:c/json",
            ("inspect", ("localhost:5000/a/b:c",), {"manifests": False}),
        ),
        ("GET", "/images/json/json", ("inspect", ("json",), {"manifests": False})),
        ("GET", "/images/sha256:abc/history", ("history", ("sha256:abc",), {})),
        ("POST", "/images/a/tag?repo=x%2Fy&tag=z", ("tag", ("a", "x/y", "z"), {})),
        ("DELETE", "/images/a/b:c?force=1", ("remove", ("a/b:c",), {"force": True, "prune": True})),
        ("DELETE", "/images/load?noprune=1", ("remove", ("load",), {"force": False, "prune": False})),
    ],
)
def test_names_hold_slashes(served: Served, method: str, path: str, call: object) -> None:
    assert served.request(method, "/v1.44" + path).status in (200, 201)
    assert served.engine.images.calls == [call]


def test_prune_tells_names_from_digests(served: Served) -> None:
    served.engine.images.answers["prune"] = Pruned(("a:b", "sha256:c"), 5)
    answer = served.request("POST", "/images/prune")
    assert json.loads(answer.body) == {
        "ImagesDeleted": [{"Untagged": "a:b"}, {"Deleted": "sha256:c"}],
        "SpaceReclaimed": 5,
    }


def test_events(served: Served) -> None:
    publish = served.engine.events.publish
    now = int(time.time())
    served.loop.call_soon_threadsafe(publish, "container", "start", "abc", {"image": "i", "name": "n"})
    served.loop.call_soon_threadsafe(publish, "network", "connect", "net")
    time.sleep(0.05)
    filters = "%7B%22type%22%3A%5B%22container%22%5D%7D"
    answer = served.request("GET", f"/events?since={now - 1}&until={now}.5&filters={filters}")
    lines = [json.loads(line) for line in answer.body.splitlines()]
    # `until` is now or a moment ahead: the event may or may not be in; ask again when it surely is.
    answer = served.request("GET", f"/events?since={now - 1}&until={now + 1}&filters={filters}")
    lines = [json.loads(line) for line in answer.body.splitlines()]
    assert [(line["status"], line["id"], line["from"]) for line in lines] == [("start", "abc", "i")]
    assert lines[0]["Actor"] == {"ID": "abc", "Attributes": {"image": "i", "name": "n"}}


def test_events_end_with_their_client(served: Served) -> None:
    with served.connect() as sock:
        sock.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        assert sock.recv(4096).startswith(b"HTTP/1.1 200 OK")
        assert served.daemon.active == 1
    deadline = time.monotonic() + 5
    while served.daemon.active and time.monotonic() < deadline:
        time.sleep(0.01)
    assert served.daemon.active == 0
