"""A database from before there was a page."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy")

from sqlalchemy import text

from corten.registry.metadata import browsing
from corten.registry.metadata.database import Database
from corten.registry.metadata.migrations import STEPS, migrate


def test_what_was_pushed_before_is_found_later(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/registry.db")
    database.migrate()
    for statement in (
        "DROP TABLE manifest_facts",
        "DROP TABLE undescribed_manifests",
        "DROP INDEX tags_updated",
        "INSERT INTO manifest_payloads VALUES ('sha256:a', x'7b7d')",
        "UPDATE schema_version SET version = 3",
    ):
        database.write(lambda connection, statement=statement: connection.execute(text(statement)))
    steps = {version: step for version, step in STEPS.items() if version <= 4}
    assert database.write(migrate, steps) == 3
    assert database.read(browsing.undescribed, 10) == ["sha256:a"]
    indexes = database.read(
        lambda c: c.execute(text("SELECT name FROM sqlite_master WHERE type = 'index'")).scalars().all()
    )
    assert "tags_updated" in indexes
    database.close()
