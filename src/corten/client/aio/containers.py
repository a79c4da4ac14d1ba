"""Containers: run, create, list, prune."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Unpack

from corten.api.container import ContainerCreated, ContainersPruned, ContainerSummary
from corten.api.message import decode
from corten.client import container_options
from corten.client.aio.container import AsyncContainer
from corten.client.aio.query import filters as encode_filters
from corten.client.async_transport import AsyncTransport
from corten.client.container_options import ContainerOptions
from corten.client.results import Result
from corten.errors import Conflict


class AsyncContainers:
    """The containers of an engine."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def run(
        self,
        image: str,
        command: str | Sequence[str] | None = None,
        *,
        input: str | bytes = b"",
        timeout: float | None = None,
        check: bool = False,
        remove: bool = True,
        **options: Unpack[ContainerOptions],
    ) -> Result:
        """See `Client.run`."""
        data = input.encode() if isinstance(input, str) else input
        request: ContainerOptions = {**options, "auto_remove": remove, "stdin": bool(data)}
        container = await self._create(image, command, request, {"StdinOnce": True, "AttachStdout": True})
        try:
            result = await container._run(data, timeout, remove, tty=options.get("tty", False))
        except BaseException:
            if remove:  # it never started, or it was interrupted
                try:
                    await container.remove(force=True, missing_ok=True)
                except Conflict:
                    pass  # it is being removed
            raise
        return result.check() if check else result

    async def create(
        self,
        image: str,
        command: str | Sequence[str] | None = None,
        **options: Unpack[ContainerOptions],
    ) -> AsyncContainer:
        """A new container, not started."""
        return await self._create(image, command, options, {})

    async def start(
        self,
        image: str,
        command: str | Sequence[str] | None = None,
        **options: Unpack[ContainerOptions],
    ) -> AsyncContainer:
        """A new container that runs in the background."""
        container = await self._create(image, command, options, {})
        await container.start()
        return container

    async def _create(
        self,
        image: str,
        command: str | Sequence[str] | None,
        options: ContainerOptions,
        extra: Mapping[str, object],
    ) -> AsyncContainer:
        body = {**container_options.body(image, command, options), **extra}
        query = {"name": options["name"]} if "name" in options else None
        answer = await self._transport.request("POST", "/containers/create", query=query, json=body)
        created = decode(await answer.read(), ContainerCreated)
        return AsyncContainer(self._transport, created.id, warnings=tuple(created.warnings))

    async def get(self, name: str) -> AsyncContainer:
        """The container with this name or id (or the beginning of it); NotFound when there is none."""
        container = AsyncContainer(self._transport, name)
        return AsyncContainer(self._transport, (await container.inspect()).id)

    async def list(
        self,
        *,
        all: bool = False,
        limit: int | None = None,
        size: bool = False,
        filters: Mapping[str, str | Sequence[str]] | None = None,
    ) -> Sequence[ContainerSummary]:
        """The running containers, or `all`; `filters` as in {"label": ["a", "b=1"], "status": "exited"}."""
        query = encode_filters(filters)
        for name, wanted in (("all", all), ("size", size)):
            if wanted:
                query[name] = "1"
        if limit is not None:
            query["limit"] = str(limit)
        answer = await self._transport.request("GET", "/containers/json", query=query)
        return decode(await answer.read(), list[ContainerSummary])

    async def prune(self, filters: Mapping[str, str | Sequence[str]] | None = None) -> ContainersPruned:
        """Removes the stopped containers."""
        query = encode_filters(filters)
        answer = await self._transport.request("POST", "/containers/prune", query=query)
        return decode(await answer.read(), ContainersPruned)
