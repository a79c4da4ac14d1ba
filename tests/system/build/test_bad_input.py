"""Bad Dockerfiles, contexts and steps: one sentence, exit code 1; nothing is left running, mounted or
half-stored."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.build.conftest import processes, until, write_context
from tests.system.cli.conftest import Corten
from tests.system.conftest import clean, leftovers

pytestmark = pytest.mark.root

SECRET = "s3cr3t-value"


@pytest.fixture(autouse=True)
def nothing_left(corten: Corten) -> Iterator[None]:
    """After each test: no mount more, no half-made layer, no container."""
    corten("engine", "start")
    before = mounts(corten)
    yield
    corten.end()
    until(lambda: mounts(corten) == before)
    until(lambda: not half_made(corten))
    assert corten("ps", "-aq").stdout == ""


def mounts(corten: Corten) -> set[str]:
    """Mount points below the engine's directories (but those of images, which the engine keeps)."""
    place = str(corten.paths.root.parent)
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    found = {line.split()[4] for line in lines if place in line}
    return {point for point in found if not point.startswith(str(corten.paths.root / "snapshots"))}


def half_made(corten: Corten) -> list[Path]:
    """What only a build that goes on may have."""
    build = corten.paths.build
    return [
        *build.glob("layers/.staging/*"),
        *build.glob("contexts/*"),
        *corten.paths.content.glob("ingest/*"),
    ]


def failed(corten: Corten, context: Path, *options: str, code: int = 1) -> str:
    """The last sentence of a build that fails."""
    done = corten("build", "--progress=plain", *options, str(context), check=code)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("corten: "), done.stderr
    assert len(last) < 500
    return last


FILES: list[tuple[str, bytes, str]] = [
    ("NUL", b"FROM busybox\nRUN echo a\0b\n", "line 2: the file has a NUL byte"),
    (
        "UTF-16",
        "FROM busybox\nRUN true\n".encode("utf-16"),
        "line 1: the file is in UTF-16; save it as UTF-8",
    ),
    ("UTF-16 without BOM", "FROM busybox\n".encode("utf-16-be"), "line 1: the file has a NUL byte"),
    (
        "UTF-32",
        "FROM busybox\nRUN true\n".encode("utf-32"),
        "line 1: the file is in UTF-32; save it as UTF-8",
    ),
    ("a program", b"\x7fELF\x02\x01\x01" + bytes(range(256)) * 20, "line 1: the file has a NUL byte"),
    ("empty", b"", "cannot be empty"),
    ("comments only", b"# one\n\n# two\n", "no instructions"),
    ("endless line", b"FROM busybox\nRUN true " + b"x" * 5_000_000, "line 2: the line is longer than"),
    ("endless continuation", b"FROM busybox\nRUN true" + b" \\\n x" * 100_000 + b" \\", ""),
    ("endless heredoc", b"FROM busybox\nRUN <<EOF\n" + b"echo x\n" * 100_000, "line 2: unterminated heredoc"),
    (
        "heredocs",
        b"FROM busybox\nCOPY " + b"".join(b"<<E%d " % n for n in range(500)) + b"/x\n",
        "unterminated",
    ),
    ("unknown", b"FROM busybox\nRUNN true\n", "line 2: unknown instruction: RUNN (did you mean RUN?)"),
    ("no FROM", b"RUN true\n", "FROM"),
    ("nesting", b"ARG A=" + b"${B:-" * 10_000 + b"}" * 10_000 + b"\nFROM busybox\n", "line 1"),
    (
        "cycle",
        b"FROM busybox AS a\nCOPY --from=b /x /x\nFROM busybox AS b\nCOPY --from=a /x /x\n",
        "circular dependency",
    ),
    ("itself", b"FROM busybox AS a\nCOPY --from=a /x /x\n", "circular dependency"),
    (
        "cycle of three",
        b"".join(b"FROM busybox AS s%d\nCOPY --from=s%d /x /x\n" % (n, (n + 1) % 3) for n in range(3)),
        "circular dependency",
    ),
]


@pytest.mark.parametrize(
    ("content", "message"), [case[1:] for case in FILES], ids=[case[0] for case in FILES]
)
def test_dockerfiles(corten: Corten, tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "Dockerfile").write_bytes(content)
    if message:
        assert message in failed(corten, tmp_path)
    else:
        corten("build", "-q", str(tmp_path), check=None)  # one sentence at most, and no traceback


def test_a_byte_order_mark_and_other_line_ends(corten: Corten, tmp_path: Path) -> None:
    text = "\ufeffFROM busybox\r\nRUN echo \\\r\n  hello > /x\r\n"
    (tmp_path / "Dockerfile").write_bytes(text.encode())
    corten("build", "-q", "-t", "bom", str(tmp_path))
    assert corten("run", "--rm", "--network", "none", "bom", "cat", "/x").stdout == "hello\n"


def test_100_000_lines(corten: Corten, tmp_path: Path) -> None:
    lines = ["FROM busybox", *("# a comment",) * 50_000, *(f"LABEL l{n % 100}={n}" for n in range(49_999))]
    write_context(tmp_path, {"Dockerfile": "\n".join(lines) + "\n"})
    corten("build", "-q", "-t", "long", str(tmp_path))
    assert corten("image", "inspect", "--format", "{{.Config.Labels.l98}}", "long").stdout == "49998\n"


def test_links_out_of_the_context(corten: Corten, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("outside\n")
    context = write_context(tmp_path / "context", {"kept/file": "inside\n"})
    (context / "absolute").symlink_to("/etc/passwd")
    (context / "relative").symlink_to("../outside")
    (context / "magic").symlink_to("/proc/self/root/etc/passwd")
    (context / "up").symlink_to("..")
    for source in (
        "absolute",
        "relative",
        "magic",
        "up/outside",
        "../outside",
        "/etc/passwd",
        "up/../outside",
    ):
        write_context(context, {"Dockerfile": f"FROM busybox\nCOPY {source} /x\n"})
        assert "is not in the build context" in failed(corten, context), source
    # Links that are copied as links lead nowhere on the host.
    write_context(context, {"Dockerfile": "FROM busybox\nCOPY . /all/\n"})
    corten("build", "-q", "-t", "links", str(context))
    shown = corten("run", "--rm", "--network", "none", "links", "readlink", "/all/relative").stdout
    assert shown == "../outside\n"


def test_a_context_that_changes_while_it_is_read(corten: Corten, tmp_path: Path) -> None:
    context = write_context(tmp_path, {"Dockerfile": "FROM busybox\nCOPY . /all/\n"})
    (context / "big").write_bytes(os.urandom(1 << 20) * 60)
    stop = threading.Event()

    def change() -> None:
        with (context / "big").open("r+b") as file:
            while not stop.is_set():
                file.seek(30 << 20)
                file.write(os.urandom(4096))
                file.flush()

    thread = threading.Thread(target=change)
    thread.start()
    try:
        said = failed(corten, context)
    finally:
        stop.set()
        thread.join()
    assert "'big' in the build context" in said and "changed while it was read" in said
    corten("build", "-q", "-t", "still", str(context))
    digest = corten("run", "--rm", "--network", "none", "still", "sha256sum", "/all/big").stdout.split()[0]
    assert (
        digest
        == subprocess.run(["sha256sum", context / "big"], capture_output=True).stdout.split()[0].decode()
    )


@pytest.mark.parametrize(
    ("dockerfile", "message"),
    [
        ("COPY nothing /x", "'/nothing' is not in the build context"),
        ("COPY Dockerfile /bin/sh/x", "is no directory"),
        ("COPY . /bin/busybox", "cannot copy a directory"),
        ("WORKDIR /bin/busybox", "is no directory"),
        ("COPY --chown=nobody-here Dockerfile /", "no user 'nobody-here'"),
        ("COPY --chmod=9 Dockerfile /", "9"),
        ("USER nobody-here\nRUN true", "nobody-here"),
        ('RUN ["/nothing"]', "/nothing"),
        ("RUN exit 77", "exit code: 77"),
        ("RUN --mount=type=secret,id=token,required cat /run/secrets/token", "--secret id=token,src=FILE"),
        ("RUN --mount=type=bind,source=nothing,target=/x true", "nothing"),
        ("RUN --mount=type=bind,from=nobody-here,target=/x true", "nobody-here"),
    ],
)
def test_steps_that_cannot_be(corten: Corten, tmp_path: Path, dockerfile: str, message: str) -> None:
    context = write_context(tmp_path, {"Dockerfile": f"FROM busybox\n{dockerfile}\n"})
    assert message in failed(corten, context)


def test_secrets_that_cannot_be_read(corten: Corten, tmp_path: Path) -> None:
    context = write_context(tmp_path, {"Dockerfile": "FROM busybox\nRUN --mount=type=secret,id=x true\n"})
    assert "cannot read" in failed(corten, context, "--secret", f"id=x,src={tmp_path / 'nothing'}")
    assert "cannot read" in failed(corten, context, "--secret", f"id=x,src={tmp_path}")


def test_secrets_of_a_step_that_fails_are_nowhere(corten: Corten, tmp_path: Path) -> None:
    dockerfile = (
        "FROM busybox\nRUN --mount=type=cache,target=/c --mount=type=secret,id=token"
        " --mount=type=secret,id=env,env=PASSWORD"
        ' test -s /run/secrets/token && test -n "$PASSWORD" && false\n'
    )
    context = write_context(tmp_path / "c", {"Dockerfile": dockerfile})
    (tmp_path / "token").write_text(SECRET)
    corten.environment["PASSWORD_OF_MINE"] = SECRET
    secrets = ["--secret", f"id=token,src={tmp_path / 'token'}", "--secret", "id=env,env=PASSWORD_OF_MINE"]
    try:
        done = corten("build", "--progress=rawjson", *secrets, str(context), check=1)
        (context / "Dockerfile").write_text(dockerfile.replace("&& false", "&& true"))
        made = corten("build", "--explain", "--progress=plain", "-t", "kept", *secrets, str(context))
        corten("build", "-q", *secrets, "--cache-to", f"type=local,dest={tmp_path / 'cache'}", str(context))
    finally:
        # The engine was started before, so that the variable is not in its environment.
        del corten.environment["PASSWORD_OF_MINE"]
    assert SECRET not in done.stdout + done.stderr + made.stdout + made.stderr
    assert SECRET not in corten("history", "--no-trunc", "kept").stdout
    places = (corten.paths.root, corten.paths.run, tmp_path / "cache")
    files = [Path(top, name) for place in places for top, _names, found in os.walk(place) for name in found]
    for path in files:
        with contextlib.suppress(FileNotFoundError):  # the trash is being emptied
            if path.is_file() and not path.is_symlink():
                assert SECRET.encode() not in path.read_bytes(), path


def test_forks_without_end(corten: Corten, tmp_path: Path) -> None:
    seconds = str(3_000_000 + os.getpid())
    command = f"while true; do sleep {seconds} & done"
    context = write_context(tmp_path, {"Dockerfile": f"FROM busybox\nRUN {command}\n"})
    assert "did not complete successfully" in failed(corten, context, "--network", "none")
    assert not processes(f"sleep\0{seconds}")


@pytest.mark.parametrize("ignored", ["", "trap '' INT TERM HUP; "], ids=["plain", "deaf"])
def test_control_c(corten: Corten, tmp_path: Path, ignored: str) -> None:
    """All that the terminal's process group gets, and a second time while it ends."""
    seconds = str(4_000_000 + os.getpid())
    dockerfile = f"FROM busybox\nRUN {ignored}(setsid sleep {seconds} &); touch /half; sleep {seconds}\n"
    context = write_context(tmp_path, {"Dockerfile": dockerfile})
    process = corten.popen(
        *("build", "--progress=plain", "-t", "never", str(context)),
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    until(lambda: len(processes(f"sleep\0{seconds}")) >= 2)
    os.killpg(process.pid, signal.SIGINT)
    code = process.wait(20)
    assert process.stderr is not None
    said = process.stderr.read().decode()
    assert code == 1 and said.splitlines()[-1] == "corten: the build was canceled", said
    assert not processes(f"sleep\0{seconds}")
    assert corten("images", "-q", "never").stdout == ""


@pytest.fixture
def small(busybox_archive: Path) -> Iterator[Corten]:
    """An engine on a disk of 24 MiB."""
    place = Path(tempfile.mkdtemp(prefix="ct-", dir="/tmp"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", place], check=True)
    corten = Corten(place)
    try:
        corten("load", "-q", "-i", str(busybox_archive))
        yield corten
        corten("engine", "stop")
        left = [
            line
            for line in leftovers(corten.paths)
            if not line.endswith(f" {place}") and f" {place} " not in line
        ]
        assert not left, left
    finally:
        clean(corten.paths)
        subprocess.run(["umount", "-l", place], check=False)
        shutil.rmtree(place, ignore_errors=True)


def test_a_full_disk(small: Corten, tmp_path: Path) -> None:
    context = write_context(
        tmp_path / "run", {"Dockerfile": "FROM busybox\nRUN dd if=/dev/zero of=/big bs=1M\n"}
    )
    done = small("build", "--progress=plain", "--network", "none", str(context), check=1)
    assert "No space left on device" in done.stderr and done.stderr.splitlines()[-1].startswith("corten: ")
    copied = write_context(tmp_path / "copy", {"Dockerfile": "FROM busybox\nCOPY big /\n"})
    (copied / "big").write_bytes(os.urandom(1 << 20) * 40)
    last = failed(small, copied)
    assert "the disk is full" in last
    until(lambda: not half_made(small))
    # What was written has gone: there is room again.
    room = write_context(
        tmp_path / "room", {"Dockerfile": "FROM busybox\nRUN dd if=/dev/zero of=/x bs=1M count=8\n"}
    )
    small("build", "-q", "--network", "none", str(room))
