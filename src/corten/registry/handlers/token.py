"""`/token`: Docker's token flow (distribution, "Token Authentication Specification" and "OAuth2 Token
Authentication")."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import parse_qs

import msgspec
from aiohttp import web

from corten.registry.access import CALLER, Identity
from corten.registry.accounts.challenges import unauthorized
from corten.registry.accounts.control import decode_basic, wrong
from corten.registry.accounts.records import Account
from corten.registry.accounts.token_service import Granted, TokenService
from corten.registry.body import read_body
from corten.registry.errors import Code, RegistryError
from corten.registry.routing import Route
from corten.registry.services import Services

FORM_BYTES = 64 << 10
FORM_FIELDS = 200


async def get(services: Services, request: web.BaseRequest, route: Route, identity: Identity) -> web.Response:
    tokens = _service(services)
    query = request.rel_url.query
    account = await _basic(services, tokens, request)
    granted = await tokens.grant(
        account,
        query.get("service", ""),
        query.getall("scope", []),
        client=query.get("client_id", ""),
        lasting=query.get("offline_token", "") in ("true", "1"),
    )
    return _answer(granted)


async def post(
    services: Services, request: web.BaseRequest, route: Route, identity: Identity
) -> web.Response:
    tokens = _service(services)
    form = await _form(services, request)
    kind = form.get("grant_type", "")
    lasting = form.get("access_type", "") == "offline"
    refresh = ""
    account: Account | None
    if kind == "password":
        account = await tokens.by_password(
            form.get("username", ""), form.get("password", ""), request.remote or ""
        )
    elif kind == "refresh_token":
        refresh, lasting = form.get("refresh_token", ""), False
        account = await tokens.by_refresh_token(refresh)
    else:
        raise _bad_request(f"grant_type has to be password or refresh_token, not {kind[:40]!r}")
    if account is None:
        ended = "the sign-in has ended: log in again"
        what = wrong(form.get("username", "")) if kind == "password" else ended
        raise unauthorized(services.config, request, what)
    request[CALLER] = Identity(account.name)
    granted = await tokens.grant(
        account,
        form.get("service", ""),
        [form.get("scope", "")],
        client=form.get("client_id", ""),
        lasting=lasting,
    )
    return _answer(msgspec.structs.replace(granted, refresh=refresh) if refresh else granted)


def _service(services: Services) -> TokenService:
    if services.tokens is None or not services.tokens.is_needed:
        raise RegistryError(
            Code.UNSUPPORTED, "this registry has no accounts, and wants no tokens", status=404
        )
    return services.tokens


async def _basic(services: Services, tokens: TokenService, request: web.BaseRequest) -> Account | None:
    """Who signs in by the header; None without one."""
    header = request.headers.get("Authorization", "")
    if not header:
        return None
    scheme, _, credential = header.partition(" ")
    name, secret = decode_basic(credential) if scheme.lower() == "basic" else ("", "")
    account = await tokens.by_password(name, secret, request.remote or "")
    if account is None:
        raise unauthorized(services.config, request, wrong(name))
    request[CALLER] = Identity(account.name)
    return account


async def _form(services: Services, request: web.BaseRequest) -> dict[str, str]:
    if request.content_type != "application/x-www-form-urlencoded":
        raise _bad_request("the body has to be application/x-www-form-urlencoded")
    body = await read_body(request, FORM_BYTES, services.config.limits, what="form", code=Code.UNSUPPORTED)
    try:
        fields = parse_qs(
            body.decode(), keep_blank_values=True, strict_parsing=True, max_num_fields=FORM_FIELDS
        )
    except ValueError as error:
        raise _bad_request("the form cannot be read") from error
    return {name: values[-1] for name, values in fields.items()}


def _bad_request(message: str) -> RegistryError:
    return RegistryError(Code.UNSUPPORTED, message, status=400)


def _answer(granted: Granted) -> web.Response:
    document = {
        "token": granted.token,
        "access_token": granted.token,
        "token_type": "Bearer",
        "scope": granted.scope,
        "expires_in": granted.seconds,
        "issued_at": datetime.fromtimestamp(granted.issued, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    if granted.refresh:
        document["refresh_token"] = granted.refresh
    return web.Response(
        body=msgspec.json.encode(document),
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
