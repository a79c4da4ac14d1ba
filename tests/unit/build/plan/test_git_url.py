"""Which sources are repositories, and what of them is meant."""

from __future__ import annotations

import pytest

from corten.build.plan.git_url import GitReference, parse_git_url
from corten.errors import InvalidArgument


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "./a.git",
        "../a.git",
        ".git",
        "/a/b.git",
        "github.com/a/b",
        "x.org/a/b.git",
        "https://x.org/",
        "https://x.org/a",
        "https://x.org/a.git/",
        "https://x.org/a.git.b",
        "http://x.org/a.git:#branch",
        "https://x.org/a?b=c.git",
        "ftp://x.org/a.git",
        "https://[x.org/a.git",
        "C:\\a",
        "a b@c:d e\nf",
    ],
)
def test_no_repository(text: str) -> None:
    assert parse_git_url(text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://x.org/a.git", GitReference("https://x.org/a.git")),
        ("https://me:pw@x.org/a.git", GitReference("https://me:pw@x.org/a.git")),
        ("HTTPS://x.org:8443/a.git#v1.2", GitReference("https://x.org:8443/a.git", "v1.2")),
        ("https://x.org/a.git#release/1:d/e", GitReference("https://x.org/a.git", "release/1", "d/e")),
        ("https://x.org/a.git#:d", GitReference("https://x.org/a.git", "", "d")),
        ("git://x.org/a", GitReference("git://x.org/a")),
        ("ssh://git@x.org:22/a/b", GitReference("ssh://git@x.org:22/a/b")),
        ("git@x.org:a/b", GitReference("git@x.org:a/b")),
        ("git@x.org:a/b.git#c:d", GitReference("git@x.org:a/b.git", "c", "d")),
        ("git@x.org:a/b.git?ref=c#:d", GitReference("git@x.org:a/b.git", "c", "d")),
        ("https://x.org/a.git?tag=v1", GitReference("https://x.org/a.git", "refs/tags/v1")),
        ("https://x.org/a.git?tag=refs/tags/v1", GitReference("https://x.org/a.git", "refs/tags/v1")),
        ("https://x.org/a.git?branch=b&subdir=/d", GitReference("https://x.org/a.git", "refs/heads/b", "/d")),
        ("https://x.org/a.git?commit=abc", GitReference("https://x.org/a.git", "abc", checksum="abc")),
        (
            "https://x.org/a.git?ref=v1&checksum=abc",
            GitReference("https://x.org/a.git", "v1", checksum="abc"),
        ),
        ("https://x.org/a.git?keep-git-dir", GitReference("https://x.org/a.git", keep_git_dir=True)),
        (
            "https://x.org/a.git?keep-git-dir=0&submodules=false",
            GitReference("https://x.org/a.git", keep_git_dir=False, submodules=False),
        ),
    ],
)
def test_repository(text: str, expected: GitReference) -> None:
    assert parse_git_url(text) == expected


def test_a_url_that_is_known_to_be_one() -> None:
    assert parse_git_url("https://x.org/a", known=True) == GitReference("https://x.org/a")
    assert parse_git_url("a", known=True) is None


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("ref=a&ref=b", 'query "ref" has multiple values'),
        ("ref=", 'query "ref" has no value'),
        ("what=1", 'unexpected query "what"'),
        ("submodules=perhaps", 'invalid submodules value: "perhaps"'),
        ("tag=a&branch=b", "branch conflicts with tag"),
        ("ref=a&tag=b", 'ref conflicts: "a" vs "refs/tags/b"'),
        ("ref=a#b", 'ref conflicts: "b" vs "a"'),
        ("subdir=a#:b", 'subdir conflicts: "b" vs "a"'),
    ],
)
def test_parameters_that_are_refused(query: str, reason: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        parse_git_url(f"https://x.org/a.git?{query}")
    assert reason in raised.value.message
