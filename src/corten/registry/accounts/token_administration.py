"""`corten registry token`: robots' tokens, and the sign-ins that clients keep."""

from __future__ import annotations

import re
import secrets
import sys
from collections.abc import Callable

from corten.errors import InvalidArgument, NotFound
from corten.registry.accounts.administration import Changes, Request, closed_now, granted
from corten.registry.accounts.names import check_robot
from corten.registry.accounts.passwords import hash_token
from corten.registry.accounts.permissions import text_of
from corten.registry.accounts.records import ROBOT_PREFIX, Account, Kind, RefreshToken
from corten.registry.accounts.rows import moment, print_json, print_table
from corten.registry.accounts.settings import Tokens
from corten.registry.accounts.signing import new_key
from corten.registry.metadata import accounts

PREFIX = "corten-robot-"
SHOWN = 12
"""How many digits of a sign-in's hash are its ID; the hash tells nothing about the token."""
DAY = 86_400_000
_TIME = re.compile(r"([1-9][0-9]{0,4})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def run(request: Request, changes: Changes, settings: Tokens) -> int:
    """Does one of `corten registry token`'s commands; the exit code."""
    if request.action == "list":
        _list(request, changes, settings)
    else:
        _ACTIONS[request.action](request, changes)
    return 0


def _create(request: Request, changes: Changes) -> None:
    name = check_robot(request.names[0])
    wanted = granted(request.permissions)
    if not wanted:
        raise InvalidArgument("a token needs something that it is for: give --permission ACTIONS:PATTERN")
    token = PREFIX + secrets.token_urlsafe(32)
    expires = _expiry(request.expires)
    until = f"until {moment(expires)}" if expires else "for ever"
    allowed = " ".join(text_of(permission) for permission in wanted)
    first = changes.write(
        "token.create",
        f"{name} {allowed} {until}",
        accounts.add,
        Account(name, Kind.ROBOT, hash_token(token), expires=expires),
        wanted,
        new_key(),
    )
    # Only the token goes to standard output, so that a script can take it from there.
    print(token)
    sys.stdout.flush()
    print(
        f"The token is shown only now. It is for {allowed}, {until}.\n"
        f"Its user name is '{name}' (or {name.replace('$', '+')}, which a shell leaves alone).",
        file=sys.stderr,
    )
    if first:
        closed_now()


def _expiry(text: str) -> int:
    """The moment in `text` from now; 0 for never. InvalidArgument."""
    if text == "never":
        return 0
    match = _TIME.fullmatch(text)
    if match is None:
        raise InvalidArgument(
            f"invalid time {text[:40]!r} for --expires: write it as in 30d, 12h, 90m, or never"
        )
    return accounts.now() + int(match[1]) * _SECONDS[match[2]] * 1000


def _remove(request: Request, changes: Changes) -> None:
    for text in request.names:
        known = {account.name: account for account in changes.read(accounts.load).accounts}
        robot = known.get(text) or known.get(ROBOT_PREFIX + text.removeprefix("robot+"))
        if robot is not None and robot.kind is Kind.ROBOT:
            changes.write("token.delete", robot.name, accounts.remove, robot.name, open_=request.open)
        else:
            _end_sign_in(changes, text)
        print(text)


def _end_sign_in(changes: Changes, text: str) -> None:
    missing = NotFound(f"the registry has no token {text}: corten registry token list tells which there are")
    if len(text) < SHOWN or set(text) - set("0123456789abcdef"):
        raise missing
    ended = [found for found in changes.read(accounts.all_refresh) if found.hash.startswith(text)]
    if not ended:
        raise missing
    changes.write("sign-in.delete", f"{ended[0].account} {text}", accounts.drop_refresh, text)


def _list(request: Request, changes: Changes, settings: Tokens) -> None:
    known = changes.read(accounts.load)
    robots = [account for account in known.accounts if account.kind is Kind.ROBOT]
    sign_ins: list[RefreshToken] = changes.read(accounts.all_refresh)
    rows = [
        {
            "name": robot.name.removeprefix(ROBOT_PREFIX),
            "kind": "robot",
            "account": robot.name,
            "created": robot.created,
            "expires": robot.expires,
            "detail": " ".join(text_of(p) for p in known.permissions.get(robot.name, ())),
        }
        for robot in robots
    ]
    rows += [
        {
            "name": found.hash[:SHOWN],
            "kind": "sign-in",
            "account": found.account,
            "created": found.created,
            "expires": found.used + settings.refresh_days * DAY,
            "detail": f"client {found.client or 'unknown'}",
        }
        for found in sign_ins
    ]
    if request.format == "json":
        print_json(
            {**row, "created": int(row["created"]) // 1000, "expires": int(row["expires"]) // 1000}
            for row in rows
        )
        return
    now = accounts.now()
    print_table(
        ("NAME", "KIND", "ACCOUNT", "CREATED", "EXPIRES", "FOR"),
        [
            (
                str(row["name"]),
                str(row["kind"]),
                str(row["account"]),
                moment(int(row["created"])),
                _end(int(row["expires"]), now),
                str(row["detail"]),
            )
            for row in rows
        ],
    )


def _end(expires: int, now: int) -> str:
    if not expires:
        return "never"
    return moment(expires) if expires > now else f"{moment(expires)} (over)"


_ACTIONS: dict[str, Callable[[Request, Changes], None]] = {"create": _create, "rm": _remove}
