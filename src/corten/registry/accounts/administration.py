"""`corten registry user`: accounts in the registry's database, whether or not it serves meanwhile."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec

from corten.errors import InvalidArgument
from corten.registry.access import Identity
from corten.registry.accounts import htpasswd, permissions
from corten.registry.accounts.asking import ask_password
from corten.registry.accounts.names import check_user
from corten.registry.accounts.passwords import hash_password
from corten.registry.accounts.records import ANONYMOUS_NAME, Account, Kind, Permission
from corten.registry.accounts.rows import moment, print_json, print_table
from corten.registry.accounts.signing import new_key
from corten.registry.audit import Audit, Record
from corten.registry.metadata import accounts
from corten.registry.metadata.database import Database

LARGEST_FILE = 16 << 20


class Request(msgspec.Struct, frozen=True, rename="kebab"):
    """What the command line asks for."""

    action: str
    names: tuple[str, ...] = ()
    permissions: tuple[str, ...] = ()
    password_stdin: bool = False
    open: bool = False
    expires: str = "90d"
    """A time from now, such as 30d; or never."""
    format: Literal["table", "json"] = "table"


class Changes:
    """Changes by whoever runs the command; each is written down."""

    def __init__(self, database: Database, audit: Audit, who: Identity) -> None:
        self._database = database
        self._audit = audit
        self._who = who

    def write(self, action: str, detail: str, change: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Makes a change and records it; the change's result."""
        self._audit.require()
        done = self._database.write(change, *args, **kwargs)
        self._audit.record(Record(self._who, action, "", detail, source="command"))
        return done

    def read(self, query: Callable[..., Any], *args: Any) -> Any:
        """A query's result."""
        return self._database.read(query, *args)


def run(request: Request, changes: Changes) -> int:
    """Does one of `corten registry user`'s commands; the exit code."""
    _ACTIONS[request.action](request, changes)
    return 0


def granted(texts: Sequence[str]) -> list[Permission]:
    """Permissions as they are written on the command line. InvalidArgument."""
    return [permissions.parse(text) for text in texts]


def _add(request: Request, changes: Changes) -> None:
    name = check_user(request.names[0])
    wanted = granted(request.permissions)
    stored = hash_password(ask_password(name, from_stdin=request.password_stdin))
    first = changes.write(
        "user.create",
        _detail(name, wanted),
        accounts.add,
        Account(name, Kind.USER, stored),
        wanted,
        new_key(),
    )
    print(name)
    if first:
        closed_now()
    if not wanted:
        _say(f"{name} may do nothing yet: corten registry user grant {name} pull,push:{name}/**")


def closed_now() -> None:
    """What somebody has to know who makes the first account."""
    _say(
        "This is the first account: from now on everybody has to sign in, and may do what was granted.\n"
        "To let everybody pull: corten registry user grant anonymous 'pull:**'"
    )


def _passwd(request: Request, changes: Changes) -> None:
    name = check_user(request.names[0])
    changes.read(accounts.account, name)
    stored = hash_password(ask_password(name, from_stdin=request.password_stdin))
    changes.write("user.password", name, accounts.set_secret, name, stored)
    print(name)


def _remove(request: Request, changes: Changes) -> None:
    for name in request.names:
        _user(changes, name)
        changes.write("user.delete", name, accounts.remove, name, open_=request.open)
        print(name)


def _disable(request: Request, changes: Changes) -> None:
    disabled = request.action == "disable"
    for name in request.names:
        _user(changes, name)
        changes.write(f"user.{request.action}", name, accounts.set_disabled, name, disabled)
        print(name)


def _user(changes: Changes, name: str) -> None:
    if changes.read(accounts.account, name).kind is Kind.ROBOT:
        raise InvalidArgument(f"{name} is no user but a token: use corten registry token")


def _grant(request: Request, changes: Changes) -> None:
    name, *texts = request.names
    wanted = granted(texts)
    if name == ANONYMOUS_NAME and any(set(permission.actions) - {"pull"} for permission in wanted):
        _say("Everybody who reaches this registry will be able to change what it holds.")
    first = not changes.read(accounts.any_account)
    changes.write("user.grant", _detail(name, wanted), accounts.grant, name, wanted, new_key())
    print(name)
    if first:
        closed_now()
        _say("There is no user yet: corten registry user add NAME --admin")


def _revoke(request: Request, changes: Changes) -> None:
    name, *texts = request.names
    known = {permission.pattern: permission for permission in _permissions(changes, name)}
    wanted = [
        permissions.parse(text)
        if ":" in text
        else known.get(text, Permission(text, tuple(permissions.WORDS)))
        for text in texts
    ]
    changes.write("user.revoke", _detail(name, wanted), accounts.revoke, name, wanted)
    left = {permission.pattern: permission for permission in _permissions(changes, name)}
    for permission in wanted:
        still = permissions.actions_of(left[permission.pattern]) if permission.pattern in left else ()
        for word in permission.actions:
            if permissions.WORDS[word] in still:
                _say(f"{name} may still {word}: {permissions.text_of(left[permission.pattern])} includes it")
    print(name)


def _permissions(changes: Changes, name: str) -> tuple[Permission, ...]:
    changes.read(accounts.account, name)
    found: tuple[Permission, ...] = changes.read(accounts.load).permissions.get(name, ())
    return found


def _import(request: Request, changes: Changes) -> None:
    path = request.names[0]
    found = htpasswd.parse(_read(path), "standard input" if path == "-" else path)
    wanted = granted(request.permissions)
    if not found:
        raise InvalidArgument(f"{path} holds no users")
    first = not changes.read(accounts.any_account)
    new, old = changes.write(
        "user.import", f"{len(found)} users of {path}", accounts.add_all, found, wanted, new_key()
    )
    for name in new:
        print(name)
    if old:
        _say(f"Left as they were, as they are there already: {', '.join(old)}")
    if first:
        closed_now()


def _read(path: str) -> str:
    try:
        if path == "-":
            text = sys.stdin.read(LARGEST_FILE + 1)
        else:
            with open(path, encoding="utf-8") as file:
                text = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise InvalidArgument(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidArgument(f"{path} is no htpasswd file: it is not text") from error
    if len(text) > LARGEST_FILE:
        raise InvalidArgument(f"{path} has more than {LARGEST_FILE} characters: import it in parts")
    return text


def _list(request: Request, changes: Changes) -> None:
    known = changes.read(accounts.load)
    users = [account for account in known.accounts if account.kind is not Kind.ROBOT]
    if request.format == "json":
        print_json(
            {
                "name": user.name,
                "disabled": user.disabled,
                "created": user.created // 1000,
                "permissions": [permissions.text_of(p) for p in known.permissions.get(user.name, ())],
            }
            for user in users
        )
        return
    print_table(
        ("NAME", "STATE", "CREATED", "PERMISSIONS"),
        [
            (
                user.name,
                "disabled" if user.disabled else "-" if user.kind is Kind.ANONYMOUS else "active",
                moment(user.created),
                " ".join(permissions.text_of(p) for p in known.permissions.get(user.name, ())) or "none",
            )
            for user in users
        ],
    )


def _detail(name: str, wanted: Sequence[Permission]) -> str:
    return " ".join((name, *(permissions.text_of(permission) for permission in wanted)))


def _say(text: str) -> None:
    print(text, file=sys.stderr)


_ACTIONS: dict[str, Callable[[Request, Changes], None]] = {
    "add": _add,
    "passwd": _passwd,
    "rm": _remove,
    "disable": _disable,
    "enable": _disable,
    "grant": _grant,
    "revoke": _revoke,
    "import": _import,
    "list": _list,
}
