"""Registries as one build sees them: with the credentials of the client that asked for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from corten.engine.registry_access import Access
from corten.image.registry.client import Registries, RegistryClient
from corten.oci.reference import Reference

AskClient = Callable[[str], Awaitable[str]]
"""Asks the client who it is to a registry (`docker.io`): a value of X-Registry-Auth, or nothing."""


class BuildRegistries:
    """An asynchronous context manager; called as `build.export.protocols.RegistryAccess`. Connections are
    opened when they are needed, and last as long as the build.

    `auth` is what the client has sent along (X-Registry-Auth, or X-Registry-Config); with None it is asked
    for each registry by `ask`, once.
    """

    def __init__(self, auth: str | None, *, insecure: bool = False, ask: AskClient | None = None) -> None:
        self._auth = auth
        self._insecure = insecure
        self._ask = ask
        self._registries = Registries()
        self._access: dict[str, asyncio.Task[Access]] = {}

    async def __aenter__(self) -> BuildRegistries:
        return self

    async def __aexit__(self, *exception: object) -> None:
        for task in self._access.values():
            task.cancel()
        await asyncio.gather(*self._access.values(), return_exceptions=True)
        await self._registries.close()

    async def __call__(self, reference: Reference, *, insecure: bool = False) -> RegistryClient:
        """The client of the reference's registry."""
        task = self._access.get(reference.domain)
        if task is None:
            task = self._access[reference.domain] = asyncio.create_task(self._who(reference.domain))
        access = await asyncio.shield(task)
        return self._registries.client(
            reference.domain,
            auth=access.credential(reference.domain),
            insecure=insecure or self._insecure,
        )

    async def _who(self, domain: str) -> Access:
        auth = self._auth
        if auth is None:
            auth = await self._ask(domain) if self._ask is not None else ""
        return Access(auth=auth)
