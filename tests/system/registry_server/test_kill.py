"""SIGKILL at any moment of pushes, deletes and collections by eight clients: what was acknowledged stays.

CORTEN_TEST_KILLS=200 makes it two hundred moments.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.registry_pushers import Pusher, pushing, verify
from tests.registry_server import Client, ServerProcess
from tests.registry_stores import PostgresServer, S3Server

KILLS = int(os.environ.get("CORTEN_TEST_KILLS", "4"))
CLIENTS = 8
COLLECTION = {"interval-seconds": 0.1, "grace-seconds": 0.5, "upload-hours": 0.0002, "batch": 20}


@pytest.fixture(params=["sqlite and files", "postgresql and s3"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ServerProcess]:
    settings: dict[str, Any] = {"workers": 2, "collection": COLLECTION}
    if request.param != "sqlite and files":
        postgres: PostgresServer = request.getfixturevalue("postgres")
        s3: S3Server = request.getfixturevalue("s3")
        settings |= {"database": postgres.new_database(), "storage": s3.url(), "storage_options": s3.options}
        settings["redirect"] = False
    server = ServerProcess(tmp_path, **settings)
    yield server
    server.close()


def test_killed_at_any_moment(server: ServerProcess) -> None:
    server.start()
    moments = random.Random(20)
    with pushing(server.url, CLIENTS) as pushers:
        for _ in range(KILLS):
            time.sleep(moments.uniform(0.05, 1.0))
            server.kill()
            server.start()
        time.sleep(0.5)
    client = Client(server.url)
    for pusher in pushers:
        verify(client, pusher)
    assert sum(len(pusher.known) for pusher in pushers) > 0
    _finish(server, client, pushers)


def _finish(server: ServerProcess, client: Client, pushers: list[Pusher]) -> None:
    """When all is deleted, nothing is left: no blob is orphaned for good."""
    deadline = time.monotonic() + 60 + KILLS
    while (found := server.run("check", read_blobs=True, grace=0)).returncode and time.monotonic() < deadline:
        time.sleep(0.5)
    assert found.returncode == 0, found.stdout + found.stderr
    for pusher in pushers:
        listed = client.get(f"/v2/{pusher.repository}/tags/list")
        for tag in (listed.json().get("tags") or []) if listed.status == 200 else []:
            digest = client.head(f"/v2/{pusher.repository}/manifests/{tag}").header("Docker-Content-Digest")
            assert client.delete(f"/v2/{pusher.repository}/manifests/{digest}").status == 202
    client.close()
    while time.monotonic() < deadline:
        found = server.run("check", grace=0)
        if "0 manifests, 0 blobs" in found.stdout and found.returncode == 0:
            break
        time.sleep(0.5)
    assert "0 repositories, 0 tags, 0 manifests, 0 blobs" in found.stdout, found.stdout + found.stderr
    assert found.returncode == 0
