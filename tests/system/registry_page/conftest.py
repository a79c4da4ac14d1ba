"""A registry that has something of everything, and its pages without and with a browser."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("jinja2")

from tests.page_html import Element, parse
from tests.registry_gallery import Gallery, fill, push_hostile
from tests.registry_server import Answer, Client, ServerProcess


@dataclass
class Pages:
    """Asks for pages."""

    client: Client

    def answer(self, path: str, status: int = 200, **headers: str) -> Answer:
        found = self.client.request(
            "GET", path, headers={name.replace("_", "-"): v for name, v in headers.items()}
        )
        assert found.status == status, found.body.decode()
        return found

    def get(self, path: str, status: int = 200, **headers: str) -> Element:
        """The page, well-formed."""
        return parse(self.answer(path, status, **headers).body.decode())


@pytest.fixture(scope="session")
def gallery_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    server = ServerProcess(tmp_path_factory.mktemp("gallery")).start()
    gallery = fill(server.client())
    push_hostile(gallery)
    yield server
    server.close()


@pytest.fixture
def gallery(gallery_server: ServerProcess) -> Gallery:
    return Gallery(gallery_server.client())


@pytest.fixture
def pages(gallery_server: ServerProcess) -> Iterator[Pages]:
    client = Client(gallery_server.url)
    yield Pages(client)
    client.close()
