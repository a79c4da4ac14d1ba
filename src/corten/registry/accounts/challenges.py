"""What a client without leave is told: WWW-Authenticate (RFC 6750, section 3; distribution, "Token
Authentication Specification")."""

from __future__ import annotations

from aiohttp import web

from corten.registry.access import Action
from corten.registry.accounts.scopes import CATALOG
from corten.registry.config import Config
from corten.registry.errors import Code, RegistryError
from corten.registry.location import location

TOKEN_PATH = "/token"
_WANTED = {
    Action.PULL: "pull",
    Action.PUSH: "pull,push",
    Action.DELETE: "pull,delete",
    Action.ADMIN: "admin",
}


def scope_of(request: web.BaseRequest, action: Action, repository: str) -> str:
    """The scope that a token needs for this; "" for none."""
    if action is Action.LIST:
        return CATALOG
    if action is Action.PULL and request.method == "HEAD" and "/blobs/" in request.path:
        # Who asks for a blob's head is about to push, and some clients (oras-py) get one token for all of it.
        action = Action.PUSH
    return f"repository:{repository}:{_WANTED[action]}" if repository and action in _WANTED else ""


def unauthorized(
    config: Config, request: web.BaseRequest, message: str, scope: str = "", error: str = ""
) -> RegistryError:
    """401 with the challenge; `error` is RFC 6750's word for what was wrong with the token that was sent."""
    realm = location(config, request, TOKEN_PATH)
    challenge = f'Bearer realm="{realm}",service="{config.tokens.service}"'
    if scope:
        challenge += f',scope="{scope}"'
    if error:
        challenge += f',error="{error}"'
    return RegistryError(Code.UNAUTHORIZED, message, headers={"WWW-Authenticate": challenge})
