"""What the build cache needs of the images' layers and blobs: for their garbage collection, which has to know
before the first build, and after the last one."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path


def kept_by_records(database: Path) -> set[str]:
    """Chain IDs, and digests of blobs, that the records in a cache database need (`Registrar.keepers`).
    Nothing when there is no database, or none that could be used."""
    if not database.exists():
        return set()
    keep: set[str] = set()
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10)) as connection:
            rows = connection.execute("SELECT id, chain_id, blob FROM layers").fetchall()
    except sqlite3.DatabaseError:
        return set()
    for identity, chain_id, blob in rows:
        if ":" in identity:
            keep.add(identity)
        elif chain_id:
            keep.add(chain_id)
        if blob:
            keep.add(json.loads(blob)["digest"])
    return keep
