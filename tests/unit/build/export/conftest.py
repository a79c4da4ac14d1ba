"""Builds that are over."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.build.export.builds import Builds


@pytest.fixture
def builds(tmp_path: Path) -> Iterator[Builds]:
    builds = Builds(tmp_path / "root")
    yield builds
    builds.close()
