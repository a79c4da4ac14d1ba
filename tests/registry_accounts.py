"""Registries with accounts, for tests: accounts as an operator makes them, and what clients send."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from tests.registry_server import Answer, Client, ServerProcess

SERVICE = "corten-registry"
# Tests are refused more often than a client should be.
UNLIMITED = {"rate": {"sign-ins": ""}}


class Accounts:
    """`corten registry user` and `token` for a server's database."""

    def __init__(self, server: ServerProcess) -> None:
        self._place = ["--root", str(server.settings["root"])]
        if database := server.settings.get("database"):
            self._place += ["--database", str(database)]

    def command(self, *words: str) -> list[str]:
        """`corten registry WORDS`."""
        return [sys.executable, "-m", "corten", "registry", *words[:2], *self._place, *words[2:]]

    def run(self, *words: str, input: str = "", code: int = 0) -> subprocess.CompletedProcess[str]:
        """`corten registry WORDS`; `code` is the exit status that is expected."""
        done = subprocess.run(
            self.command(*words),
            input=input,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        return done

    def add(self, name: str, password: str, *permissions: str) -> None:
        granted = [word for permission in permissions for word in ("--permission", permission)]
        self.run("user", "add", name, "--password-stdin", *granted, input=password + "\n")

    def robot(self, name: str, permission: str, expires: str = "1h") -> str:
        """The token of a new robot."""
        done = self.run("token", "create", name, "--expires", expires, "--permission", permission)
        return done.stdout.strip()

    def sign_ins(self, account: str) -> list[str]:
        """The IDs of an account's sign-ins that last."""
        rows = json.loads(self.run("token", "list", "--format", "json").stdout)
        return [row["name"] for row in rows if row["kind"] == "sign-in" and row["account"] == account]


def basic(name: str, password: str) -> str:
    """An Authorization header."""
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def fetch_token(client: Client, *scopes: str, authorization: str = "", **query: str) -> Answer:
    """GET /token."""
    import urllib.parse

    words = [("service", SERVICE), *(("scope", scope) for scope in scopes), *query.items()]
    headers = {"Authorization": authorization} if authorization else {}
    return client.get(f"/token?{urllib.parse.urlencode(words)}", **headers)


def bearer(client: Client, *scopes: str, authorization: str = "") -> str:
    """An Authorization header with a token for `scopes`."""
    answer = fetch_token(client, *scopes, authorization=authorization)
    assert answer.status == 200, answer.body
    return f"Bearer {answer.json()['token']}"


def post_form(client: Client, **fields: str) -> Answer:
    """POST /token."""
    import urllib.parse

    return client.request(
        "POST",
        "/token",
        urllib.parse.urlencode(fields).encode(),
        {"Content-Type": "application/x-www-form-urlencoded"},
    )


def eventually(check: Callable[[], Any], wanted: Any = True) -> None:
    """Waits, for seconds, until workers have noticed a change."""
    deadline = time.monotonic() + 15
    while (found := check()) != wanted:
        assert time.monotonic() < deadline, f"it is still {found!r}, not {wanted!r}"
        time.sleep(0.1)


def everywhere(server: ServerProcess, check: Callable[[Client], Any], wanted: Any) -> None:
    """Waits until connections to whichever worker all see the same: each of many that are open at once.

    The first that does not ends a round: the audit log does not write down any number of refusals.
    """

    def seen() -> Any:
        clients = [Client(server.url) for _ in range(16)]
        try:
            return next((found for client in clients if (found := check(client)) != wanted), wanted)
        finally:
            for client in clients:
                client.close()

    eventually(seen, wanted)
