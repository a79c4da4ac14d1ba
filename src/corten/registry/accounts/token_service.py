"""What /token answers: an access token for what was asked and is allowed, and on demand a sign-in that
lasts."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import msgspec

from corten.errors import CortenError
from corten.registry.access import Action
from corten.registry.accounts.access_tokens import AccessTokens
from corten.registry.accounts.current import Current
from corten.registry.accounts.passwords import MAX_SECRET, hash_token
from corten.registry.accounts.records import Account, RefreshToken
from corten.registry.accounts.scopes import Asked, parse, text_of
from corten.registry.accounts.settings import Tokens
from corten.registry.accounts.sign_in import SignIn
from corten.registry.accounts.store import AccountStore
from corten.registry.errors import Code, RegistryError
from corten.registry.metadata.accounts import now

SCOPES = 100
REFRESH_PREFIX = "corten-refresh-"
_USED_MILLISECONDS = 3_600_000


class Granted(msgspec.Struct, frozen=True):
    """An answer. `issued` in seconds since 1970; `refresh` "" when there is none."""

    token: str
    issued: int
    seconds: int
    scope: str
    refresh: str = ""


class TokenService:
    """The token service of this registry, and of no other."""

    def __init__(
        self,
        settings: Tokens,
        current: Current,
        sign_in: SignIn,
        tokens: AccessTokens,
        store: AccountStore,
    ) -> None:
        self._settings = settings
        self._current = current
        self._sign_in = sign_in
        self._tokens = tokens
        self._store = store

    @property
    def is_needed(self) -> bool:
        """Whether there are accounts, and so tokens."""
        return not self._current.book.is_empty

    async def by_password(self, name: str, secret: str, address: str) -> Account | None:
        """The account of a user name and password; None when they are wrong."""
        return await self._sign_in.check(name, secret, address)

    async def by_refresh_token(self, token: str) -> Account | None:
        """The account of a sign-in that lasts; None when it has ended, or never was."""
        if len(token) > MAX_SECRET or not token.startswith(REFRESH_PREFIX):
            return None
        found = await self._store.find_refresh(hash_token(token))
        if found is None or found.used < now() - self._settings.refresh_days * 86_400_000:
            return None
        account = self._current.book.account(found.account)
        if account is not None and found.used < now() - _USED_MILLISECONDS:
            await self._store.use_refresh(found.hash)
        return account

    async def grant(
        self, account: Account | None, service: str, scopes: Sequence[str], *, client: str, lasting: bool
    ) -> Granted:
        """A token for `account` (None: nobody has signed in) with what it may do of `scopes`.

        RegistryError with status 400 when it is for another service, or for too much.
        """
        if service and service != self._settings.service:
            raise RegistryError(
                Code.UNSUPPORTED,
                f"this is the token service of {self._settings.service}, not of {service[:200]!r}",
                status=400,
            )
        if sum(text.count(" ") + 1 for text in scopes) > SCOPES:
            raise RegistryError(Code.UNSUPPORTED, f"more than {SCOPES} scopes at once", status=400)
        granted = self._allowed(account, parse(scopes))
        issued = self._tokens.issue(self._current.book, account, granted)
        if issued is None:
            raise RegistryError(
                Code.UNSUPPORTED, "the token would be too large: ask for fewer scopes", status=400
            )
        refresh = ""
        if lasting and account is not None:
            refresh = await self._add_refresh(account, client)
        return Granted(issued.text, issued.issued, issued.seconds, text_of(granted), refresh)

    def _allowed(self, account: Account | None, asked: Asked) -> Asked:
        book = self._current.book
        name = account.name if account is not None else ""
        repositories: dict[str, frozenset[Action]] = {}
        for repository, wanted in asked.repositories.items():
            if actions := wanted & book.actions(name, repository):
                repositories[repository] = actions
        return Asked(repositories, asked.catalog and book.may_list(name))

    async def _add_refresh(self, account: Account, client: str) -> str:
        token = REFRESH_PREFIX + secrets.token_urlsafe(32)
        moment = now()
        readable = "".join(character for character in client[:100] if character.isprintable())
        try:
            await self._store.add_refresh(
                RefreshToken(hash_token(token), account.name, readable, moment, moment)
            )
        except CortenError:
            # Without it the client keeps the password, as it does with services that have no such tokens.
            return ""
        return token
