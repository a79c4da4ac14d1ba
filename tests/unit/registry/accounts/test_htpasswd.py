from __future__ import annotations

import pytest

from corten.errors import InvalidArgument
from corten.registry.accounts.htpasswd import parse

HASH = "$2y$05$" + "a" * 53


def test_users() -> None:
    text = f"# users\r\nalice:{HASH}\r\n\n  bob:{HASH.replace('2y', '2b')}  \n"
    assert parse(text, "file") == {"alice": HASH, "bob": HASH.replace("2y", "2b")}
    assert parse("", "file") == {}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("alice", "expected NAME:HASH"),
        ("alice:$apr1$x$y", "MD5 (apr1)"),
        ("alice:{SHA}x", "SHA-1"),
        ("alice:$5$x$y", "SHA-256"),
        ("alice:$6$x$y", "SHA-512"),
        ("alice:rqXexS6ZhobKA", "DES"),
        ("alice:secret", "a password in clear"),
        ("alice:$2y$05$short", "malformed"),
        ("alice:" + HASH.replace("05", "31"), "a cost of 31"),
        ("alice:" + HASH.replace("05", "99"), "malformed"),
        ("a b:" + HASH, "invalid user name"),
        (":" + HASH, "invalid user name"),
        ("anonymous:" + HASH, "invalid user name"),
        ("robot$x:" + HASH, "invalid user name"),
        ("bob:" + HASH, "bob is there twice"),
    ],
)
def test_lines_that_cannot_be_taken_are_named(line: str, words: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse(f"bob:{HASH}\n{line}\n", "users.txt")
    assert "users.txt, line 2" in caught.value.message and words in caught.value.message
