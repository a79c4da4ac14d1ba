"""pull, push, login, logout, search, and the pull before a run: what they ask, print and refuse."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from corten.cli.main import main
from tests.unit.client.fake_server import FakeServer

LINES = b"""{"status":"Pulling from app","id":"1"}\r
{"status":"Pull complete","progressDetail":{},"id":"abc"}\r
{"status":"Digest: sha256:x"}\r
"""


def answer(body: bytes | object = b"", status: str = "200 OK") -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status.encode(), len(data), data)


class Place:
    """An engine that plays a script, and a config.json of its own."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.socket = directory / "s"
        self.config = directory / "config.json"
        self.server: FakeServer | None = None
        monkeypatch.setenv("CORTEN_HOST", f"unix://{self.socket}")
        monkeypatch.setenv("DOCKER_CONFIG", str(directory))
        monkeypatch.delenv("REGISTRY_AUTH_FILE", raising=False)
        monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)

    def script(self, *commands: list[bytes]) -> None:
        """For each command what it is answered, on the one connection that it makes."""
        self.server = FakeServer(self.socket, list(commands))

    @property
    def targets(self) -> list[str]:
        assert self.server is not None
        return [" ".join(request.decode().split()[:2]) for request in self.server.requests]

    def auth(self, number: int = 0) -> dict[str, Any]:
        assert self.server is not None
        head = self.server.requests[number].decode().lower()
        value = self.server.requests[number].decode()[head.index("x-registry-auth: ") + 17 :].split("\r\n")[0]
        return json.loads(base64.urlsafe_b64decode(value))  # type: ignore[no-any-return]

    def body(self, number: int = 0) -> Any:
        assert self.server is not None
        return json.loads(self.server.requests[number].partition(b"\r\n\r\n")[2])


@pytest.fixture
def place(tmp_path: Path, short_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    made = Place(short_tmp, monkeypatch)
    yield made
    if made.server is not None:
        made.server.close()


def test_pull(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.config.write_text(json.dumps({"auths": {"h:5000": {"auth": base64.b64encode(b"u:p").decode()}}}))
    place.script([answer(LINES)])
    assert main(["pull", "--platform", "linux/arm64", "h:5000/app"]) == 0
    assert place.targets == ["POST /images/create?fromImage=h%3A5000%2Fapp&tag=latest&platform=linux%2Farm64"]
    assert place.auth() == {"username": "u", "password": "p", "serveraddress": "h:5000"}
    assert capsys.readouterr().out.splitlines() == [
        "Using default tag: latest",
        "1: Pulling from app",
        "abc: Pull complete",
        "Digest: sha256:x",
        "h:5000/app:latest",
    ]


def test_quiet_pull_prints_the_whole_name(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.script([answer(LINES)])
    assert main(["pull", "-q", "busybox"]) == 0
    assert capsys.readouterr().out == "docker.io/library/busybox:latest\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["pull", "-a", "app:1"], "--all-tags"),
        (["pull", "--policy", "sometimes", "app:1"], "always, missing, newer, never"),
        (["push", "-a", "app:1"], "--all-tags"),
        (["login", "-p", "x", "--password-stdin", "h"], "mutually exclusive"),
        (["login", "--password-stdin", "h"], "--username"),
        (["run", "--pull", "sometimes", "app"], "always, missing or never"),
    ],
)
def test_refusals(place: Place, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str) -> None:
    assert main(arguments) != 0
    assert words in capsys.readouterr().err


def test_pull_policies(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    missing = answer({"message": "no"}, "404 Not Found")
    place.script([answer({})], [missing, answer(LINES)], [missing])
    assert main(["pull", "--policy", "missing", "app:1"]) == 0
    assert main(["pull", "--policy", "missing", "app:1"]) == 0
    assert main(["pull", "--policy", "never", "app:1"]) == 1
    assert [target.split("?")[0] for target in place.targets] == [
        "GET /images/app:1/json",
        "GET /images/app:1/json",
        "POST /images/create",
        "GET /images/app:1/json",
    ]


def test_push(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.script([answer(b'{"status":"Pushed","progressDetail":{},"id":"abc"}\r\n{"aux":{"Tag":"1"}}\r\n')])
    assert main(["push", "h:5000/a/app:1"]) == 0
    assert place.targets == ["POST /images/h:5000/a/app/push?tag=1"]
    assert capsys.readouterr().out == "abc: Pushed\n"


def test_an_error_in_the_stream(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.script(
        [answer(b'{"status":"x"}\r\n{"error":"denied: no","errorDetail":{"message":"denied: no"}}\r\n')]
    )
    assert main(["push", "h:5000/app:1"]) == 1
    assert capsys.readouterr().err == "corten: denied: no\n"


def test_login_and_logout(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("secret\n"))
    place.script([answer({"Status": "Login Succeeded", "IdentityToken": ""})])
    assert main(["login", "-u", "me", "--password-stdin", "https://h:5000/"]) == 0
    assert place.body() == {"username": "me", "password": "secret", "serveraddress": "h:5000"}
    stored = json.loads(place.config.read_text())["auths"]
    assert base64.b64decode(stored["h:5000"]["auth"]) == b"me:secret"
    assert place.config.stat().st_mode & 0o777 == 0o600
    said = capsys.readouterr()
    assert said.out == "Login Succeeded\n" and "stored unencrypted" in said.err
    assert main(["logout", "h:5000"]) == 0
    assert main(["logout", "h:5000"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Removing login credentials for h:5000",
        "Not logged in to h:5000",
    ]
    assert json.loads(place.config.read_text())["auths"] == {}


def test_a_login_that_is_refused_stores_nothing(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.script([answer({"message": "unauthorized: no such user"}, "401 Unauthorized")])
    assert main(["login", "-u", "me", "-p", "wrong", "h:5000"]) == 1
    assert "no such user" in capsys.readouterr().err and not place.config.exists()


def test_a_registrys_token_takes_the_passwords_place(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.script([answer({"Status": "Login Succeeded", "IdentityToken": "tok"})])
    assert main(["login", "-u", "me", "-p", "secret"]) == 0
    (entry,) = json.loads(place.config.read_text())["auths"].items()
    assert entry[0] == "https://index.docker.io/v1/" and entry[1]["identitytoken"] == "tok"
    assert "secret" not in base64.b64decode(entry[1]["auth"]).decode()


def test_login_again_takes_what_is_known(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.config.write_text(json.dumps({"auths": {"h": {"auth": base64.b64encode(b"u:p").decode()}}}))
    place.script([answer({"Status": "Login Succeeded", "IdentityToken": ""})])
    assert main(["login", "h"]) == 0
    assert place.body() == {"username": "u", "password": "p", "serveraddress": "h"}
    assert "existing credentials" in capsys.readouterr().err


def test_a_login_needs_a_terminal_to_ask(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert main(["login", "h"]) != 0
    assert "non TTY" in capsys.readouterr().err


def test_search(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    hits = [
        {"name": "b", "description": "x" * 60, "star_count": 1, "is_official": False},
        {"name": "a", "description": "two\nlines", "star_count": 5, "is_official": True},
    ]
    place.script([answer(hits)], [answer(hits)])
    assert main(["search", "--filter", "stars=1", "--limit", "9", "x"]) == 0
    assert place.targets == ["GET /images/search?term=x&filters=%7B%22stars%22%3A%5B%221%22%5D%7D&limit=9"]
    assert capsys.readouterr().out.splitlines() == [
        "NAME      DESCRIPTION                                     STARS     OFFICIAL",
        "a         two lines                                       5         [OK]",
        f"b         {'x' * 44}…   1         ",
    ]
    assert main(["search", "--no-trunc", "--format", "{{.Name}}: {{.Description}}", "x"]) == 0
    assert capsys.readouterr().out == f"a: two lines\nb: {'x' * 60}\n"


def test_create_pulls_what_is_missing(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    missing = answer({"message": "No such image: app:latest"}, "404 Not Found")
    place.script([missing, missing, answer(LINES), answer({"Id": "f" * 64, "Warnings": []}, "201 Created")])
    assert main(["create", "h:5000/app"]) == 0
    said = capsys.readouterr()
    assert said.out == "f" * 64 + "\n"
    assert said.err.splitlines()[:2] == [
        "Unable to find image 'h:5000/app:latest' locally",
        "1: Pulling from app",
    ]
    assert [target.split("?")[0] for target in place.targets] == [
        "POST /containers/create",
        "GET /images/h:5000/app/json",
        "POST /images/create",
        "POST /containers/create",
    ]


def test_another_thing_that_is_missing_is_not_pulled(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.script([answer({"message": "No such network: n"}, "404 Not Found"), answer({})])
    assert main(["create", "app"]) == 1
    assert capsys.readouterr().err == "corten: No such network: n\n"


def test_create_pull_always_and_never(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    created = answer({"Id": "f" * 64, "Warnings": []}, "201 Created")
    place.script([answer(LINES), created], [answer({"message": "no"}, "404 Not Found")])
    assert main(["create", "-q", "--pull", "always", "app"]) == 0
    assert capsys.readouterr().err == ""
    assert main(["create", "--pull", "never", "app"]) == 1
    assert "never forbids" in capsys.readouterr().err
