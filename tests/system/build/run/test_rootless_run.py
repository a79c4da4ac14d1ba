"""RUN as an ordinary user, inside the user namespace."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.system.build.conftest import processes, until, write_context
from tests.system.rootless.conftest import UID, OrdinaryUser, user

__all__ = ("user",)

pytestmark = [pytest.mark.root, pytest.mark.skipif(not shutil.which("newuidmap"), reason="needs uidmap")]

DOCKERFILE = r"""
FROM busybox AS tools
RUN mkdir /tools && echo tool > /tools/t && chown 1000:1000 /tools/t && rm /etc/not-executable
FROM busybox
RUN id -u && echo own > /own && chown user /own
COPY --chown=user file /copied
RUN --mount=type=bind,from=tools,source=/tools,target=/t,rw cat /t/t && touch /t/new && stat -c owner:%u /t/t
RUN --mount=type=cache,target=/c,uid=1000 echo 1 >> /c/count && wc -l < /c/count
RUN --mount=type=secret,id=s,target=/run/s,uid=1000 cat /run/s && stat -c %a:%u /run/s
RUN --mount=type=tmpfs,target=/tm touch /tm/x && ! touch /proc/sys/x
RUN rm -r /home && mkdir /home && touch /home/new && mv /data /moved
USER user
RUN id -u; stat -c '%U %u' /own /copied; ls /home /moved; cat /etc/resolv.conf > /dev/null
RUN <<EOF
#!/bin/sh
echo from $0
EOF
"""


def build(user: OrdinaryUser, dockerfile: str, *more: str) -> str:
    context = write_context(user.home / "context", {"Dockerfile": dockerfile, "file": "copied\n"})
    for path in (context, *context.iterdir()):
        os.chown(path, UID, UID)
    done = user.corten("build", "--progress", "plain", "-t", "app", *more, str(context))
    return done.stdout + done.stderr


def test_everything_that_run_can_do(user: OrdinaryUser) -> None:
    (user.home / "secret").write_text("hush\n")
    (user.home / "secret").chmod(0o644)
    options = ("--network", "none", "--secret", f"id=s,src={user.home}/secret")
    said = build(user, DOCKERFILE, *options)
    for expected in ("tool", "owner:1000", "hush", "400:1000", "user 1000", "from /dev/pipes/EOF"):
        assert f" {expected}\n" in said, said
    script = "cat /copied; stat -c '%u %g' /own /moved/seed; ls /home; test ! -e /c -a ! -e /t -a ! -e /run/s"
    done = user.corten("run", "--rm", "--network", "none", "app", "sh", "-c", script)
    assert done.stdout == "copied\n1000 0\n1000 1000\nnew\n"
    assert build(user, DOCKERFILE, *options).count("CACHED") >= 10
    # The layers are the user's own files, seen from outside.
    layers = list((user.paths.root / "snapshots").glob("*/fs/own"))
    assert [os.stat(path).st_uid for path in layers] == [500000 + 999]


@pytest.mark.skipif(not shutil.which("pasta"), reason="needs passt")
def test_the_network(user: OrdinaryUser) -> None:
    assert "default via" in build(user, "FROM busybox\nRUN ip route\n")


def test_it_ends_with_its_engine(user: OrdinaryUser) -> None:
    context = write_context(
        user.home / "context", {"Dockerfile": "FROM busybox\nRUN sleep 1000; : rootless-tick\n"}
    )
    command = f"{sys.executable} -m corten build --network none {context} > /dev/null 2>&1 &"
    user.run("sh", "-c", command)
    until(lambda: processes("-c\0sleep 1000; : rootless-tick"))
    user.kill_engine()
    until(lambda: not processes("-c\0sleep 1000; : rootless-tick"))
    user.corten("ps")
    assert os.listdir(user.paths.root / "build" / "running") == []
    assert os.listdir(Path(user.paths.run) / "builds") == []
