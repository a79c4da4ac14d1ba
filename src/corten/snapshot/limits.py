"""Limits on what an archive from elsewhere may make of itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes. `ratio` (inflated to compressed) counts only once `ratio_after` bytes came out: a few
    zeros deflate 1000:1 and harm nobody."""

    max_bytes: int = 256 << 30
    ratio: int = 200
    ratio_after: int = 8 << 30
    max_entries: int = 2_000_000
    max_path: int = 4096
    max_component: int = 255
    max_pax: int = 1 << 20
    max_sparse_regions: int = 1 << 20
    max_file: int = 16 << 40


DEFAULT_LIMITS = Limits()
