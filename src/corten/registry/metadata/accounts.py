"""Accounts, permissions, sign-ins that last, and signing keys: functions within the caller's transaction.

Each change of what somebody may do ends with `_changed`. It locks the one row of `account_state` first where
changes depend on each other, so that they take turns.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise

from sqlalchemy import Connection, delete, exists, select, update

from corten.errors import Conflict, NotFound
from corten.registry.accounts.records import (
    ANONYMOUS_NAME,
    Account,
    Kind,
    Known,
    Permission,
    RefreshToken,
    SigningKey,
)
from corten.registry.metadata.schema import (
    account_permissions,
    account_state,
    accounts,
    refresh_tokens,
    signing_keys,
)

SIGN_INS = 100
"""How many sign-ins that last an account has at most; the one that was used least recently makes room."""


def generation(connection: Connection) -> int:
    """Another number after each change; 0 before the first one."""
    found = connection.execute(select(account_state.c.generation)).scalar()
    return int(found) if found is not None else 0


def _changed(connection: Connection) -> None:
    # A random number, not a count: a database that was restored must not look like the one before.
    number = secrets.randbits(62) + 1
    if not connection.execute(update(account_state).values(generation=number)).rowcount:
        connection.execute(account_state.insert().values(id=1, generation=number))


def any_account(connection: Connection) -> bool:
    """Whether there are accounts, so that not everybody may do everything."""
    return connection.execute(select(accounts.c.name).limit(1)).first() is not None


def load(connection: Connection) -> Known:
    """Everything that decides about requests."""
    # The generation first: a change in between is then noticed at the next look.
    number = generation(connection)
    permissions: dict[str, list[Permission]] = {}
    for name, pattern, actions in connection.execute(
        select(
            account_permissions.c.account, account_permissions.c.pattern, account_permissions.c.actions
        ).order_by(account_permissions.c.account, account_permissions.c.pattern)
    ):
        permissions.setdefault(name, []).append(Permission(pattern, tuple(actions.split(","))))
    return Known(
        number,
        tuple(_account(row) for row in connection.execute(select(accounts).order_by(accounts.c.name))),
        {name: tuple(found) for name, found in permissions.items()},
        tuple(SigningKey(row[0], bytes(row[1]), row[2]) for row in connection.execute(select(signing_keys))),
    )


def _account(row: Sequence[object]) -> Account:
    name, kind, secret, stamp, disabled, created, expires = row
    return Account(name, Kind(kind), secret, stamp, bool(disabled), created, expires)  # type: ignore[arg-type]


def account(connection: Connection, name: str) -> Account:
    """NotFound when there is none."""
    row = connection.execute(select(accounts).where(accounts.c.name == name)).first()
    if row is None:
        raise NotFound(f"the registry has no account {name}")
    return _account(row)


def add(
    connection: Connection, new: Account, permissions: Sequence[Permission], first_key: SigningKey
) -> bool:
    """A new account; whether it is the first one, from which on not everybody may do everything. Conflict."""
    _changed(connection)
    if connection.execute(select(exists().where(accounts.c.name == new.name))).scalar():
        raise Conflict(f"the registry has an account {new.name} already")
    first = not any_account(connection)
    connection.execute(
        accounts.insert().values(
            name=new.name,
            kind=new.kind.value,
            secret=new.secret,
            stamp=secrets.token_hex(8),
            disabled=new.disabled,
            created=now(),
            expires=new.expires,
        )
    )
    for permission in permissions:
        _grant(connection, new.name, permission)
    if connection.execute(select(signing_keys.c.id).limit(1)).first() is None:
        add_key(connection, first_key)
    return first


def add_all(
    connection: Connection,
    users: Mapping[str, str],
    permissions: Sequence[Permission],
    first_key: SigningKey,
) -> tuple[list[str], list[str]]:
    """New users by name and hash; those that were added, and those that were there and stay as they are."""
    there = set(connection.execute(select(accounts.c.name)).scalars())
    for name, stored in users.items():
        if name not in there:
            add(connection, Account(name, Kind.USER, stored), permissions, first_key)
    return [name for name in users if name not in there], [name for name in users if name in there]


def remove(connection: Connection, name: str, *, open_: bool) -> None:
    """Deletes an account with everything of it. NotFound; Conflict for the last one, unless `open_`."""
    _changed(connection)
    account(connection, name)
    others = connection.execute(select(accounts.c.name).where(accounts.c.name != name).limit(1)).first()
    if others is None and not open_:
        raise Conflict(
            f"{name} is the last account: without it, everybody who reaches the registry may do everything;"
            " give --open to have it so, or disable the account instead"
        )
    connection.execute(delete(accounts).where(accounts.c.name == name))


def set_secret(connection: Connection, name: str, secret: str) -> None:
    """Another password: sign-ins and tokens from before end. NotFound."""
    _changed(connection)
    account(connection, name)
    connection.execute(
        update(accounts).where(accounts.c.name == name).values(secret=secret, stamp=secrets.token_hex(8))
    )
    connection.execute(delete(refresh_tokens).where(refresh_tokens.c.account == name))


def rehash(connection: Connection, name: str, before: str, after: str) -> None:
    """The same password in another form, unless it was changed meanwhile."""
    if connection.execute(
        update(accounts).where(accounts.c.name == name, accounts.c.secret == before).values(secret=after)
    ).rowcount:
        _changed(connection)


def set_disabled(connection: Connection, name: str, disabled: bool) -> None:
    """A disabled account cannot sign in, and its sign-ins end. NotFound."""
    _changed(connection)
    account(connection, name)
    connection.execute(update(accounts).where(accounts.c.name == name).values(disabled=disabled))
    if disabled:
        connection.execute(delete(refresh_tokens).where(refresh_tokens.c.account == name))


def grant(
    connection: Connection, name: str, permissions: Sequence[Permission], first_key: SigningKey
) -> None:
    """Adds to what an account may do; the anonymous one comes to be by it. NotFound."""
    if (
        name == ANONYMOUS_NAME
        and not connection.execute(select(exists().where(accounts.c.name == name))).scalar()
    ):
        add(connection, Account(name, Kind.ANONYMOUS), permissions, first_key)
        return
    _changed(connection)
    account(connection, name)
    for permission in permissions:
        _grant(connection, name, permission)


def _grant(connection: Connection, name: str, permission: Permission) -> None:
    before = _granted(connection, name, permission.pattern)
    words = tuple(dict.fromkeys((*before, *permission.actions)))
    if before:
        connection.execute(
            update(account_permissions)
            .where(account_permissions.c.account == name, account_permissions.c.pattern == permission.pattern)
            .values(actions=",".join(words))
        )
    else:
        connection.execute(
            account_permissions.insert().values(
                account=name, pattern=permission.pattern, actions=",".join(words)
            )
        )


def _granted(connection: Connection, name: str, pattern: str) -> tuple[str, ...]:
    found = connection.execute(
        select(account_permissions.c.actions).where(
            account_permissions.c.account == name, account_permissions.c.pattern == pattern
        )
    ).scalar()
    return tuple(found.split(",")) if found else ()


def revoke(connection: Connection, name: str, permissions: Sequence[Permission]) -> None:
    """Takes actions away from what was granted with the same patterns. NotFound when it was not granted."""
    _changed(connection)
    account(connection, name)
    for permission in permissions:
        before = _granted(connection, name, permission.pattern)
        if missing := [word for word in permission.actions if word not in before]:
            raise NotFound(
                f"{name} was not granted {missing[0]} for {permission.pattern}"
                + (f", only {','.join(before)}" if before else "")
            )
        left = [word for word in before if word not in permission.actions]
        where = (account_permissions.c.account == name) & (
            account_permissions.c.pattern == permission.pattern
        )
        if left:
            connection.execute(update(account_permissions).where(where).values(actions=",".join(left)))
        else:
            connection.execute(delete(account_permissions).where(where))


def add_refresh(connection: Connection, token: RefreshToken) -> None:
    """A sign-in that lasts; the oldest ones of the account make room."""
    connection.execute(
        refresh_tokens.insert().values(
            hash=token.hash,
            account=token.account,
            client=token.client,
            created=token.created,
            used=token.used,
        )
    )
    kept = (
        select(refresh_tokens.c.hash)
        .where(refresh_tokens.c.account == token.account)
        .order_by(refresh_tokens.c.used.desc(), refresh_tokens.c.hash)
        .limit(SIGN_INS)
    )
    connection.execute(
        delete(refresh_tokens).where(
            refresh_tokens.c.account == token.account, refresh_tokens.c.hash.not_in(kept)
        )
    )


def find_refresh(connection: Connection, hash_: str) -> RefreshToken | None:
    """A sign-in, by the hash of what the client has."""
    row = connection.execute(select(refresh_tokens).where(refresh_tokens.c.hash == hash_)).first()
    return RefreshToken(*row) if row is not None else None


def use_refresh(connection: Connection, hash_: str) -> None:
    """Writes down that a sign-in was used now."""
    connection.execute(update(refresh_tokens).where(refresh_tokens.c.hash == hash_).values(used=now()))


def drop_refresh(connection: Connection, prefix: str) -> RefreshToken | None:
    """Ends the one sign-in whose hash begins so; None when there is none. Conflict when there are several."""
    rows = connection.execute(
        select(refresh_tokens).where(refresh_tokens.c.hash.startswith(prefix, autoescape=True)).limit(2)
    ).all()
    if len(rows) > 1:
        raise Conflict(f"more than one sign-in has an ID that begins with {prefix}: give more of it")
    if not rows:
        return None
    found = RefreshToken(*rows[0])
    connection.execute(delete(refresh_tokens).where(refresh_tokens.c.hash == found.hash))
    return found


def all_refresh(connection: Connection) -> list[RefreshToken]:
    """Every sign-in, by account."""
    order = (refresh_tokens.c.account, refresh_tokens.c.created)
    return [RefreshToken(*row) for row in connection.execute(select(refresh_tokens).order_by(*order))]


def expire_refresh(connection: Connection, idle: int) -> None:
    """Ends the sign-ins that nobody has used for so long."""
    connection.execute(delete(refresh_tokens).where(refresh_tokens.c.used < now() - idle))


def add_key(connection: Connection, key: SigningKey) -> None:
    """A key for tokens."""
    connection.execute(signing_keys.insert().values(id=key.id, private=key.private, active=key.active))


def rotate(connection: Connection, new: SigningKey, age: int, keep: int) -> bool:
    """Adds `new` when the newest key is older than `age`, and deletes those that have not signed for `keep`.

    Whether anything has changed: another process may have been faster.
    """
    # The lock comes first, so that of several processes one adds a key.
    connection.execute(update(account_state).values(generation=account_state.c.generation))
    keys = [SigningKey(row[0], bytes(row[1]), row[2]) for row in connection.execute(select(signing_keys))]
    keys.sort(key=lambda key: key.active)
    changed = not keys or keys[-1].active < now() - age
    if changed:
        add_key(connection, new)
        keys.append(new)
    for key, successor in pairwise(keys):
        if successor.active < now() - keep:
            connection.execute(delete(signing_keys).where(signing_keys.c.id == key.id))
            changed = True
    if changed:
        _changed(connection)
    return changed


def now() -> int:
    """Milliseconds since 1970."""
    return int(time.time() * 1000)
