"""The catalog of a large registry, for somebody who may see little of it."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from aiohttp.test_utils import make_mocked_request

from corten.registry.access import ANONYMOUS, Action, Identity
from corten.registry.handlers import catalog
from corten.registry.routing import Resource, Route

NAMES = [f"r{number:05}" for number in range(5000)]


class Large:
    """Metadata, and an Access that allows one name of 2,500."""

    def __init__(self) -> None:
        self.asked = 0

    async def repository_names(self, last: str, count: int) -> list[str]:
        self.asked += 1
        first = bisect_right(NAMES, last)
        return NAMES[first : first + count]

    async def allows(self, identity: Identity, action: Action, repository: str) -> bool:
        return repository in (NAMES[1200], NAMES[3700])


@pytest.mark.parametrize(
    ("query", "names", "has_more"),
    [
        ("", [NAMES[1200], NAMES[3700]], False),
        ("?n=2", [NAMES[1200], NAMES[3700]], False),
        ("?n=1", [NAMES[1200]], True),
        ("?n=1&last=r01200", [NAMES[3700]], False),
        ("?n=0", [], False),
    ],
)
def test_few_questions_find_what_may_be_seen(query: str, names: list[str], has_more: bool) -> None:
    large = Large()
    services = cast(Any, SimpleNamespace(metadata=large, access=large))
    sent = make_mocked_request("GET", f"/v2/_catalog{query}")
    answer = asyncio.run(catalog.get(services, sent, Route(Resource.CATALOG), ANONYMOUS))
    assert msgspec.json.decode(cast(bytes, answer.body)) == {"repositories": names}
    assert ("Link" in answer.headers) == has_more
    assert large.asked <= 7
