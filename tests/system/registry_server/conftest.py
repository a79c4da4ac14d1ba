"""Registries for system tests: on SQLite and files, and on PostgreSQL and S3."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("sqlalchemy")

from tests.registry_server import Client, ServerProcess
from tests.registry_stores import PostgresServer, S3Server, postgres_server, s3_server


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    yield from postgres_server()


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    pytest.importorskip("obstore")
    yield from s3_server(tmp_path_factory.mktemp("s3"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A registry on SQLite and files, with two workers; it collects all the time."""
    server = ServerProcess(
        tmp_path_factory.mktemp("registry"),
        workers=2,
        collection={"interval-seconds": 0.2, "grace-seconds": 2},
    ).start()
    yield server
    server.close()


@pytest.fixture
def client(server: ServerProcess) -> Iterator[Client]:
    client = Client(server.url)
    yield client
    client.close()
