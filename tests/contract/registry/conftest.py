"""A registry for the conformance suite: corten's, or the one that CORTEN_TEST_REGISTRY names."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator

import pytest

from tests.registry_server import Client, ServerProcess


@pytest.fixture(scope="session")
def registry_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    given = os.environ.get("CORTEN_TEST_REGISTRY")
    if given:
        yield given.rstrip("/")
        return
    pytest.importorskip("sqlalchemy")
    server = ServerProcess(tmp_path_factory.mktemp("conformance"), workers=2).start()
    yield server.url
    server.close()


@pytest.fixture
def client(registry_url: str) -> Iterator[Client]:
    client = Client(registry_url)
    yield client
    client.close()


@pytest.fixture
def repository() -> str:
    """A repository that nobody else uses."""
    return f"conformance/{secrets.token_hex(8)}"
