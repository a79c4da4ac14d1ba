"""What is configured of the page (`[page]`)."""

from __future__ import annotations

import msgspec


class PageSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """The page, and how much work its lists of layers' files may be."""

    enabled: bool = True
    seconds: int = 60
    """How long one layer may be read, or two images compared."""
    entries: int = 200_000
    """Files of a layer that are listed."""
    list_bytes: int = 256 << 20
    """What finished lists may take on the disk, below the registry's root."""
