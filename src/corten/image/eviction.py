"""A limit for what images take on disk: those that were used least recently make room."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from dataclasses import dataclass

from corten.errors import CortenError
from corten.image.footprint import Footprint, measure
from corten.image.model import Removed, Users
from corten.image.registrar import Registrar
from corten.image.removal import Remover
from corten.image.tables import ImageRow, Tables


@dataclass(frozen=True, slots=True)
class Evicted:
    """An image that made room. `last_used` in nanoseconds since 1970; 0 when it never was."""

    id: str
    names: tuple[str, ...]
    last_used: int
    reclaimed: int
    removed: tuple[Removed, ...]


class Uses:
    """When images were used last. Told in memory, as it belongs to the start of every container; written down
    by `save`: a crash forgets what came after."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._lock = threading.Lock()
        self._fresh: dict[str, int] = {}

    def now(self, image_id: str) -> None:
        """The image is being used."""
        self._fresh[image_id] = time.time_ns()

    def save(self) -> None:
        """Writes it down. A full disk makes it wait."""
        with self._lock:
            fresh = dict(self._fresh)
            if not fresh:
                return
            with contextlib.suppress(CortenError, sqlite3.Error):
                self._tables.save_uses(fresh)
                for image_id, moment in fresh.items():
                    if self._fresh.get(image_id) == moment:
                        del self._fresh[image_id]

    def all(self) -> dict[str, int]:
        """By image ID."""
        return {**self._tables.uses(), **self._fresh}


def evict(
    registrar: Registrar, remover: Remover, users: Users, uses: Uses, limit: int, grace: float
) -> list[Evicted]:
    """See ImageStore.evict."""
    uses.save()
    footprint = measure(registrar)
    if footprint.total <= limit:
        return []
    evicted: list[Evicted] = []
    for row, last_used in _choose(registrar, users, uses, footprint, limit, grace):
        image = registrar.image(row)
        names = image.repo_tags or image.repo_digests
        freed = footprint.freed_without([*(one.id for one in evicted), row.id])
        removed = remover.evict(row.id)
        if removed:
            freed -= sum(one.reclaimed for one in evicted)
            evicted.append(Evicted(row.id, names, last_used, freed, tuple(removed)))
    return evicted


def _choose(
    registrar: Registrar, users: Users, uses: Uses, footprint: Footprint, limit: int, grace: float
) -> list[tuple[ImageRow, int]]:
    """The oldest first, as many as are needed, and none whose going frees nothing."""
    last = uses.all()
    newest = time.time_ns() - int(grace * 1e9)
    candidates = []
    for row in registrar.tables.images():
        moment = max(last.get(row.id, 0), row.last_tagged)
        if not row.hidden and moment <= newest and not users.of_image(row.id):
            candidates.append((moment, row))
    candidates.sort(key=lambda item: (item[0], item[1].id))
    chosen: list[tuple[ImageRow, int]] = []
    for moment, row in candidates:
        if footprint.total - footprint.freed_without([one.id for one, _ in chosen]) <= limit:
            break
        chosen.append((row, moment))
    everything = footprint.freed_without([row.id for row, _ in chosen])
    for item in list(chosen):
        rest = [row.id for row, _ in chosen if row.id != item[0].id]
        if footprint.freed_without(rest) == everything:
            chosen.remove(item)
    return chosen
