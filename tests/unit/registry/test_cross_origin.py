"""Which requests a browser sends for a page of somebody else."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request

from corten.registry.cross_origin import is_from_elsewhere


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, False),
        ({"Sec-Fetch-Site": "none"}, False),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://other.example"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, True),
        ({"Sec-Fetch-Site": "same-site", "Origin": "https://registry.example"}, True),
        ({"Origin": "https://registry.example"}, False),
        ({"Origin": "https://REGISTRY.example"}, False),
        ({"Origin": "http://inside:5000"}, False),
        ({"Origin": "https://registry.example.evil.example"}, True),
        ({"Origin": "https://registry.example:444"}, True),
        ({"Origin": "null"}, True),
        ({"Origin": "http://["}, True),
        ({"Origin": ""}, True),
    ],
    ids=str,
)
def test_whose_page(headers: dict[str, str], expected: bool) -> None:
    request = make_mocked_request("POST", "/v2/a/blobs/uploads/", {"Host": "inside:5000", **headers})
    assert is_from_elsewhere(request, "https://registry.example") is expected
