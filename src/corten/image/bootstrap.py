"""Base images made on the spot from the distribution's own packages, where nothing can be pulled."""

from __future__ import annotations

from collections.abc import Sequence

from corten.image.model import Loaded, Report, silent
from corten.image.store import ImageStore


def bootstrap(
    store: ImageStore,
    what: str,
    *,
    suite: str = "",
    include: Sequence[str] = (),
    name: str = "",
    report: Report = silent,
) -> Loaded:
    """Makes `busybox` (package busybox-static) or `debian` (mmdebstrap, minbase). Slow. Unsupported says what is
    missing on this host and the command that mends it."""
    raise NotImplementedError
