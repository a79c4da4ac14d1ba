"""`corten registry user` and `token` as a person uses them."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("argon2")

from tests.registry_accounts import Accounts, basic, eventually
from tests.registry_server import Client, ServerProcess, free_port


@pytest.fixture
def accounts(tmp_path: Path) -> Accounts:
    return Accounts(ServerProcess(tmp_path))


def at_a_terminal(directory: Path, *typed: str) -> tuple[int, str]:
    """`user add alice` with what is typed; the exit code, and what the terminal has shown."""
    words = ["registry", "user", "add", "alice", "--root", str(directory / "registry")]
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-m", "corten", *words])
    shown = b""
    for text in typed:
        prompts = shown.count(b": ")
        while shown.count(b": ") == prompts:
            shown += os.read(terminal, 1000)
        os.write(terminal, text.encode() + b"\n")
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            shown += os.read(terminal, 1000)
        except OSError:
            break
    _pid, status = os.waitpid(pid, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), shown.decode()


def test_a_terminal_is_asked_twice_and_shows_nothing(tmp_path: Path) -> None:
    code, shown = at_a_terminal(tmp_path, "secret", "sceret")
    assert code != 0 and "not the same" in shown
    code, shown = at_a_terminal(tmp_path, "secret", "secret")
    assert code == 0 and "Password for alice: " in shown
    assert "secret" not in shown.replace("sceret", "")
    code, shown = at_a_terminal(tmp_path, "", "")
    assert code != 0 and "the password is empty" in shown


def test_lists(accounts: Accounts) -> None:
    accounts.add("alice", "secret", "pull,push:team/**")
    accounts.run("user", "disable", "alice")
    accounts.run("user", "grant", "anonymous", "pull:public/**")
    token = accounts.robot("ci", "pull:team/*")
    shown = accounts.run("user", "list").stdout.splitlines()
    assert shown[0].split() == ["NAME", "STATE", "CREATED", "PERMISSIONS"]
    assert shown[1].startswith("alice") and "disabled" in shown[1] and "pull,push:team/**" in shown[1]
    assert shown[2].startswith("anonymous") and len(shown) == 3
    (alice, _) = json.loads(accounts.run("user", "list", "--format", "json").stdout)
    assert (alice["name"], alice["disabled"]) == ("alice", True)
    shown = accounts.run("token", "list").stdout.splitlines()
    assert shown[1].split()[:3] == ["ci", "robot", "robot$ci"] and len(shown) == 2
    assert token.startswith("corten-robot-") and token not in "".join(shown)


@pytest.mark.parametrize(
    ("words", "input", "message"),
    [
        (["user", "add", "a b", "--password-stdin"], "x", "invalid user name"),
        (["user", "add", "anonymous", "--password-stdin"], "x", "invalid user name"),
        (["user", "add", "robot$x", "--password-stdin"], "x", "invalid user name"),
        (["user", "add", "alice"], "x", "give it with --password-stdin"),
        (["user", "add", "alice", "--password-stdin"], "", "the password is empty"),
        (["user", "add", "alice", "--password-stdin"], "a\nb", "cannot be typed"),
        (["user", "add", "alice", "--password-stdin"], "x" * 2000, "more than 1024 bytes"),
        (["user", "add", "alice", "--password-stdin", "--permission", "pull"], "x", "invalid permission"),
        (["user", "add", "root", "--password-stdin"], "x", "an account root already"),
        (["user", "passwd", "nobody", "--password-stdin"], "x", "no account nobody"),
        (["user", "grant", "nobody", "pull:a"], "", "no account nobody"),
        (["user", "revoke", "root", "pull:a"], "", "was not granted pull for a"),
        (["user", "rm", "nobody"], "", "no account nobody"),
        (["user", "import", "/nonexistent"], "", "cannot read /nonexistent"),
        (["user", "list", "--format", "xml"], "", "invalid option"),
        (["token", "create", "ci"], "", "--permission"),
        (["token", "create", "a/b", "--permission", "pull:a"], "", "invalid token name"),
        (["token", "create", "ci", "--permission", "pull:a", "--expires", "soon"], "", "invalid time 'soon'"),
        (["token", "rm", "nothing"], "", "no token nothing"),
    ],
)
def test_mistakes_are_one_sentence(shared: Accounts, words: list[str], input: str, message: str) -> None:
    before = shared.run("user", "list", "--format", "json").stdout
    done = subprocess.run(
        shared.command(*words), input=input, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode != 0 and message in done.stderr
    assert done.stderr.startswith("corten: ") and done.stderr.count("\n") == 1
    assert shared.run("user", "list", "--format", "json").stdout == before


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Accounts:
    found = Accounts(ServerProcess(tmp_path_factory.mktemp("mistakes")))
    found.add("root", "secret", "admin:**")
    return found


def test_changes_are_in_the_audit_log(tmp_path: Path, accounts: Accounts) -> None:
    accounts.add("alice", "secret", "pull:team/*")
    accounts.run("user", "revoke", "alice", "team/*")
    token = accounts.robot("ci", "pull:a")
    text = (tmp_path / "registry/audit/audit.log").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [(line["action"], line["detail"].split()[0]) for line in lines] == [
        ("user.create", "alice"),
        ("user.revoke", "alice"),
        ("token.create", "robot$ci"),
    ]
    assert {line["outcome"] for line in lines} == {"done"} and all("local:" in line["who"] for line in lines)
    assert "secret" not in text and token not in text


def test_beyond_loopback_with_accounts(tmp_path: Path) -> None:
    """No account, no listening for others; with one, a line tells that passwords travel in clear."""
    server = ServerProcess(tmp_path, workers=1, listen=[f"0.0.0.0:{free_port()}"])
    with pytest.raises(RuntimeError, match="corten registry user add"):
        server.start()
    Accounts(server).add("root", "secret", "admin:**")
    server.start()
    client = Client(f"http://127.0.0.1:{server.settings['listen'][0].rpartition(':')[2]}")
    assert client.get("/v2/").status == 401
    assert client.get("/v2/", Authorization=basic("root", "secret")).status == 200
    assert "clear" in server.log.read_text()
    # Without its last account it does not open itself to others.
    Accounts(server).run("user", "rm", "--open", "root")
    eventually(lambda: client.get("/v2/", Authorization=basic("root", "secret")).status, 401)
    client.close()
    server.close()
