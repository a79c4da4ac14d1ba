"""Corten: a complete container system in pure Python.

with corten.connect() as client:
    print(client.run("busybox", ["echo", "hello"]).stdout)
"""

from corten.version import __version__ as __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.client import AsyncClient, Client


def connect(address: "str | None" = None) -> "Client":
    """A client of the engine at `address`, by default the user's own, which is started when it does not
    run."""
    from corten.client import Client

    return Client(address)


def connect_async(address: "str | None" = None) -> "AsyncClient":
    """The same for asyncio."""
    from corten.client import AsyncClient

    return AsyncClient(address)
