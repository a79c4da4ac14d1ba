"""`corten registry import DIR`: what it tells while it works, and in the end."""

from __future__ import annotations

import os
import sys
import time

from corten.registry.access import Identity
from corten.registry.audit import Audit, Record
from corten.registry.blobs.opening import open_blobs
from corten.registry.config import Config
from corten.registry.importing.checking import Readers
from corten.registry.importing.importer import Importer, Tally
from corten.registry.importing.layout import Layout
from corten.registry.metadata.database import Database

EACH_SECONDS = 0.2


class Progress:
    """One line on a terminal, rewritten now and then; nothing elsewhere."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._begun = time.monotonic()
        self._told = 0.0
        self._shown = False

    def show(self, tally: Tally) -> None:
        moment = time.monotonic()
        if not self._is_terminal or moment - self._told < EACH_SECONDS:
            return
        self._told = moment
        self._shown = True
        rate = tally.bytes / (1 << 20) / max(0.1, moment - self._begun)
        sys.stderr.write(
            f"\r\x1b[K{tally.repositories} repositories, {tally.manifests} manifests, {tally.blobs} blobs,"
            f" {_size(tally.bytes)} ({rate:.0f} MiB/s)"
        )
        sys.stderr.flush()

    def clear(self) -> None:
        """Room for another line."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._shown = False


def run(config: Config, directory: str, workers: int, audit: Audit, who: Identity) -> int:
    """Imports; 1 when something was left out."""
    layout = Layout.find(directory)
    audit.require()
    progress = Progress()

    def tell(text: str) -> None:
        progress.clear()
        print(text, flush=True)

    begun = time.monotonic()
    database = Database(config.database_url)
    readers = Readers(workers or max(1, len(os.sched_getaffinity(0))))
    try:
        database.migrate()
        importer = Importer(layout, database, open_blobs(config), readers, config, tell, progress.show)
        try:
            tally = importer.run()
        finally:
            progress.clear()
            if importer.tally.manifests or importer.tally.tags or importer.tally.blobs:
                done = f"{directory}: {importer.tally.manifests} manifests, {importer.tally.tags} tags"
                audit.record(Record(who, "import", "", done, source="command"))
    finally:
        readers.close()
        database.close()
    _summary(tally, time.monotonic() - begun)
    return 1 if tally.problems else 0


def _summary(tally: Tally, seconds: float) -> None:
    new = tally.manifests or tally.tags or tally.blobs
    before = f", {tally.known} were here before" if tally.known else ""
    if not new:
        print(f"nothing new in {tally.repositories} repositories{before}")
    else:
        ways = [
            f"{count} {way}"
            for count, way in (
                (tally.linked, "linked to the same files"),
                (tally.cloned, "cloned"),
                (tally.copied, "copied"),
            )
            if count
        ]
        print(
            f"{tally.repositories} repositories: {tally.manifests} manifests{before}, {tally.tags} tags,"
            f" {tally.blobs} blobs of {_size(tally.bytes)}"
            + (f" ({', '.join(ways)})" if ways else "")
            + f" in {seconds:.1f} s"
        )
    if tally.problems:
        print(f"{tally.problems} problems are named above; what they are about was left out")


def _size(count: float) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
