"""The client: one engine, its containers, images, volumes, networks."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Unpack

from corten.client import autostart
from corten.client.address import resolve
from corten.client.aio.containers import AsyncContainers
from corten.client.aio.images import AsyncImages
from corten.client.aio.networks import AsyncNetworks
from corten.client.aio.system import AsyncSystem
from corten.client.aio.volumes import AsyncVolumes
from corten.client.async_transport import AsyncTransport
from corten.client.container_options import ContainerOptions
from corten.client.results import Result


class AsyncClient:
    """A connection to an engine; a context manager.

    `address`: `unix:///path` or `tcp://host:port`; by default $CORTEN_HOST, or the user's own engine, which
    is started when it does not run.
    """

    def __init__(self, address: str | None = None) -> None:
        self.transport = AsyncTransport(resolve(address), start=autostart.start_engine)
        self.containers = AsyncContainers(self.transport)
        self.images = AsyncImages(self.transport)
        self.volumes = AsyncVolumes(self.transport)
        self.networks = AsyncNetworks(self.transport)
        self.system = AsyncSystem(self.transport)

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
        """Runs `command` in a new container and returns how it ended, with its output.

        `input` is its stdin. After `timeout` seconds it is killed, and TimeoutError is raised. With `check`,
        another
        exit code than 0 raises CommandFailed. The container is removed unless `remove` is false.
        """
        return await self.containers.run(
            image, command, input=input, timeout=timeout, check=check, remove=remove, **options
        )

    async def aclose(self) -> None:
        """Closes the connections; containers go on."""
        await self.transport.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
