"""The page as the application knows it: nothing of it is imported before somebody asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from corten.errors import CortenError, Unsupported
from corten.registry.blobs.store import BlobStore
from corten.registry.config import Config

if TYPE_CHECKING:
    from corten.registry.page.site import Site
    from corten.registry.services import Services


class Page:
    """One process's page. A registry that nobody looks at has neither templates nor connections for it."""

    def __init__(self, config: Config, blobs: BlobStore) -> None:
        self._config = config
        self._blobs = blobs
        self._site: Site | None = None

    async def answer(self, services: Services, request: web.BaseRequest, path: str) -> web.Response:
        """See `Site.answer`."""
        return await self._opened().answer(services, request, path)

    async def failure(
        self, services: Services, request: web.BaseRequest, error: CortenError
    ) -> web.Response | None:
        """See `Site.failure`; None when there is no page at all, for lack of Jinja2."""
        try:
            site = self._opened()
        except Unsupported:
            return None
        return await site.failure(services, request, error)

    def _opened(self) -> Site:
        if self._site is None:
            try:
                from corten.registry.page.site import Site
            except ModuleNotFoundError as error:
                raise Unsupported(
                    f"the page needs {error.name}, which is not installed: pip install 'corten[registry]'"
                ) from error

            self._site = Site(self._config, self._blobs)
        return self._site

    async def close(self) -> None:
        """Ends what was begun."""
        if self._site is not None:
            await self._site.close()
