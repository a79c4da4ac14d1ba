"""Proxies from config.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from corten.client.proxies import proxy_variables
from corten.errors import InvalidArgument

ENGINE = "unix:///run/corten/engine.sock"


@pytest.mark.parametrize(
    ("proxies", "expected"),
    [
        (None, {}),
        ([], {}),
        ({"default": "x"}, {}),
        (
            {"default": {"httpProxy": "http://p:1", "noProxy": "", "ftpProxy": 5}},
            {"HTTP_PROXY": "http://p:1", "http_proxy": "http://p:1"},
        ),
        (
            {"default": {"httpProxy": "http://p:1"}, ENGINE: {"httpsProxy": "http://q:2", "allProxy": "a"}},
            {"HTTPS_PROXY": "http://q:2", "https_proxy": "http://q:2", "ALL_PROXY": "a", "all_proxy": "a"},
        ),
        (
            {"tcp://other:1": {"httpProxy": "x"}, "default": {"noProxy": "*.local"}},
            {"NO_PROXY": "*.local", "no_proxy": "*.local"},
        ),
    ],
)
def test_what_the_file_says(
    proxies: Any, expected: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    assert proxy_variables(ENGINE) == {}
    (tmp_path / "config.json").write_text(json.dumps({"auths": {}, "proxies": proxies}))
    assert proxy_variables(ENGINE) == expected


def test_the_file_of_the_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_CONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker/config.json").write_text('{"proxies": {"default": {"httpProxy": "h"}}}')
    assert proxy_variables(ENGINE) == {"HTTP_PROXY": "h", "http_proxy": "h"}


def test_a_file_that_is_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text('{"proxies"')
    with pytest.raises(InvalidArgument, match=r"config\.json: it is not JSON"):
        proxy_variables(ENGINE)
