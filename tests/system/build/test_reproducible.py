"""Building twice, on two stores, at two times: one digest."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.build.conftest import write_context
from tests.system.build.image_trees import read_image
from tests.system.cli.conftest import Corten
from tests.system.conftest import clean, leftovers

pytestmark = pytest.mark.root

DOCKERFILE = """\
FROM busybox AS build
ARG SEED=1
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/cache \\
    echo $SEED > made && date > /cache/now && mkdir -p out/deep && cp -a tree made out/deep/
RUN for n in 9 3 7 1 5; do touch out/$n; done; ln out/9 out/hard; ln -s 9 out/soft; mkfifo out/pipe
RUN rm -r tree && mkdir tree && rm /data/seed && chmod 700 /tmp && chown 5:6 /home/user
FROM busybox
LABEL b=2 a=1 c=3
ENV Z=1 A=2
RUN touch /etc/passwd && mkdir /etc/touched && echo "127.0.0.1 x" >> /etc/hosts; true
COPY --from=build --chown=user /src/out /out
COPY --link a.txt /linked/
COPY <<EOF /here
a here-document
EOF
ADD archive.tar /added
VOLUME /b /a
EXPOSE 9 8 7
ONBUILD RUN true
"""


@pytest.fixture(scope="module")
def machines(busybox_root: Path) -> Iterator[tuple[Corten, Corten]]:
    """Two machines which have nothing in common but busybox."""
    places = [Path(tempfile.mkdtemp(prefix="ct-", dir="/tmp")) for _ in range(2)]
    made = (Corten(places[0]), Corten(places[1]))
    try:
        for corten in made:
            subprocess.run(["cp", "-a", busybox_root, corten.paths.root], check=True)
        yield made
        for corten in made:
            corten("engine", "stop")
            assert not (left := leftovers(corten.paths)), left
    finally:
        for corten in made:
            clean(corten.paths)
        for place in places:
            shutil.rmtree(place, ignore_errors=True)


def write(directory: Path, *, when: int, backwards: bool) -> Path:
    """The same context with other times, written in another order."""
    names = ["a.txt", *(f"tree/{number}/file{number}" for number in range(12)), ".dockerignore", "Dockerfile"]
    texts = {"a.txt": "a\n", ".dockerignore": ".dockerignore\n", "Dockerfile": DOCKERFILE}
    for name in sorted(names, reverse=backwards):
        write_context(directory, {name: texts.get(name, f"{name}\n")})
    subprocess.run(
        ["tar", "-C", directory, "--mtime=@99", "-cf", directory / "archive.tar", "a.txt", "Dockerfile"],
        check=True,
    )
    for path in (directory, *directory.rglob("*")):
        os.utime(path, (when, when))
    return directory


def image_id(corten: Corten, *arguments: str) -> str:
    return corten("build", "-q", "--network", "none", *arguments).stdout.strip()


def test_one_digest(machines: tuple[Corten, Corten], tmp_path: Path) -> None:
    one, two = machines
    first = image_id(one, "-t", "x", str(write(tmp_path / "one", when=1_000_000_000, backwards=False)))
    time.sleep(1.1)  # another second: what has the present time in it would differ
    second = image_id(two, "-t", "x", str(write(tmp_path / "other", when=1_700_000_000, backwards=True)))
    if first != second:
        for number, corten in enumerate(machines):
            corten("save", "-o", str(tmp_path / f"{number}.tar"), "x")
        left, right = (read_image(tmp_path / f"{number}.tar") for number in range(2))
        assert left.nodes == right.nodes
        assert left.config == right.config
    assert first == second
    again = image_id(one, "--no-cache", "--jobs", "1", str(tmp_path / "other"))
    assert again == first
    assert image_id(two, "--build-arg", "SEED=2", str(tmp_path / "one")) != first


def test_the_manifest_and_archives(machines: tuple[Corten, Corten], tmp_path: Path) -> None:
    context = write(tmp_path / "c", when=5, backwards=False)
    digests: list[set[bytes]] = []
    for output in ("type=oci,compression=gzip", "type=oci,compression=zstd", "type=docker", "type=tar"):
        archives = []
        for number, corten in enumerate(machines):
            path = tmp_path / f"{number}"
            corten(
                "build", "-q", "--network", "none", "--no-cache", "-o", f"{output},dest={path}", str(context)
            )
            archives.append(path.read_bytes())
        digests.append({*archives})
    assert [len(each) for each in digests] == [1, 1, 1, 1]


def test_the_time_that_is_asked_for(machines: tuple[Corten, Corten], tmp_path: Path) -> None:
    context = write(tmp_path / "c", when=5, backwards=False)
    one, two = machines
    for corten in machines:
        corten.environment["SOURCE_DATE_EPOCH"] = "1234567890"
    try:
        first, second = image_id(one, "-t", "dated", str(context)), image_id(two, str(context))
    finally:
        for corten in machines:
            del corten.environment["SOURCE_DATE_EPOCH"]
    assert first == second
    one("save", "-o", str(tmp_path / "dated.tar"), "dated")
    image = read_image(tmp_path / "dated.tar")
    assert image.times == {1234567890}
    assert image.config["created"] == "2009-02-13T23:31:30Z"
    [base, *own] = image.config["history"]
    assert {step["created"] for step in own} == {"2009-02-13T23:31:30Z"}, json.dumps(base)
    assert image_id(one, str(context)) != first
