"""Backup, restore and check beside a registry that serves: on SQLite and files, and on PostgreSQL and S3."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from corten.registry.blobs.store import BlobStore, location_of
from tests.registry_server import Image, ServerProcess, digest_of, make_image
from tests.registry_stores import PostgresServer, S3Server

CORTEN = (sys.executable, "-m", "corten", "registry")
COLLECTION = {"interval-seconds": 0.2, "grace-seconds": 2}
BOTH = ["sqlite and files", "postgresql and s3"]


def settings_of(kind: str, request: pytest.FixtureRequest) -> dict[str, Any]:
    settings: dict[str, Any] = {"collection": COLLECTION}
    if kind != "sqlite and files":
        postgres: PostgresServer = request.getfixturevalue("postgres")
        s3: S3Server = request.getfixturevalue("s3")
        settings |= {"database": postgres.new_database(), "storage": s3.url(), "storage_options": s3.options}
        settings["redirect"] = False
    return settings


@pytest.fixture(params=BOTH)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ServerProcess]:
    server = ServerProcess(tmp_path, **settings_of(request.param, request)).start()
    yield server
    server.close()


def store_of(server: ServerProcess) -> BlobStore:
    from corten.registry import config
    from corten.registry.blobs.opening import open_blobs

    return open_blobs(config.convert(server.settings, "test"))


def spoil(server: ServerProcess, store: BlobStore, digest: str, data: bytes | None) -> str:
    """The bytes of a blob become others, or go; where they lie."""
    (location,) = [entry.location for entry in store.list() if digest[7:] in entry.location]
    store.delete(location)
    if data is not None:
        write(store, location, data)
    return location


def write(store: BlobStore, location: str, data: bytes) -> None:
    appender = store.append("spoiling", 0, "")
    appender.write([data])
    state = appender.commit()
    appender.close()
    store.publish("spoiling", state, len(data), location)


def wait_until_collected(server: ServerProcess, digest: str) -> None:
    store, deadline = store_of(server), time.monotonic() + 30
    while any(digest[7:] in entry.location for entry in store.list()):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_backup_and_restore(place: ServerProcess, tmp_path: Path) -> None:
    """While pushes go on; what was collected since is named, and a push of it mends that."""
    client = place.client()
    kept, gone, late = make_image(), make_image(), make_image()
    client.push_image("app", "kept", kept)
    client.push_image("app", "gone", gone)
    path = tmp_path / "backup.zst"
    done = place.run("backup", path=str(path))
    assert done.returncode == 0, done.stderr
    assert path.stat().st_mode & 0o777 == 0o600
    client.push_image("app", "late", late)
    assert client.delete(f"/v2/app/manifests/{gone.digest}").status == 202
    for blob in gone.blobs:
        wait_until_collected(place, digest_of(blob))
    # A push that brings back what was collected puts it at another place than the backup knows.
    client.push_image("other", "latest", Image(gone.config, ()))
    assert client.delete(f"/v2/app/manifests/{late.digest}").status == 202

    done = place.run("restore", path=str(path))
    assert done.returncode == 1
    assert "not empty" in done.stderr and "--replace" in done.stderr
    assert place.stop() == 0
    done = place.run("restore", path=str(path), replace=True)
    assert done.returncode == 1, done.stderr
    for blob in gone.blobs:
        assert (
            f"{digest_of(blob)}: its bytes are not in the storage (app:gone cannot be pulled)" in done.stdout
        )
    assert "2 of 4 blobs are not in the storage" in done.stdout
    place.start()
    client.close()
    assert client.get("/v2/app/tags/list").json()["tags"] == ["gone", "kept"]
    for blob in kept.blobs:
        assert client.get(f"/v2/app/blobs/{digest_of(blob)}").body == blob
    found = place.run("check")
    assert found.returncode == 1
    assert digest_of(gone.layers[0]) in found.stdout
    # One of them lies elsewhere, and is found; the other has to be pushed.
    found = place.run("check", repair=True)
    assert f"{digest_of(gone.config)}: its bytes are not in the storage (repaired)" in found.stdout
    assert client.get(f"/v2/app/blobs/{digest_of(gone.config)}").body == gone.config
    client.push_blob("app", gone.layers[0])
    found = place.run("check", read_blobs=True, grace=0)
    assert found.returncode == 0, found.stdout


def test_deleted_bytes_may_be_kept_for_backups(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path, collection={**COLLECTION, "keep-deleted-hours": 1}).start()
    try:
        client = server.client()
        image = make_image()
        client.push_image("app", "latest", image)
        assert server.run("backup", path=str(tmp_path / "b")).returncode == 0
        client.delete(f"/v2/app/manifests/{image.digest}")
        deadline = time.monotonic() + 30
        while "0 manifests, 0 blobs" not in (found := server.run("check", grace=0)).stdout:
            assert time.monotonic() < deadline, found.stdout
            time.sleep(0.2)
        assert found.returncode == 0, "bytes that wait for their end are no orphans"
        server.stop()
        done = server.run("restore", path=str(tmp_path / "b"), replace=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "all of 2 blobs are in the storage" in done.stdout
        server.start()
        client.close()
        for blob in image.blobs:
            assert client.get(f"/v2/app/blobs/{digest_of(blob)}").body == blob
    finally:
        server.close()


@pytest.mark.parametrize("into", BOTH)
def test_from_one_kind_of_database_to_the_other(
    place: ServerProcess, request: pytest.FixtureRequest, tmp_path: Path, into: str
) -> None:
    """Metadata moves; blobs lie where they lay."""
    client = place.client()
    image = make_image()
    client.push_image("app", "latest", image)
    assert place.run("backup", path=str(tmp_path / "b")).returncode == 0
    database = settings_of(into, request).get("database", f"sqlite:///{tmp_path}/moved.db")
    place.stop()
    place.settings["storage"] = place.settings.get("storage") or f"file://{place.settings['root']}"
    place.settings["database"] = database
    assert place.run("restore", path=str(tmp_path / "b")).returncode == 0
    place.start()
    client.close()
    assert client.get("/v2/app/manifests/latest").body == image.payload
    client.push_image("app", "next", make_image())
    assert place.run("check", read_blobs=True).returncode == 0


def test_check_finds_and_repairs(place: ServerProcess) -> None:
    client = place.client()
    image = make_image(layers=3, size=1000)
    client.push_image("app", "latest", image)
    store = store_of(place)
    lost, spoilt, short = image.layers
    spoil(place, store, digest_of(lost), None)
    spoil(place, store, digest_of(spoilt), bytes(1000))
    spoil(place, store, digest_of(short), short[:-1])
    write(store, location_of(digest_of(b"stranger"), "0" * 32), b"stranger")

    found = place.run("check", read_blobs=True, grace=0)
    assert found.returncode == 1
    for data, words in (
        (lost, "its bytes are not in the storage (app:latest cannot be pulled)"),
        (spoilt, "its bytes have another digest (app:latest cannot be pulled)"),
        (short, "its bytes have another size (app:latest cannot be pulled)"),
    ):
        assert f"{digest_of(data)}: {words}" in found.stdout
    assert "nothing knows of these bytes" in found.stdout
    assert "4 problems" in found.stdout
    found = place.run("check", read_blobs=True, repair=True, grace=0)
    assert "nothing knows of these bytes (repaired)" in found.stdout
    assert "3 problems, 1 repaired" in found.stdout
    for layer in image.layers:
        assert client.get(f"/v2/app/blobs/{digest_of(layer)}").status == 404
        client.push_blob("app", layer)
    found = place.run("check", read_blobs=True, grace=0)
    assert found.returncode == 0, found.stdout
    for layer in image.layers:
        assert client.get(f"/v2/app/blobs/{digest_of(layer)}").body == layer


def test_check_mends_metadata(place: ServerProcess) -> None:
    """Rows are lacking, whoever has lost them: what is needed is protected and linked again, what nothing
    needs is collected."""
    from sqlalchemy import text

    from corten.registry import config
    from corten.registry.metadata.database import Database

    client = place.client()
    image, other = make_image(layers=2), make_image()
    client.push_image("app", "latest", image)
    client.push_image("other", "latest", other)
    place.stop()  # or it would collect what nothing protects
    first, second = (digest_of(layer) for layer in image.layers)
    forgotten = digest_of(other.layers[0])
    database = Database(config.convert(place.settings, "test").database_url)
    for statement, digest in (
        ("DELETE FROM manifest_references WHERE target = :digest", first),
        ("DELETE FROM repository_blobs WHERE digest = :digest", second),
        ("DELETE FROM manifests WHERE digest = :digest", other.digest),
        ("DELETE FROM manifest_payloads WHERE digest = :digest", other.digest),
        ("DELETE FROM candidates WHERE digest != :digest", ""),
        ("DELETE FROM repository_blobs WHERE digest = :digest", forgotten),
    ):
        database.write(lambda c, s=statement, d=digest: c.execute(text(s), {"digest": d}))
    found = place.run("check", grace=0)
    assert found.returncode == 1
    assert f"→ {first}: a manifest needs it, and the collector does not know" in found.stdout
    assert f"→ {second}: a manifest needs it, and the repository does not have it" in found.stdout
    assert f"other: {digest_of(other.config)}: nothing needs it" in found.stdout
    assert f"{forgotten}: nothing needs it" in found.stdout
    found = place.run("check", grace=0, repair=True)
    assert "no problems, 4 repaired" in found.stdout, found.stdout
    assert place.run("check", grace=0).returncode == 0
    database.close()
    place.start()
    client.close()
    for blob in image.blobs:
        assert client.get(f"/v2/app/blobs/{digest_of(blob)}").body == blob
        assert client.delete(f"/v2/app/blobs/{digest_of(blob)}").status == 405
    wait_until_collected(place, forgotten)
    wait_until_collected(place, digest_of(other.config))


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*CORTEN, *arguments], capture_output=True, text=True, check=False, timeout=60)


def test_the_commands(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path).start()
    client = server.client()
    client.push_image("app", "latest", make_image())
    done = run("backup", "--root", str(server.settings["root"]), str(tmp_path / "b"))
    assert done.returncode == 0 and "it holds no blobs" in done.stdout
    server.close()
    done = run("restore", "--root", str(tmp_path / "new"), str(tmp_path / "b"))
    assert done.returncode == 1
    assert "2 of 2 blobs are not in the storage" in done.stdout
    done = run("restore", "--root", str(tmp_path / "new"), "--replace", str(tmp_path / "b"))
    assert done.returncode == 1 and "restored" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["backup", "--root", "{tmp}/absent", "{tmp}/b"], "there is no registry's database"),
        (["check", "--root", "{tmp}/absent"], "there is no registry's database"),
        (["gc", "--root", "{tmp}/absent"], "there is no registry's database"),
        (["restore", "--root", "{tmp}/new", "{tmp}/absent"], "there is no such file"),
        (["restore", "--root", "{tmp}/new", "{tmp}/text"], "no backup of a registry"),
        (["restore", "--root", "{tmp}/new"], "requires exactly 1 argument"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path: Path, arguments: list[str], words: str) -> None:
    (tmp_path / "text").write_text("no backup")
    done = run(*(argument.format(tmp=tmp_path) for argument in arguments))
    assert done.returncode != 0
    assert words in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "absent").exists()
