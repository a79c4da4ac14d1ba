"""Everything that is decided with, as the database had it at one moment."""

from __future__ import annotations

import time

from corten.registry.access import Action
from corten.registry.accounts.patterns import matches
from corten.registry.accounts.permissions import EVERYTHING, actions_of, including
from corten.registry.accounts.records import ANONYMOUS_NAME, Account, Known, Permission, SigningKey

REMEMBERED = 20_000
"""How many decisions are remembered, for as long as nothing changes."""


class Book:
    """Accounts, permissions and keys. It never changes: another generation is another book."""

    def __init__(self, known: Known) -> None:
        self.generation = known.generation
        self.keys: dict[str, SigningKey] = {key.id: key for key in known.keys}
        self._accounts = {account.name: account for account in known.accounts}
        self.is_empty = not self._accounts
        """Whether there are no accounts at all: every request asks."""
        self._permissions = dict(known.permissions)
        if (everybody := self._accounts.get(ANONYMOUS_NAME)) is not None and everybody.disabled:
            # It does not sign in, so that this is what disabling it can mean.
            self._permissions.pop(ANONYMOUS_NAME, None)
        self._remembered: dict[tuple[str, str], frozenset[Action]] = {}

    def account(self, name: str) -> Account | None:
        """An account that may sign in now: it is there, not disabled, and has not expired."""
        account = self.known(name)
        if account is None or account.disabled or name == ANONYMOUS_NAME:
            return None
        return account if not account.expires or time.time() * 1000 < account.expires else None

    def known(self, name: str) -> Account | None:
        """An account, whatever it is."""
        return self._accounts.get(name)

    def actions(self, name: str, repository: str) -> frozenset[Action]:
        """What the account `name` ("": nobody has signed in) may do in `repository`."""
        key = (name, repository)
        found = self._remembered.get(key)
        if found is None:
            allowed = {
                action
                for permission in (*self.permissions(name), *self.permissions(ANONYMOUS_NAME))
                if matches(permission.pattern, repository)
                for action in actions_of(permission)
            }
            found = including(allowed)
            if len(self._remembered) >= REMEMBERED:
                self._remembered.clear()
            self._remembered[key] = found
        return found

    def is_administrator(self, name: str) -> bool:
        """Whether the account may look after the registry itself."""
        return any(
            permission.pattern == EVERYTHING and Action.ADMIN.value in permission.actions
            for permission in self.permissions(name)
        )

    def may_list(self, name: str) -> bool:
        """Whether there can be a repository that the account may pull from."""
        return bool(self.permissions(name) or self.permissions(ANONYMOUS_NAME))

    def permissions(self, name: str) -> tuple[Permission, ...]:
        """What an account was granted."""
        return self._permissions.get(name, ())

    def signing_key(self) -> SigningKey | None:
        """The key that signs now: the newest one that is active, if one is."""
        now = time.time() * 1000
        active = [key for key in self.keys.values() if key.active <= now] or list(self.keys.values())
        return max(active, key=lambda key: (key.active, key.id), default=None)
