"""Mounts of images, as the engine makes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from corten.snapshot.erofs.support import Support, probe


@pytest.fixture
def support(tmp_path: Path) -> Support:
    found = probe(tmp_path)
    if found is None:
        pytest.skip("this kernel cannot mount EROFS images")
    return found
