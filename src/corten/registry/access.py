"""Who may do what: the application asks before every handler, and handlers ask again for a second
repository (mounts).

`accounts/control.py` decides by the accounts in the database. `OpenAccess` allows everything, which is right
on loopback, and elsewhere only where the operator has said so.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from aiohttp import web


class Action(enum.Enum):
    """What is asked for. In Docker's words for scopes; LIST is the catalog, BASE is `/v2/`; ADMIN in "" is
    the registry itself."""

    BASE = "base"
    PULL = "pull"
    PUSH = "push"
    DELETE = "delete"
    LIST = "list"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks: a name for logs and audit; "" is anonymous."""

    name: str = ""
    limits: Mapping[str, frozenset[Action]] | None = field(default=None, compare=False)
    """What the token that was sent is for, by repository; None: no token narrows what the account may do."""


CALLER = "corten.registry.caller"
"""The key in a request under which an Access leaves the Identity that it knows before it refuses, for the
audit: `request[CALLER] = identity`."""


class Access(Protocol):
    """Decides about requests. Implementations hold no state of a request."""

    async def start(self) -> None:
        """Before the first question, in the event loop that asks. Unavailable."""
        ...

    async def close(self) -> None:
        """After the last question."""
        ...

    async def authorize(self, request: web.BaseRequest, action: Action, repository: str) -> Identity:
        """The caller, when `action` is allowed in `repository` ("" for BASE and LIST).

        Raises RegistryError: UNAUTHORIZED (with WWW-Authenticate) when credentials would help, DENIED
        when not.
        """
        ...

    async def allows(self, identity: Identity, action: Action, repository: str) -> bool:
        """Whether an identity that is known already may do something else as well."""
        ...


ANONYMOUS = Identity()


class OpenAccess:
    """Everybody may do everything."""

    async def start(self) -> None:
        return

    async def close(self) -> None:
        return

    async def authorize(self, request: web.BaseRequest, action: Action, repository: str) -> Identity:
        return ANONYMOUS

    async def allows(self, identity: Identity, action: Action, repository: str) -> bool:
        return True
