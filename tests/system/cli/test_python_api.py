"""Every example of docs/PYTHON_API.md, against a real engine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.system.cli.conftest import Corten

pytestmark = pytest.mark.root

PAGE = Path(__file__).parents[3] / "docs" / "PYTHON_API.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_example(number: int, corten: Corten, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORTEN_RUN", str(corten.paths.run))
    monkeypatch.setenv("CORTEN_ROOT", str(corten.paths.root))
    monkeypatch.delenv("CORTEN_HOST", raising=False)
    exec(compile(EXAMPLES[number], f"{PAGE.name}, example {number + 1}", "exec"), {"__name__": "example"})


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 8
