"""Corten: a complete container system in pure Python.

with corten.connect() as client:
    print(client.run("busybox", ["echo", "hello"]).stdout)
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.client import AsyncClient, Client

__version__ = "0.1.0"


def connect(address: "str | None" = None) -> "Client":
    """A client of the engine at `address`, by default the user's own, which is started when it does not
    run."""
    from corten.client import Client

    return Client(address)


def connect_async(address: "str | None" = None) -> "AsyncClient":
    """The same for asyncio."""
    from corten.client import AsyncClient

    return AsyncClient(address)
