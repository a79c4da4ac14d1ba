"""The `Access` of a registry with accounts; without any, everybody may do everything, at no cost."""

from __future__ import annotations

import base64

from aiohttp import web

from corten.registry.access import ANONYMOUS, CALLER, Action, Identity
from corten.registry.accounts.access_tokens import AccessTokens, BadToken
from corten.registry.accounts.challenges import scope_of, unauthorized
from corten.registry.accounts.current import Current
from corten.registry.accounts.permissions import including
from corten.registry.accounts.sign_in import SignIn
from corten.registry.accounts.store import AccountStore
from corten.registry.certificates import certificate_name
from corten.registry.config import Config
from corten.registry.errors import Code, RegistryError

_WORDS = {
    Action.PULL: "pull from {}",
    Action.PUSH: "push to {}",
    Action.DELETE: "delete in {}",
    Action.ADMIN: "look after {}",
    Action.LIST: "list repositories",
}
_SHOWN = 64


class AccountAccess:
    """Decides by the newest book. Basic and Bearer are taken on every path."""

    def __init__(
        self,
        config: Config,
        store: AccountStore,
        current: Current,
        sign_in: SignIn,
        tokens: AccessTokens,
        *,
        may_be_open: bool,
    ) -> None:
        self._config = config
        self._store = store
        self._current = current
        self._sign_in = sign_in
        self._tokens = tokens
        self._may_be_open = may_be_open

    @property
    def is_open(self) -> bool:
        """Whether everybody may do everything."""
        return self._may_be_open and self._current.book.is_empty

    async def authorize(self, request: web.BaseRequest, action: Action, repository: str) -> Identity:
        if self._may_be_open and self._current.book.is_empty:
            return ANONYMOUS
        header = request.headers.get("Authorization")
        if not header:
            return self._anonymous(request, action, repository)
        scheme, _, credential = header.partition(" ")
        if scheme.lower() == "bearer":
            return self._bearer(request, action, repository, credential.strip())
        scope = scope_of(request, action, repository)
        if scheme.lower() != "basic":
            raise unauthorized(
                self._config, request, "credentials are taken as Basic or as a Bearer token", scope
            )
        name, secret = decode_basic(credential)
        account = await self._sign_in.check(name, secret, request.remote or "")
        if account is None:
            raise unauthorized(self._config, request, wrong(name), scope)
        identity = Identity(account.name)
        request[CALLER] = identity
        self._require(identity, action, repository)
        return identity

    async def allows(self, identity: Identity, action: Action, repository: str) -> bool:
        if self.is_open:
            return True
        return self._may(identity, action, repository)

    def _anonymous(self, request: web.BaseRequest, action: Action, repository: str) -> Identity:
        name = certificate_name(request)
        if name and self._current.book.account(name) is not None:
            identity = Identity(name)
            request[CALLER] = identity
            self._require(identity, action, repository)
            return identity
        # `/v2/` has to ask who it is: a client that is not asked there sends no credentials later.
        if action is not Action.BASE and self._may(ANONYMOUS, action, repository):
            return ANONYMOUS
        raise unauthorized(
            self._config,
            request,
            f"sign in to {_what(action, repository)}",
            scope_of(request, action, repository),
        )

    def _bearer(self, request: web.BaseRequest, action: Action, repository: str, token: str) -> Identity:
        scope = scope_of(request, action, repository)
        try:
            claims = self._tokens.verify(self._current.book, token)
        except BadToken as why:
            raise unauthorized(
                self._config, request, f"the token is not valid: {why}", scope, "invalid_token"
            ) from why
        account = Identity(claims.account)
        request[CALLER] = account
        if action is Action.LIST and claims.catalog:
            # The list names what the account may pull from; the token is not for single repositories.
            self._require(account, action, repository)
            return account
        identity = Identity(claims.account, claims.repositories)
        if action is Action.BASE or self._may(identity, action, repository):
            return identity
        if claims.account:
            self._require(account, action, repository)  # another token would not help
        raise unauthorized(
            self._config,
            request,
            f"the token is not for this: get one to {_what(action, repository)}",
            scope,
            "insufficient_scope",
        )

    def _require(self, identity: Identity, action: Action, repository: str) -> None:
        if not self._may(identity, action, repository):
            raise RegistryError(Code.DENIED, f"{identity.name} may not {_what(action, repository)}")

    def _may(self, identity: Identity, action: Action, repository: str) -> bool:
        book = self._current.book
        if book.known(identity.name) is not None and book.account(identity.name) is None:
            return False
        if action is Action.BASE:
            return True
        if not repository:
            if identity.limits is not None:
                return False
            return (
                book.may_list(identity.name)
                if action is Action.LIST
                else book.is_administrator(identity.name)
            )
        if action not in book.actions(identity.name, repository):
            return False
        return identity.limits is None or action in including(identity.limits.get(repository, ()))

    async def start(self) -> None:
        """Reads who may do what, and follows its changes. Unavailable."""
        await self._current.start()

    async def close(self) -> None:
        """Follows no more."""
        await self._current.close()
        await self._sign_in.close()
        await self._store.close()


def _what(action: Action, repository: str) -> str:
    return _WORDS.get(action, "use this registry").format(repository or "this registry")


def wrong(name: str) -> str:
    """Why `name` is refused: for the client, the log and the audit log. The same whether there is such an
    account or not."""
    shown = ascii(name[:_SHOWN])
    return f"wrong user name or password for {shown}, or the account is disabled"


def decode_basic(credential: str) -> tuple[str, str]:
    """User name and password of RFC 7617; two empty strings when it is not that."""
    try:
        text = base64.b64decode(credential.strip(), validate=True).decode()
    except ValueError:  # of base64, of its text, or of UTF-8
        return "", ""
    name, colon, secret = text.partition(":")
    return (name, secret) if colon else ("", "")
