"""What every Access does: of a registry that is open, and of one with accounts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("argon2")
pytest.importorskip("jwt")

from aiohttp.test_utils import make_mocked_request
from aiohttp.web import BaseRequest

from corten.registry.access import ANONYMOUS, CALLER, Access, Action, OpenAccess
from corten.registry.accounts import permissions
from corten.registry.accounts.opening import open_accounts
from corten.registry.accounts.passwords import hash_password
from corten.registry.accounts.records import Account, Kind
from corten.registry.accounts.signing import new_key
from corten.registry.config import Config
from corten.registry.errors import Code, RegistryError
from corten.registry.metadata import accounts
from corten.registry.metadata.database import Database
from tests.registry_accounts import basic

# The key that an Access notes the caller under is text, as aiohttp had it before RequestKey.
pytestmark = pytest.mark.filterwarnings("ignore::aiohttp.web.NotAppKeyWarning")

Opened = Callable[..., Access]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    found = Database(f"sqlite:///{tmp_path}/registry.db")
    found.migrate()
    yield found
    found.close()


@pytest.fixture
def opened(database: Database, loop_runner: asyncio.Runner) -> Iterator[Opened]:
    """Opens an Access on the database, started; closed after the test."""
    made: list[Access] = []

    def open_(**settings: object) -> Access:
        access, _tokens = open_accounts(Config(**settings), database)  # type: ignore[arg-type]
        loop_runner.run(access.start())
        made.append(access)
        return access

    yield open_
    for access in made:
        loop_runner.run(access.close())


def add(database: Database, name: str, *texts: str) -> None:
    database.write(
        accounts.add,
        Account(name, Kind.USER, hash_password(f"{name}'s secret")),
        [permissions.parse(text) for text in texts],
        new_key(),
    )


def request(name: str = "", secret: str = "", method: str = "GET") -> BaseRequest:
    headers = {"Host": "registry.example"}
    if name:
        headers["Authorization"] = basic(name, secret or f"{name}'s secret")
    return make_mocked_request(method, "/v2/team/app/blobs/x", headers)


def run(runner: asyncio.Runner, access: Access, sent: BaseRequest, action: Action, repository: str) -> str:
    """The caller's name, or the code that it is refused with."""

    async def ask() -> str:
        try:
            return (await access.authorize(sent, action, repository)).name
        except RegistryError as error:
            assert (error.code is Code.UNAUTHORIZED) == ("WWW-Authenticate" in error.headers)
            return error.code.word

    return runner.run(ask())


EVERY = [(action, "team/app") for action in (Action.PULL, Action.PUSH, Action.DELETE, Action.ADMIN)] + [
    (action, "") for action in (Action.BASE, Action.LIST, Action.ADMIN)
]


@pytest.mark.parametrize("kind", ["OpenAccess", "accounts"])
def test_without_accounts_everybody_may_do_everything(
    opened: Opened, loop_runner: asyncio.Runner, kind: str
) -> None:
    access = OpenAccess() if kind == "OpenAccess" else opened()
    for action, repository in EVERY:
        assert run(loop_runner, access, request(), action, repository) == ""
        assert loop_runner.run(access.allows(ANONYMOUS, action, repository))


@pytest.mark.parametrize(
    ("settings", "is_open"),
    [
        ({"listen": ("127.0.0.1:0", "[::1]:0", "localhost:0")}, True),
        ({"listen": ("127.0.0.1:0", "0.0.0.0:0")}, False),
        ({"listen": ("registry.example:0",)}, False),
        ({"listen": ("0.0.0.0:0",), "allow_anonymous": True}, True),
    ],
)
def test_beyond_loopback_nobody_gets_in_when_the_last_account_goes(
    opened: Opened, loop_runner: asyncio.Runner, settings: dict[str, object], is_open: bool
) -> None:
    access = opened(**settings)
    for action, repository in EVERY:
        assert run(loop_runner, access, request(), action, repository) == ("" if is_open else "UNAUTHORIZED")
        assert loop_runner.run(access.allows(ANONYMOUS, Action.PULL, "team/app")) is is_open


def test_with_accounts_only_what_was_granted(
    database: Database, opened: Opened, loop_runner: asyncio.Runner
) -> None:
    add(database, "alice", "push:team/*")
    add(database, "root", "admin:**")
    add(database, "idle")
    database.write(accounts.grant, "anonymous", [permissions.parse("pull:public/*")], new_key())
    access = opened(allow_anonymous=True)  # it opens nothing that accounts close
    table = {
        "alice": {"pull": "", "push": "", "delete": "DENIED", "admin": "DENIED"},
        "root": {"pull": "", "push": "", "delete": "", "admin": ""},
        "idle": dict.fromkeys(("pull", "push", "delete", "admin"), "DENIED"),
        "": dict.fromkeys(("pull", "push", "delete", "admin"), "UNAUTHORIZED"),
    }
    for name, row in table.items():
        for word, refusal in row.items():
            assert run(loop_runner, access, request(name), Action(word), "team/app") == (refusal or name)
        assert run(loop_runner, access, request(name), Action.PULL, "public/app") == name
        assert run(loop_runner, access, request(name), Action.LIST, "") == name
        assert run(loop_runner, access, request(name), Action.BASE, "") == (name or "UNAUTHORIZED")
        registry = {"root": "root", "": "UNAUTHORIZED"}.get(name, "DENIED")
        assert run(loop_runner, access, request(name), Action.ADMIN, "") == registry
    for name in ("alice", "nobody", "anonymous", "robot$x"):
        assert run(loop_runner, access, request(name, "wrong"), Action.PULL, "public/app") == "UNAUTHORIZED"


def test_who_is_refused_is_known(database: Database, opened: Opened, loop_runner: asyncio.Runner) -> None:
    add(database, "alice", "pull:team/*")
    access, sent = opened(), request("alice")
    assert run(loop_runner, access, sent, Action.PUSH, "team/app") == "DENIED"
    assert sent[CALLER].name == "alice"
    sent = request("alice", "wrong")
    assert run(loop_runner, access, sent, Action.PUSH, "team/app") == "UNAUTHORIZED"
    assert CALLER not in sent


def test_what_somebody_known_may_do_besides(
    database: Database, opened: Opened, loop_runner: asyncio.Runner
) -> None:
    add(database, "alice", "pull:team/*")
    access = opened()

    async def ask() -> None:
        identity = await access.authorize(request("alice"), Action.PULL, "team/app")
        assert await access.allows(identity, Action.PULL, "team/other")
        assert not await access.allows(identity, Action.PUSH, "team/other")
        assert not await access.allows(identity, Action.PULL, "other")
        assert not await access.allows(ANONYMOUS, Action.PULL, "team/app")

    loop_runner.run(ask())


def test_a_push_hashes_the_password_once(
    database: Database, opened: Opened, loop_runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    from corten.registry.accounts import passwords

    add(database, "alice", "pull:team/*")
    access, count, verify = opened(), [], passwords.verify

    def counted(stored: str, password: str) -> bool:
        count.append(1)
        return verify(stored, password)

    monkeypatch.setattr(passwords, "verify", counted)

    async def ask() -> None:
        for _ in range(3):
            asked = [access.authorize(request("alice"), Action.PULL, "team/app") for _ in range(20)]
            assert {identity.name for identity in await asyncio.gather(*asked)} == {"alice"}
        # What was wrong once is wrong, and no second attempt.
        for _ in range(20):
            with pytest.raises(RegistryError, match="wrong user name"):
                await access.authorize(request("alice", "wrong"), Action.PULL, "team/app")

    loop_runner.run(ask())
    assert len(count) == 2


def test_the_scope_of_a_challenge(database: Database, opened: Opened, loop_runner: asyncio.Runner) -> None:
    add(database, "alice")
    access = opened()

    async def challenge(action: Action, repository: str, method: str = "GET") -> str:
        with pytest.raises(RegistryError) as caught:
            await access.authorize(request(method=method), action, repository)
        return caught.value.headers["WWW-Authenticate"].partition('scope="')[2].rstrip('"')

    async def ask() -> None:
        assert await challenge(Action.BASE, "") == ""
        assert await challenge(Action.LIST, "") == "registry:catalog:*"
        assert await challenge(Action.PULL, "team/app") == "repository:team/app:pull"
        assert await challenge(Action.PULL, "team/app", "HEAD") == "repository:team/app:pull,push"
        assert await challenge(Action.PUSH, "team/app") == "repository:team/app:pull,push"
        assert await challenge(Action.DELETE, "team/app") == "repository:team/app:pull,delete"

    loop_runner.run(ask())


@pytest.mark.parametrize("credential", ["\u00e9", "=", "a", "/w==", ""])
def test_what_is_no_basic_is_refused(
    database: Database, opened: Opened, loop_runner: asyncio.Runner, credential: str
) -> None:
    add(database, "alice", "pull:**")
    sent = make_mocked_request("GET", "/v2/", {"Host": "x", "Authorization": f"Basic {credential}"})
    assert run(loop_runner, opened(), sent, Action.BASE, "") == "UNAUTHORIZED"


def test_everybody_may_nothing_more_when_the_anonymous_account_is_disabled(
    database: Database, opened: Opened, loop_runner: asyncio.Runner
) -> None:
    add(database, "alice")
    database.write(accounts.grant, "anonymous", [permissions.parse("pull:public/**")], new_key())
    assert run(loop_runner, opened(), request(), Action.PULL, "public/app") == ""
    database.write(accounts.set_disabled, "anonymous", True)
    access = opened()
    assert run(loop_runner, access, request(), Action.PULL, "public/app") == "UNAUTHORIZED"
    assert run(loop_runner, access, request("alice"), Action.PULL, "public/app") == "DENIED"
    database.write(accounts.set_disabled, "anonymous", False)
    assert run(loop_runner, opened(), request("alice"), Action.PULL, "public/app") == "alice"
