"""Which files are excluded."""

from __future__ import annotations

from typing import Any

import pytest

from corten.build.dockerignore import IgnoreMatcher
from corten.errors import InvalidArgument
from tests.unit.build.parser.corpus import cases

Case = dict[str, Any]


@pytest.mark.parametrize("case", cases("dockerignore", "matches", "matches_or_parent"))
def test_corpus(case: Case) -> None:
    if case.get("error"):
        with pytest.raises(InvalidArgument):
            IgnoreMatcher(case["patterns"])
    else:
        assert IgnoreMatcher(case["patterns"]).matches(case["path"]) == case["expected"]


@pytest.mark.parametrize("case", cases("dockerignore", "has_exclusions"))
def test_corpus_has_exceptions(case: Case) -> None:
    assert IgnoreMatcher(case["patterns"]).has_exceptions == case["expected"]
