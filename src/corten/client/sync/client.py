# Generated from corten/client/aio by scripts/generate_sync_client: change it there.
"""The client: one engine, its containers, images, volumes, networks."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Unpack

from corten.client import autostart
from corten.client.address import resolve
from corten.client.container_options import ContainerOptions
from corten.client.results import Result
from corten.client.sync.containers import Containers
from corten.client.sync.images import Images
from corten.client.sync.networks import Networks
from corten.client.sync.system import System
from corten.client.sync.volumes import Volumes
from corten.client.transport import Transport


class Client:
    """A connection to an engine; a context manager.

    `address`: `unix:///path` or `tcp://host:port`; by default $CORTEN_HOST, or the user's own engine, which
    is started when it does not run.
    """

    def __init__(self, address: str | None = None) -> None:
        self.transport = Transport(resolve(address), start=autostart.start_engine)
        self.containers = Containers(self.transport)
        self.images = Images(self.transport)
        self.volumes = Volumes(self.transport)
        self.networks = Networks(self.transport)
        self.system = System(self.transport)

    def run(
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
        return self.containers.run(
            image, command, input=input, timeout=timeout, check=check, remove=remove, **options
        )

    def close(self) -> None:
        """Closes the connections; containers go on."""
        self.transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
