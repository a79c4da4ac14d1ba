"""--chown, by the image's own files."""

from __future__ import annotations

from pathlib import Path

import pytest

from corten.build.files.owner import Owners
from corten.build.graph import Owner
from corten.errors import InvalidArgument
from tests.unit.build.context.trees import plant, source

PASSWD = "root:x:0:0::/root:/bin/sh\n# comment\n\nbad\nbob:x:1000:1001::/:/bin/sh\nodd:x:-1:x::/:\n+nis\n"
GROUP = "root:x:0:\nstaff:x:50:bob\n"


@pytest.fixture
def owners(tmp_path: Path) -> Owners:
    return Owners(
        source(plant(tmp_path, {"etc/passwd": PASSWD, "usr/group": GROUP, "etc/group": "-> /usr/group"}))
    )


@pytest.mark.parametrize(
    ("owner", "expected"),
    [
        (Owner(), None),
        (Owner(7), (7, 7)),
        (Owner("7"), (7, 7)),
        (Owner("bob"), (1000, 1001)),
        (Owner("bob", "staff"), (1000, 50)),
        (Owner(7, "staff"), (7, 50)),
        (Owner("bob", 9), (1000, 9)),
        (Owner(None, "staff"), (0, 50)),
        (Owner("root", "root"), (0, 0)),
        (Owner(4294967294), (4294967294, 4294967294)),
    ],
)
def test_owners(owners: Owners, owner: Owner, expected: tuple[int, int] | None) -> None:
    assert owners.find(owner) == expected


@pytest.mark.parametrize(
    ("owner", "message"),
    [
        (Owner("alice"), "there is no user 'alice' in the image's /etc/passwd"),
        (Owner("bob", "wheel"), "there is no group 'wheel' in the image's /etc/group"),
        (Owner("odd"), "there is no user 'odd'"),
        (Owner("4294967295"), "out of range"),
        (Owner(-1), "out of range"),
    ],
)
def test_who_is_not_known(owners: Owners, owner: Owner, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        owners.find(owner)


def test_without_an_image_only_numbers_are_known(tmp_path: Path) -> None:
    assert Owners(None).find(Owner(5, 6)) == (5, 6)
    with pytest.raises(InvalidArgument, match="no image below"):
        Owners(None).find(Owner("bob"))
    with pytest.raises(InvalidArgument, match="there is no user 'bob'"):
        Owners(source(tmp_path)).find(Owner("bob"))


def test_files_that_are_none(tmp_path: Path) -> None:
    plant(tmp_path, {"etc/passwd/": 0o755, "etc/group": "-> ../../../../etc/hostname"})
    for owner in (Owner("root"), Owner(0, "root")):
        with pytest.raises(InvalidArgument, match="there is no"):
            Owners(source(tmp_path)).find(owner)
