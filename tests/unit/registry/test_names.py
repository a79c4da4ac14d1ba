from __future__ import annotations

import pytest

from corten.registry.errors import RegistryError
from corten.registry.names import is_repository, is_tag, require_digest, require_repository, require_tag


@pytest.mark.parametrize("name", ["a", "library/ubuntu", "a.b_c-d/e__f", "a--b", "0", "a" * 255])
def test_repositories(name: str) -> None:
    assert require_repository(name) == name


@pytest.mark.parametrize(
    "name", ["", "A", "/a", "a/", "a//b", "..", "a..b", "a_-b", "-a", "a-", "a___b", "ä", "a\n", "a" * 256]
)
def test_names_that_are_none(name: str) -> None:
    assert not is_repository(name)
    with pytest.raises(RegistryError, match="invalid repository name") as caught:
        require_repository(name)
    assert (caught.value.code.word, caught.value.status) == ("NAME_INVALID", 400)


@pytest.mark.parametrize("tag", ["latest", "1.0", "_x", "A-b.c_d", "a" * 128])
def test_tags(tag: str) -> None:
    assert require_tag(tag) == tag


@pytest.mark.parametrize("tag", ["", "-a", ".a", "a b", "a/b", "a:b", "a\n", "ä", "a" * 129])
def test_tags_that_are_none(tag: str) -> None:
    assert not is_tag(tag)
    with pytest.raises(RegistryError) as caught:
        require_tag(tag)
    assert caught.value.code.word == "TAG_INVALID"


@pytest.mark.parametrize("digest", ["sha256:" + "0" * 64, "sha512:" + "a" * 128])
def test_digests(digest: str) -> None:
    assert require_digest(digest) == digest


@pytest.mark.parametrize(
    "digest",
    ["", "sha256:", "sha256:" + "0" * 63, "sha256:" + "G" * 64, "sha384:" + "0" * 96, "md5:" + "0" * 32],
)
def test_digests_that_are_none(digest: str) -> None:
    with pytest.raises(RegistryError) as caught:
        require_digest(digest)
    assert caught.value.code.word == "DIGEST_INVALID"
