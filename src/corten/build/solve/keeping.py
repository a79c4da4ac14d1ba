"""What the build cache needs of the images' layers and blobs: for their garbage collection, which has to know
before the first build, and after the last one."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from corten.errors import Unavailable


def kept_by_records(database: Path) -> set[str]:
    """Chain IDs, and digests of blobs, that the records in a cache database need (`Registrar.keepers`).
    Nothing when there is no database, or a damaged one, which is begun anew. Unavailable when it cannot be
    read now: then nobody knows, and nothing may go."""
    if not database.exists():
        return set()
    keep: set[str] = set()
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10)) as connection:
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'layers'").fetchall():
                return set()
            rows = connection.execute("SELECT id, chain_id, blob FROM layers").fetchall()
    except sqlite3.OperationalError as error:
        raise Unavailable(f"cannot read what the build cache in {database} needs: {error}") from error
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
