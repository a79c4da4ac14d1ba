"""Access and token service of one process."""

from __future__ import annotations

from corten.registry.accounts.access_tokens import AccessTokens
from corten.registry.accounts.control import AccountAccess
from corten.registry.accounts.current import Current
from corten.registry.accounts.sign_in import SignIn
from corten.registry.accounts.store import AccountStore
from corten.registry.accounts.token_service import TokenService
from corten.registry.config import Config, is_loopback, parse_address
from corten.registry.metadata.database import Database


def open_accounts(config: Config, database: Database) -> tuple[AccountAccess, TokenService]:
    """Both follow the same accounts, once the first one is started."""
    store = AccountStore(database)
    current = Current(store, config.tokens)
    sign_in, tokens = SignIn(current, store), AccessTokens(config.tokens)
    access = AccountAccess(config, store, current, sign_in, tokens, may_be_open=may_be_open(config))
    return access, TokenService(config.tokens, current, sign_in, tokens, store)


def may_be_open(config: Config) -> bool:
    """Whether a registry without accounts lets everybody in: on loopback, where the operator says so, or who
    has a certificate of the authority that the operator has named."""
    if config.allow_anonymous or config.tls.requires_certificates:
        return True
    return all(is_loopback(parse_address(text)[0]) for text in config.listen)
