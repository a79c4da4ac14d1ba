"""The public Python API: `Client` blocks, `AsyncClient` is for asyncio; both speak through one HTTP codec.

The names are loaded when they are first used: the command line imports this package and needs none of them.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.client.aio.client import AsyncClient as AsyncClient
    from corten.client.aio.container import AsyncContainer as AsyncContainer
    from corten.client.build_results import BuildFailed as BuildFailed
    from corten.client.results import CommandFailed as CommandFailed
    from corten.client.results import Progress as Progress
    from corten.client.results import Result as Result
    from corten.client.sync.client import Client as Client
    from corten.client.sync.container import Container as Container

_PLACES = {
    "AsyncClient": "aio.client",
    "AsyncContainer": "aio.container",
    "BuildFailed": "build_results",
    "Client": "sync.client",
    "CommandFailed": "results",
    "Container": "sync.container",
    "Progress": "results",
    "Result": "results",
}
__all__ = (
    "AsyncClient",
    "AsyncContainer",
    "BuildFailed",
    "Client",
    "CommandFailed",
    "Container",
    "Progress",
    "Result",
)


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = __import__(f"{__name__}.{_PLACES[name]}", fromlist=(name,))
    return getattr(module, name)
