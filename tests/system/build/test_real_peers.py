"""docker's classic builder, buildah and corten make the same tree and the same config of a Dockerfile:
file by file (names, types, modes, owners, contents, link targets, hard links, xattrs), not their times."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from tests.system.build.conftest import write_context
from tests.system.build.image_trees import ImageTree, read_image
from tests.system.build.peer_builders import Buildah, Docker
from tests.system.cli.conftest import Corten

pytestmark = pytest.mark.root

COPIES = """\
FROM busybox
RUN mkdir -m 711 /strict && echo old > /strict/old && mkdir -p /over/deep && chown 7:8 /over
COPY a.txt /
COPY a.txt /renamed
COPY a.txt /made/on/the/way/
COPY a.txt b.txt /two/
COPY tree /tree
COPY tree/ /slash/
COPY tree /strict
COPY *.txt /wild/
COPY tr?e/[rs]* /single/
COPY tree/sub/ /over/deep
COPY --chown=user:extra a.txt /owned
COPY --chown=user a.txt /owned-by-a-user
COPY --chown=1234:5678 tree /owned-tree/sub
COPY --chown=4321 tree/sub /owned-by-a-number/
COPY link-to-a /from-link
COPY link-to-tree /from-tree-link
COPY empty /empty
COPY ["with space", "/with space/"]
WORKDIR /work/here
COPY a.txt .
COPY b.txt ./c/../d
COPY tree ../there
COPY . /all/
COPY suid /suid
"""
LINKS = """\
FROM busybox
RUN mkdir -p /real/in /opt/in && ln -s /real /alias && ln -s in /opt/relative \\
 && ln -s ../../real /opt/in/up && echo old > /real/target \\
 && ln -s /real/target /file-link && ln -s /alias/in /twice
COPY a.txt /alias/
COPY tree /alias/sub
COPY tree /opt/relative
COPY a.txt /opt/in/up/above
COPY a.txt /twice/
ADD archive.tar /alias/unpacked
"""
ADDED = """\
FROM busybox
RUN mkdir -m 700 -p /over/d && echo old > /over/d/f && echo old > /over/kept
ADD archive.tar /plain
ADD archive.tar.gz /gz/
ADD archive.tar.bz2 /bz2/
ADD archive.tar.xz /xz/
ADD archive.tar /over
ADD a.txt /file
ADD a.txt tree/sub /several/
ADD not-a.tar /not/
ADD --chown=1:2 a.txt /owned
COPY archive.tar /copied.tar
COPY archive.tar.gz /copied/
"""
RUNS = """\
FROM busybox
RUN mkdir -p /gone/deep /opaque/deep /became /d && touch /gone/deep/f /opaque/deep/f /became/f /d/a /d/b /file
RUN rm -r /gone /d/a /data/seed && rm /etc/not-executable
RUN rm -r /opaque && mkdir -m 750 /opaque && echo new > /opaque/new
RUN rm -r /became && echo "a file now" > /became && rm /file && mkdir /file && touch /file/x
RUN rm /became && ln -s nowhere /became && mv /d/b /d/c
RUN echo x > /one && ln /one /two && mkdir /l && ln /one /l/three
RUN chmod 600 /home && chown -R 5:6 /d && chmod 1777 /d && chmod u+s /bin/busybox
RUN mkfifo /fifo && ln -s /a/b /link && chown -h 3:4 /link && touch /tmp/left
RUN umask 077; mkdir /umask && touch /umask/f && printf x > "/$(printf 'new\\tline \\303\\244')"
RUN mkdir -p /opaque/long && touch /opaque/long/$(printf '%0200d' 1)
USER user
RUN echo mine > /tmp/mine; mkdir /tmp/d
USER 1234:4321
RUN echo theirs > /tmp/theirs
USER root
RUN true
"""
CONFIG = """\
FROM busybox
ARG VERSION=1
ENV ONE=1 TWO="two words" THREE=${VERSION}-$ONE
ENV OLD style of value
ENV PATH=/opt:$PATH
LABEL a=b "c d"='e f' multi="x\\
y"
LABEL a=later
EXPOSE 80 8080/udp 9000-9002
EXPOSE $ONE/tcp
VOLUME /v1 /v2
VOLUME ["/v 3"]
WORKDIR /one
WORKDIR two
STOPSIGNAL SIGUSR1
HEALTHCHECK --interval=5s --timeout=2s --start-period=1m --retries=4 CMD test -f /one || exit 1
ONBUILD COPY . /later
ONBUILD RUN echo $ONE
SHELL ["/bin/sh", "-ec"]
RUN echo "$ONE $TWO $THREE $OLD $VERSION" > /seen
USER user:extra
ENTRYPOINT exec echo "$ONE"
CMD ["a", "b c"]
MAINTAINER somebody
"""
FORMS = """\
FROM busybox AS first
ENTRYPOINT ["echo", "first"]
CMD echo shell form
HEALTHCHECK NONE
FROM first
ENV A=1
CMD ["exec", "form"]
"""
CLEARED = """\
FROM busybox AS first
CMD ["inherited"]
HEALTHCHECK CMD ["true"]
FROM first
ENTRYPOINT ["clears", "cmd"]
"""
STAGES = """\
ARG BASE=busybox
FROM $BASE AS build
WORKDIR /src
COPY tree .
RUN mkdir /out && cp -a . /out/ && ln /out/top /out/other && chown -R 8:9 /out && chmod 4755 /out/top
FROM build AS more
RUN echo more > /out/more && rm /out/sub/b
FROM scratch
COPY --from=build /out/top /
COPY --from=more /out /out
COPY --from=0 --chown=1:1 /out/sub /sub/
COPY --from=busybox /bin/busybox /bin/sh
COPY --from=busybox /etc/passwd /etc/
ENTRYPOINT ["/bin/sh"]
"""
TRIGGERS = """\
FROM busybox AS parent
ONBUILD COPY a.txt /triggered/
ONBUILD RUN echo ran > /triggered/ran
ONBUILD ENV TRIGGERED=yes
FROM parent
RUN cat /triggered/a.txt > /seen
"""
DOCKERFILES = {
    "copy": COPIES,
    "links": LINKS,
    "add": ADDED,
    "run": RUNS,
    "config": CONFIG,
    "forms": FORMS,
    "cleared": CLEARED,
    "stages": STAGES,
    "triggers": TRIGGERS,
}


def make_archive(path: Path, opened: Literal["w:", "w:gz", "w:bz2", "w:xz"]) -> None:
    """A tar with modes, owners, links of both kinds, a device, a capability and a name that is not ASCII."""
    with tarfile.open(path, opened, format=tarfile.PAX_FORMAT) as tar:
        for name, kind, mode, owner, text in (
            ("d", tarfile.DIRTYPE, 0o2750, (10, 20), ""),
            ("d/f", tarfile.REGTYPE, 0o4711, (10, 0), "in the archive"),
            ("d/symbolic", tarfile.SYMTYPE, 0o777, (1, 2), "../d/f"),
            ("d/hard", tarfile.LNKTYPE, 0o4711, (10, 0), "d/f"),
            ("without/parents/ä", tarfile.REGTYPE, 0o600, (0, 99), "deep"),
            ("capable", tarfile.REGTYPE, 0o755, (0, 0), "ping"),
            ("null", tarfile.CHRTYPE, 0o666, (0, 0), ""),
            ("pipe", tarfile.FIFOTYPE, 0o640, (0, 5), ""),
        ):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode, (entry.uid, entry.gid), entry.mtime = kind, mode, owner, 1_500_000_000
            if kind == tarfile.REGTYPE:
                entry.size = len(text)
            elif kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                entry.linkname = text
            elif kind == tarfile.CHRTYPE:
                entry.devmajor, entry.devminor = 1, 3
            if name == "capable":
                entry.pax_headers = {"SCHILY.xattr.security.capability": "\x01\0\0\x02\0\x20" + "\0" * 14}
            tar.addfile(entry, io.BytesIO(text.encode()))


@pytest.fixture
def context(tmp_path: Path) -> Path:
    files = {
        "a.txt": "a\n",
        "b.txt": "b\n",
        "tree/top": "top\n",
        "tree/sub/b": "b\n",
        "tree/dir/c": "c\n",
        "with space": "space\n",
        "not-a.tar": "no archive at all",
        "ignored/file": "x\n",
        ".dockerignore": "ignored\n**/*.log\n.dockerignore\nDockerfile\n",
        "tree/some.log": "log\n",
    }
    place = write_context(tmp_path / "context", files)
    (place / "tree/top").chmod(0o755)
    (place / "suid").mkdir()
    (place / "suid/program").touch(0o4755)
    (place / "suid/program").chmod(0o4755)
    (place / "tree/sub").chmod(0o700)
    (place / "b.txt").chmod(0o640)
    os.chown(place / "tree/sub/b", 33, 44)
    (place / "empty").mkdir(mode=0o710)
    (place / "link-to-a").symlink_to("a.txt")
    (place / "link-to-tree").symlink_to("tree")
    (place / "tree/relative").symlink_to("sub/b")
    (place / "tree/dangling").symlink_to("/no/where")
    os.link(place / "tree/top", place / "tree/hard")
    make_archive(place / "archive.tar", "w:")
    make_archive(place / "archive.tar.gz", "w:gz")
    make_archive(place / "archive.tar.bz2", "w:bz2")
    make_archive(place / "archive.tar.xz", "w:xz")
    return place


@dataclass(frozen=True)
class Difference:
    """Where a peer does it another way than BuildKit does: names in the tree, fields of the config, why."""

    peer: str
    dockerfiles: tuple[str, ...]
    names: tuple[str, ...]
    why: str


RUNNING = tuple(name for name, text in DOCKERFILES.items() if "\nRUN " in text and "FROM scratch" not in text)
DIFFERENCES = [
    Difference("buildah", RUNNING, ("dev", "proc", "run", "sys", "etc/hostname"), "mount points of RUN stay"),
    Difference("buildah", ("config",), ("Entrypoint",), "SHELL is not used for it"),
    Difference("buildah", ("config",), ("Env",), "a variable that is set again goes to the end"),
    Difference("buildah", ("config",), ("ExposedPorts",), "a range is not taken apart"),
    Difference("buildah", ("config",), ("v 3", "v1", "v2"), "mount points of volumes at RUN stay"),
    Difference(
        "buildah",
        ("copy",),
        ("suid/program", "all/suid/program"),
        "set-user-ID bits of a context are dropped",
    ),
    Difference("buildah", ("stages",), ("WorkingDir",), "scratch has none"),
    Difference("docker", ("config",), ("v 3", "v1", "v2"), "mount points of volumes at RUN stay"),
    Difference("docker", ("copy",), ("owned-tree",), "--chown is not for the directories on the way"),
    Difference(
        "docker", ("copy",), ("suid/program", "all/suid/program"), "set-user-ID bits of a context are dropped"
    ),
    Difference("docker", ("stages",), ("WorkingDir",), "scratch has none"),
]


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="ct-peers-", dir="/tmp"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="module")
def docker(place: Path, busybox_archive: Path) -> Iterator[Docker]:
    (place / "docker").mkdir()
    made = Docker(place / "docker", busybox_archive)
    yield made
    made.close()


@pytest.fixture(scope="module")
def buildah(place: Path, busybox_archive: Path) -> Buildah:
    (place / "buildah").mkdir()
    return Buildah(place / "buildah", busybox_archive)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """In place of the suite's, which asks for every docker command: this one is about builders."""


def build(corten: Corten, context: Path, archive: Path) -> ImageTree:
    corten("build", "-q", "--network", "none", "-t", "built", str(context))
    corten("save", "-o", str(archive), "built")
    return read_image(archive)


def differences(ours: ImageTree, theirs: ImageTree) -> dict[str, tuple[object, object]]:
    """name → (ours, theirs), of files and of fields of the config."""
    found: dict[str, tuple[object, object]] = {}
    for name in sorted({*ours.nodes, *theirs.nodes} - {""}):
        mine, other = ours.nodes.get(name), theirs.nodes.get(name)
        if mine != other:
            found[name] = (mine, other)
    for key in sorted({*ours.run, *theirs.run} - {"Image", "ArgsEscaped", "Hostname"}):
        if ours.run.get(key) != theirs.run.get(key):
            found[key] = (ours.run.get(key), theirs.run.get(key))
    for key in ("architecture", "os"):
        if ours.config[key] != theirs.config[key]:
            found[key] = (ours.config[key], theirs.config[key])
    return found


@pytest.mark.parametrize("peer", ["docker", "buildah"])
@pytest.mark.parametrize("name", DOCKERFILES)
def test_the_same_tree_and_config(
    request: pytest.FixtureRequest, corten: Corten, context: Path, tmp_path: Path, name: str, peer: str
) -> None:
    (context / "Dockerfile").write_text(DOCKERFILES[name])
    other: Docker | Buildah = request.getfixturevalue(peer)
    theirs = other.build(context, tmp_path / "theirs.tar")
    ours = build(corten, context, tmp_path / "ours.tar")
    found = differences(ours, theirs)
    known = {
        path for each in DIFFERENCES if each.peer == peer and name in each.dockerfiles for path in each.names
    }
    for path in sorted(found.keys() - known):
        print(f"{path}\n  corten {found[path][0]}\n  {peer:6} {found[path][1]}")
    assert found.keys() == known
    made = [step for step in ours.config["history"] if not step.get("empty_layer")]
    assert len(made) == len(ours.config["rootfs"]["diff_ids"])
