from __future__ import annotations

from pathlib import Path

import pytest

from corten.errors import InvalidArgument
from corten.registry.config import Config, convert, is_loopback, load, parse_address


def test_defaults_need_nothing() -> None:
    config = Config()
    assert config.listen == ("127.0.0.1:5000",)
    assert config.uses_sqlite and config.database_url.endswith("/registry.db")
    assert 1 <= config.worker_count() <= 4


def test_file(tmp_path: Path) -> None:
    path = tmp_path / "registry.toml"
    path.write_text(
        'root = "/x"\nallow-anonymous = true\n[limits]\nidle-seconds = 5\n[collection]\nbatch = 7\n'
    )
    config = load(str(path))
    assert (config.root, config.allow_anonymous) == ("/x", True)
    assert (config.limits.idle_seconds, config.collection.batch) == (5, 7)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("=", "is not TOML"),
        ('unknown = "x"', "unknown"),
        ("[limits]\nidle = 5", "idle"),
        ('workers = "many"', "workers"),
        ("listen = []", "no address"),
        ("[collection]\ngrace-seconds = -1", "grace-seconds"),
        ("[collection]\nbatch = 0", "batch"),
    ],
)
def test_files_with_mistakes(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "registry.toml"
    path.write_text(text)
    with pytest.raises(InvalidArgument, match=words):
        load(str(path))


def test_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="cannot read"):
        load(str(tmp_path / "absent"))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("127.0.0.1:5000", ("127.0.0.1", 5000)),
        ("[::1]:80", ("::1", 80)),
        (":5000", ("0.0.0.0", 5000)),
        ("localhost:0", ("localhost", 0)),
    ],
)
def test_addresses(text: str, found: tuple[str, int]) -> None:
    assert parse_address(text) == found


@pytest.mark.parametrize("text", ["", "5000", "x:", "x:y", "x:65536", "x:-1", "x:٣"])
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(InvalidArgument):
        parse_address(text)


def test_loopback() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.1.2.3", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.0.2.1", "example.com")))


def test_external_url() -> None:
    with pytest.raises(InvalidArgument, match="external URL"):
        convert({"external-url": "registry.example"}, "test")
