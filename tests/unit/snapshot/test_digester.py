"""Hashing in a thread."""

from __future__ import annotations

import hashlib
import os
import threading

import pytest

from corten.snapshot.digester import Digester
from corten.snapshot.worker import hashing


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_same_as_hashlib(algorithm: str) -> None:
    pieces = [os.urandom(size) for size in (0, 1, 4095, 1 << 20, 3, 2 << 20, 7, 1 << 18)]
    with Digester(algorithm) as digester:
        for piece in pieces:
            digester.update(piece)
        assert digester.hexdigest() == hashlib.new(algorithm, b"".join(pieces)).hexdigest()
        assert digester.hexdigest() == hashlib.new(algorithm, b"".join(pieces)).hexdigest()


def test_an_error_ends_the_thread() -> None:
    with pytest.raises(ValueError, match="bad layer"), Digester("sha256") as digester:
        digester.update(b"x" * (1 << 20))
        raise ValueError("bad layer")
    assert "digest" not in {thread.name for thread in threading.enumerate()}


def test_reading_hashes() -> None:
    pieces = iter([b"abc", b"def", b""])
    with hashing(lambda size: next(pieces), "sha256") as (read, digest):
        while read(3):
            pass
        assert digest() == f"sha256:{hashlib.sha256(b'abcdef').hexdigest()}"
    with hashing(lambda size: b"", "") as (read, digest):
        assert read(3) == b""
        assert digest() == ""
