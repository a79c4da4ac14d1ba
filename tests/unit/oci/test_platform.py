"""Platforms: parsing, normal forms, and the order in which a host takes what an index offers."""

import pytest

from corten.errors import InvalidArgument
from corten.oci.platform import Platform, choose, host_platform


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("linux/amd64", Platform("amd64", "linux")),
        ("linux/x86_64", Platform("amd64", "linux")),
        ("linux/arm64", Platform("arm64", "linux", "v8")),
        ("linux/aarch64/v8", Platform("arm64", "linux", "v8")),
        ("linux/arm/v6", Platform("arm", "linux", "v6")),
        ("linux/arm", Platform("arm", "linux", "v7")),
        ("amd64", Platform("amd64", "linux")),
        ("Linux/AMD64", Platform("amd64", "linux")),
    ],
)
def test_parse(text: str, expected: Platform) -> None:
    assert Platform.parse(text) == expected


@pytest.mark.parametrize("text", ["", "a/b/c/d", "linux/", "linux/am d64", "linux/amd64/x3"])
def test_parse_refuses(text: str) -> None:
    with pytest.raises(InvalidArgument):
        Platform.parse(text)


def test_the_host_takes_its_own() -> None:
    host = host_platform()
    assert choose([Platform("nothing", "linux"), host], host) == 1


def test_arm_takes_the_highest_variant_it_can_run() -> None:
    offered = [Platform("arm", "linux", v) for v in ("v5", "v6", "v7", "v8")]
    assert choose(offered, Platform("arm", "linux", "v7")) == 2
    assert choose(offered[:2], Platform("arm", "linux", "v7")) == 1
    assert choose(offered, Platform("arm", "linux", "v6")) == 1


def test_amd64_falls_back_to_386_and_never_to_a_higher_level() -> None:
    wanted = Platform("amd64", "linux")
    assert choose([Platform("386", "linux"), Platform("amd64", "linux", "v3")], wanted) == 0
    assert choose([Platform("amd64", "linux", "v3")], wanted) is None
    assert (
        choose(
            [Platform("amd64", "linux"), Platform("amd64", "linux", "v2")], Platform("amd64", "linux", "v3")
        )
        == 1
    )


def test_an_entry_without_platform_is_the_last_resort() -> None:
    assert choose([None, Platform("amd64", "linux")], Platform("amd64", "linux")) == 1
    assert choose([None, Platform("s390x", "linux")], Platform("amd64", "linux")) == 0
    assert choose([Platform("unknown", "unknown")], Platform("amd64", "linux")) is None
