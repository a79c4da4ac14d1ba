"""corten build of an ordinary user, in the user's own namespace."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.system.build.conftest import write_context
from tests.system.rootless.conftest import UID, OrdinaryUser, single_id_user, user

__all__ = ("single_id_user", "user")

pytestmark = [pytest.mark.root, pytest.mark.skipif(not shutil.which("newuidmap"), reason="needs uidmap")]

DOCKERFILE = """\
FROM busybox AS base
RUN --mount=type=cache,target=/cache id -u > /who; echo kept > /cache/file; chown 1000:1000 /who
COPY --chown=user a.txt /srv/
FROM base
USER user
WORKDIR /srv
RUN id -un > /tmp/name
CMD ["cat", "/srv/a.txt", "/tmp/name", "/who"]
"""


def _context(user: OrdinaryUser) -> Path:
    context = write_context(user.home / "context", {"Dockerfile": DOCKERFILE, "a.txt": "hello\n"})
    for path in (context, *context.iterdir()):
        os.chown(path, UID, UID)
    return context


def test_a_build_without_root(user: OrdinaryUser) -> None:
    context = _context(user)
    user.corten("build", "-t", "mine", str(context))
    said = user.corten("run", "--rm", "--network", "none", "mine").stdout
    assert said == "hello\nuser\n0\n"
    again = user.corten("build", "--progress=plain", "-t", "mine", str(context)).stderr
    assert again.count("CACHED") >= 5
    out = user.home / "out"
    user.corten("build", "-o", str(out), str(context))
    assert (out / "srv/a.txt").read_text() == "hello\n"
    assert {path.stat().st_uid for path in out.rglob("*") if not path.is_symlink()} == {UID}


def test_a_user_with_one_id_only(single_id_user: OrdinaryUser) -> None:
    user = single_id_user
    context = write_context(
        user.home / "context", {"Dockerfile": "FROM busybox\nCOPY a /a\nRUN cat /a > /b\n", "a": "hello\n"}
    )
    user.corten("build", "-t", "mine", str(context))
    assert user.corten("run", "--rm", "--network", "none", "mine", "cat", "/b").stdout == "hello\n"
