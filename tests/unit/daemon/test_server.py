"""Versions, errors, bodies: what holds for every endpoint."""

from __future__ import annotations

import json

import pytest

from corten import errors
from tests.unit.daemon.conftest import Served


def test_ping_names_versions(served: Served) -> None:
    for method in ("GET", "HEAD"):
        answer = served.request(method, "/_ping")
        assert answer.status == 200
        assert answer.headers["Api-Version"] == "1.51"
        assert answer.headers["Docker-Experimental"] == "false"
        assert answer.headers["OSType"] == "linux"
        assert answer.headers["Server"].startswith("Corten/")
        assert answer.body == (b"OK" if method == "GET" else b"")


@pytest.mark.parametrize(("prefix", "status"), [("", 200), ("/v1.40", 200), ("/v1.51", 200), ("/v1.44", 200)])
def test_versions_that_are_spoken(served: Served, prefix: str, status: int) -> None:
    answer = served.request("GET", prefix + "/version")
    assert answer.status == status
    version = json.loads(answer.body)
    assert (version["ApiVersion"], version["MinAPIVersion"]) == ("1.51", "1.40")


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (
            "1.39",
            "client version 1.39 is too old. Minimum supported API version is 1.40, "
            "please upgrade your client to a newer version",
        ),
        ("1.52", "client version 1.52 is too new. Maximum supported API version is 1.51"),
        ("1.x", 'invalid API version "1.x"'),
    ],
)
def test_versions_that_are_not(served: Served, version: str, message: str) -> None:
    answer = served.request("GET", f"/v{version}/version")
    assert answer.status == 400
    assert json.loads(answer.body) == {"message": message}


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.NotFound("No such container: x"), 404),
        (errors.Conflict("in use"), 409),
        (errors.InvalidArgument("bad"), 400),
        (errors.CommandNotFound("no such command"), 400),
        (errors.Unsupported("no"), 501),
        (errors.NoSpace("full"), 507),
    ],
)
def test_errors_have_a_status_and_a_sentence(served: Served, error: errors.CortenError, status: int) -> None:
    served.engine.containers.answers["start"] = error
    answer = served.request("POST", "/containers/x/start")
    assert answer.status == status
    assert json.loads(answer.body) == {"message": error.message}
    assert answer.headers["X-Corten-Exit-Code"] == str(errors.status_of(error)[2])


def test_not_modified_has_no_body(served: Served) -> None:
    served.engine.containers.answers["start"] = errors.NotModified("runs already")
    answer = served.request("POST", "/v1.44/containers/x/start")
    assert (answer.status, answer.body) == (304, b"")


def test_a_bug_is_one_sentence(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    served.engine.containers.answers["start"] = KeyError("oops")
    answer = served.request("POST", "/containers/x/start")
    assert answer.status == 500
    assert "internal error while answering POST /containers/x/start" in json.loads(answer.body)["message"]
    assert "Traceback" in caplog.text
    assert served.request("GET", "/_ping").status == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/", 404),
        ("DELETE", "/info", 404),
        ("GET", "/services", 503),
        ("POST", "/services/create", 503),
        ("GET", "/swarm", 503),
        ("POST", "/swarm/init", 501),
        ("GET", "/plugins", 200),
        ("GET", "/plugins/a/b/json", 404),
        ("POST", "/build?version=2", 501),
        ("POST", "/networks/create", 501),
        ("POST", "/session", 501),
    ],
)
def test_what_is_not_there(served: Served, method: str, path: str, status: int) -> None:
    answer = served.request(method, path)
    assert answer.status == status
    if status != 200:
        message = json.loads(answer.body)["message"]
        assert message and "Traceback" not in message


def test_the_query_is_checked(served: Served) -> None:
    for path in (
        "/containers/json?limit=many",
        "/containers/json?filters=%7B",
        "/containers/json?filters=%5B1%5D",
        "/containers/json?filters=%7B%22a%22%3A1%7D",
        "/containers/x/logs",
        "/containers/x/stats?stream=1&one-shot=1",
        "/containers/x/archive",
    ):
        assert served.request("GET", path).status == 400, path
    assert served.request("POST", "/containers/x/resize?h=1").status == 400
    assert served.request("POST", "/containers/x/wait?condition=maybe").status == 400
    assert served.request("POST", "/containers/x/exec", b'{"Cmd": []}').status == 400


@pytest.mark.parametrize("text", ['{"status": ["running"]}', '{"status": {"running": true, "dead": false}}'])
def test_filters_in_both_forms(served: Served, text: str) -> None:
    from urllib.parse import quote

    served.engine.containers.answers["list"] = []
    answer = served.request("GET", f"/containers/json?all=1&limit=-1&filters={quote(text)}")
    assert answer.status == 200
    _, _, kwargs = served.engine.containers.calls[-1]
    assert kwargs == {"all": True, "limit": None, "size": False, "filters": {"status": ["running"]}}


def test_a_body_that_is_too_large(served: Served) -> None:
    answer = served.request("POST", "/containers/create", b" " * ((16 << 20) + 10))
    assert answer.status == 400
    assert b"larger" in answer.body


def test_one_connection_serves_many(served: Served) -> None:
    with served.connect() as sock:
        for _ in range(3):
            sock.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
            assert sock.recv(4096).endswith(b"OK")


def test_garbage_is_answered_and_harmless(served: Served) -> None:
    with served.connect() as sock:
        sock.sendall(b"\x16\x03\x01garbage\r\n\r\n")
        assert b"400" in sock.recv(4096)
    assert served.request("GET", "/_ping").status == 200


def test_expect_continue(served: Served) -> None:
    with served.connect() as sock:
        sock.sendall(
            b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
            b"Expect: 100-continue\r\n\r\n"
        )
        assert sock.recv(4096).startswith(b"HTTP/1.1 100 Continue")
        sock.sendall(b"{}")
        assert b"201 Created" in sock.recv(4096)


def test_a_client_can_end_the_engine(served: Served) -> None:
    assert served.request("POST", "/corten/engine/shutdown").status == 204
    assert served.shutdown_asked.wait(5)
