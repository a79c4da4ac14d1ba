"""corten build, as a person uses it: flags, outputs, messages, and what is left behind."""

from __future__ import annotations

import contextlib
import functools
import http.server
import io
import json
import os
import signal
import socket
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.build.conftest import processes, until, write_context
from tests.system.cli.conftest import Corten

pytestmark = pytest.mark.root

SIMPLE = 'FROM busybox\nCOPY a.txt /a.txt\nRUN cat /a.txt > /b.txt\nCMD ["cat", "/b.txt"]\n'


@pytest.fixture
def context(tmp_path: Path) -> Path:
    return write_context(tmp_path / "context", {"Dockerfile": SIMPLE, "a.txt": "hello\n"})


def run(corten: Corten, image: str, *command: str) -> str:
    return corten("run", "--rm", "--network", "none", image, *command).stdout


def test_build_and_run(corten: Corten, context: Path) -> None:
    done = corten("build", "-t", "simple:1", "-t", "simple:2", str(context))
    assert done.stdout == ""
    assert "[3/3] RUN cat /a.txt > /b.txt" in done.stderr
    assert run(corten, "simple:1") == run(corten, "simple:2") == "hello\n"
    again = corten("build", "--progress=plain", "-t", "simple:1", str(context)).stderr
    for step in ("[2/3] COPY a.txt /a.txt", "[3/3] RUN cat /a.txt > /b.txt"):
        assert f"{step}\n" in again
    assert again.count("CACHED") >= 2 and "hello" not in again
    (context / "a.txt").write_text("changed\n")
    corten("build", "-t", "simple:1", str(context))
    assert run(corten, "simple:1") == "changed\n" and run(corten, "simple:2") == "hello\n"


def test_quiet_and_the_files_about_the_image(corten: Corten, context: Path, tmp_path: Path) -> None:
    iidfile, metadata = tmp_path / "iid", tmp_path / "metadata.json"
    iidfile.write_text("old")
    done = corten("build", "-q", "--iidfile", str(iidfile), "--metadata-file", str(metadata), str(context))
    assert done.stderr == ""
    image = done.stdout.strip()
    assert iidfile.read_text() == image == json.loads(metadata.read_text())["containerimage.config.digest"]
    assert corten("image", "inspect", "--format", "{{.Id}}", image).stdout.strip() == image
    corten("build", "-q", "--iidfile", str(iidfile), "-f", str(context / "nothing"), str(context), check=1)
    assert not iidfile.exists()


def test_build_arguments_labels_and_targets(corten: Corten, tmp_path: Path) -> None:
    dockerfile = (
        "FROM busybox AS base\nARG A=default\nARG B\nARG HTTP_PROXY\nRUN echo $A-$B > /args\n"
        "FROM base AS other\nRUN false\nFROM base\nLABEL x=y\n"
    )
    context = write_context(tmp_path, {"Dockerfile": dockerfile})
    corten.environment["B"] = "from-environment"
    try:
        corten(
            "build", "-t", "args", "--build-arg", "A=1", "--build-arg", "B", "--label", "l=m", str(context)
        )
        corten("build", "-t", "base", "--target", "base", str(context))
    finally:
        del corten.environment["B"]
    assert run(corten, "args", "cat", "/args") == "1-from-environment\n"
    assert run(corten, "base", "cat", "/args") == "default-\n"
    labels = json.loads(corten("image", "inspect", "--format", "{{json .Config.Labels}}", "args").stdout)
    assert labels == {"l": "m", "x": "y"}
    done = corten("build", "--target", "othre", str(context), check=1)
    assert "other" in done.stderr.splitlines()[-1]


def test_what_is_not_allowed_is_not_taken_from_the_cache(corten: Corten, tmp_path: Path) -> None:
    context = write_context(tmp_path, {"Dockerfile": "FROM busybox\nRUN --network=host echo far > /x\n"})
    corten("build", "--allow", "network.host", str(context))
    done = corten("build", str(context), check=1)
    assert "--network=host is not allowed for this build: give it --allow network.host" in done.stderr
    assert ">>> RUN --network=host" in done.stderr


def test_proxies_of_the_configuration(corten: Corten, tmp_path: Path) -> None:
    dockerfile = "FROM busybox\nRUN echo $HTTP_PROXY $http_proxy $no_proxy > /proxy\n"
    context = write_context(tmp_path / "c", {"Dockerfile": dockerfile})
    config = tmp_path / "config.json"
    proxies = {"default": {"httpProxy": "http://pr0xy:1", "noProxy": "local"}}
    config.write_text(json.dumps({"proxies": proxies}))
    before = corten.environment.get("DOCKER_CONFIG")
    corten.environment["DOCKER_CONFIG"] = str(tmp_path)
    try:
        corten("build", "-t", "proxy", str(context))
        config.write_text("{}")
        again = corten("build", "--progress=plain", str(context)).stderr
    finally:
        if before is None:
            del corten.environment["DOCKER_CONFIG"]
        else:
            corten.environment["DOCKER_CONFIG"] = before
    assert run(corten, "proxy", "cat", "/proxy") == "http://pr0xy:1 http://pr0xy:1 local\n"
    assert "CACHED" in again
    inspected = corten("image", "inspect", "proxy").stdout
    assert "pr0xy" not in inspected + corten("image", "history", "--no-trunc", "proxy").stdout


def test_secrets_leave_no_trace(corten: Corten, tmp_path: Path) -> None:
    dockerfile = (
        "FROM busybox\n"
        "RUN --mount=type=secret,id=token --mount=type=secret,id=pass,env=PASS"
        " wc -c < /run/secrets/token > /length && echo ${#PASS} >> /length\n"
    )
    context = write_context(tmp_path / "c", {"Dockerfile": dockerfile})
    (tmp_path / "token").write_text("s3cr3t-in-file")
    corten.environment["PASS_VARIABLE"] = "s3cr3t-in-environment"
    try:
        done = corten(
            *("build", "--progress=plain", "-t", "secret", "--secret", f"id=token,src={tmp_path / 'token'}"),
            *("--secret", "id=pass,env=PASS_VARIABLE", str(context)),
        )
    finally:
        del corten.environment["PASS_VARIABLE"]
    assert run(corten, "secret", "cat", "/length").split() == ["14", "21"]
    archive = subprocess.run(
        [*("python3", "-m"), "corten", "save", "secret"],
        env=corten.environment,
        capture_output=True,
        check=True,
    ).stdout
    assert b"s3cr3t" not in archive and "s3cr3t" not in done.stderr
    seen = 0
    for directory, _names, files in os.walk(corten.paths.root):
        for path in (Path(directory, name) for name in files):
            with contextlib.suppress(FileNotFoundError):  # the trash is being emptied
                if path.is_file() and path.stat().st_size < 1 << 26:
                    assert b"s3cr3t" not in path.read_bytes(), path
                    seen += 1
    assert seen


def test_outputs(corten: Corten, context: Path, tmp_path: Path) -> None:
    out, archive = tmp_path / "out", tmp_path / "image.tar"
    corten("build", "-o", str(out), "-o", f"type=oci,dest={archive}", str(context))
    assert (out / "b.txt").read_text() == "hello\n"
    with tarfile.open(archive) as tar:
        assert "oci-layout" in tar.getnames()
    done = subprocess.run(
        ["python3", "-m", "corten", "build", "-o", "-", str(context)],
        env=corten.environment,
        capture_output=True,
        check=True,
    )
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
        assert tar.extractfile("b.txt").read() == b"hello\n"  # type: ignore[union-attr]
    failed = corten("build", "-o", "type=tar,dest=/nowhere/x.tar", str(context), check=125)
    assert "there is no directory /nowhere" in failed.stderr
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"context", "out", "image.tar"}


def test_contexts_from_stdin(corten: Corten, context: Path) -> None:
    corten("build", "-t", "stdin:1", "-", input=b"FROM busybox\nRUN echo stdin > /x\n")
    assert run(corten, "stdin:1", "cat", "/x") == "stdin\n"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.add(context, ".")
    corten("build", "-t", "stdin:2", "-", input=buffer.getvalue())
    assert run(corten, "stdin:2") == "hello\n"
    corten("build", "-t", "stdin:3", "-f", "-", str(context), input=b"FROM busybox\nCOPY a.txt /other\n")
    assert run(corten, "stdin:3", "cat", "/other") == "hello\n"


def test_named_contexts(corten: Corten, tmp_path: Path) -> None:
    write_context(tmp_path / "lib", {"data": "from lib\n", ".dockerignore": "ignored\n", "ignored": "no\n"})
    dockerfile = "FROM base\nCOPY --from=lib . /lib/\n"
    context = write_context(tmp_path / "c", {"Dockerfile": dockerfile})
    corten(
        *("build", "-t", "named", "--build-context", f"lib={tmp_path / 'lib'}"),
        *("--build-context", "base=docker-image://busybox", str(context)),
    )
    assert run(corten, "named", "ls", "-A", "/lib").split() == [".dockerignore", "data"]


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def website(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A directory, and the URL at which it is served."""
    directory = tmp_path / "website"
    directory.mkdir()
    handler = functools.partial(_Quiet, directory=str(directory))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield directory, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_git_repository(corten: Corten, context: Path, website: tuple[Path, str]) -> None:
    directory, url = website

    def git(*arguments: str | Path) -> None:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        subprocess.run(["git", *identity, *arguments], check=True, capture_output=True)

    git("-C", context, "init", "-q", "-b", "main")
    git("-C", context, "add", ".")
    git("-C", context, "commit", "-q", "-m", "first")
    git("clone", "-q", "--bare", context, directory / "app.git")
    git("-C", directory / "app.git", "update-server-info")
    corten("build", "-t", "git", f"{url}/app.git#main")
    assert run(corten, "git") == "hello\n"
    failed = corten("build", "-q", f"{url}/app.git#other", check=1)
    assert failed.stderr == f"corten: the repository {url}/app.git has no branch or tag 'other'\n"
    failed = corten("build", "-q", f"file://{context}", check=125)
    assert "is not a directory: give one, a URL, or -" in failed.stderr


def test_urls(corten: Corten, context: Path, website: tuple[Path, str]) -> None:
    directory, url = website
    with tarfile.open(directory / "context.tar.gz", "w:gz") as tar:
        tar.add(context, ".")
    (directory / "Dockerfile").write_text("FROM busybox\nRUN echo alone > /x\n")
    corten("build", "-t", "url:1", f"{url}/context.tar.gz")
    corten("build", "-t", "url:2", f"{url}/Dockerfile")
    assert run(corten, "url:1") == "hello\n" and run(corten, "url:2", "cat", "/x") == "alone\n"
    failed = corten("build", "-q", f"{url}/nothing", check=1)
    assert failed.stderr == f"corten: there is nothing at {url}/nothing (404)\n"


def test_a_dockerfile_by_its_url(corten: Corten, context: Path, website: tuple[Path, str]) -> None:
    directory, url = website
    (directory / "own.Dockerfile").write_text("FROM busybox\nCOPY a.txt /x\n")
    file = f"{url}/own.Dockerfile?token=hush"
    corten("build", "-q", "-t", "by:url", "-f", file, str(context))
    assert run(corten, "by:url", "cat", "/x") == (context / "a.txt").read_text()
    assert corten("builder", "history", "inspect", "--format", "{{.Dockerfile}}").stdout == "own.Dockerfile\n"
    failed = corten("build", "-q", "-f", f"{url}/nothing", str(context), check=1)
    assert failed.stderr.startswith(f"corten: cannot fetch the Dockerfile {url}/nothing: HTTP Error 404")
    (directory / "big").write_bytes(b"#" * ((8 << 20) + 1))
    failed = corten("build", "-q", "-f", f"{url}/big", str(context), check=125)
    assert "is larger than 8388608 bytes" in failed.stderr


def test_check(corten: Corten, tmp_path: Path) -> None:
    context = write_context(tmp_path, {"Dockerfile": "FROM busybox as one\nCMD echo hi\n"})
    done = corten("build", "--check", str(context), check=1)
    assert done.stdout.startswith("Check complete, 2 warnings have been found!\n")
    assert "WARNING: FromAsCasing - https://" in done.stdout
    assert "   2 | >>> CMD echo hi" in done.stdout
    found = json.loads(corten("build", "--call", "check,format=json", str(context), check=1).stdout)
    assert [item["ruleName"] for item in found["warnings"]] == ["FromAsCasing", "JSONArgsRecommended"]
    built = corten("build", str(context))
    assert "2 warnings found (use --check to see the lines):" in built.stderr
    (context / "Dockerfile").write_text("FROM busybox\n")
    assert corten("build", "--check", str(context)).stdout == "Check complete, no warnings found.\n"


def test_what_may_be_called(corten: Corten, tmp_path: Path) -> None:
    context = write_context(tmp_path, {"Dockerfile": "# syntax=example.com/nix:1\nFROM scratch AS one\n"})
    text = corten("build", "--call=subrequests.describe", str(context)).stdout
    names = [line.split()[0] for line in text.splitlines()]
    assert names == ["NAME", "outline", "targets", "lint", "subrequests.describe"]
    found = json.loads(corten("build", "--call=describe,format=json", str(context)).stdout)
    assert [item["name"].removeprefix("frontend.") for item in found] == names[1:]
    for name in names[1:]:
        corten("build", f"--call={name}", str(context))
    built = corten("build", "--progress=plain", str(context))
    assert "ForeignFrontend: example.com/nix:1 is not run" in built.stderr


def test_explain(corten: Corten, context: Path) -> None:
    corten("build", "--explain", "-t", "explained", str(context))
    (context / "a.txt").write_text("another\n")
    said = corten("build", "--progress=plain", "--explain", "-t", "explained", str(context)).stderr
    lines = [line.partition(" cache ")[2] for line in said.splitlines() if " cache " in line]
    assert any(line.startswith("miss: ") and "a.txt" in line for line in lines), said


GOLDEN = {
    "unknown instruction": (
        "FROM busybox\nRUNN make\n",
        """\
Dockerfile:2
--------------------
   1 |     FROM busybox
   2 | >>> RUNN make
     |     ^^^^
--------------------
corten: Dockerfile, line 2: unknown instruction: RUNN (did you mean RUN?)
""",
    ),
    "failing step": (
        "FROM busybox\nRUN echo last words; \\\n    exit 3\nCMD true\n",
        """\
------
 > [2/2] RUN echo last words;     exit 3:
TIME last words
------
Dockerfile:2
--------------------
   1 |     FROM busybox
   2 | >>> RUN echo last words; \\
   3 | >>>     exit 3
   4 |     CMD true
--------------------
corten: process "/bin/sh -c echo last words;     exit 3" did not complete successfully: exit code: 3
""",
    ),
    "missing file": (
        "FROM busybox\nCOPY nothing /\n",
        """\
------
 > [2/2] COPY nothing /:
------
Dockerfile:2
--------------------
   1 |     FROM busybox
   2 | >>> COPY nothing /
--------------------
corten: '/nothing' is not in the build context
""",
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_failures_are_told_in_full(corten: Corten, tmp_path: Path, name: str) -> None:
    dockerfile, expected = GOLDEN[name]
    context = write_context(tmp_path, {"Dockerfile": dockerfile})
    done = corten("build", "-q", str(context), check=1)
    said = [
        f"TIME {line.split(' ', 1)[1]}" if line[:1].isdigit() else line for line in done.stderr.splitlines()
    ]
    assert said == expected.splitlines()
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--secret", "id=a,src=/nowhere", "."), "secret 'a': cannot read /nowhere"),
        (("--ssh", "default=/nowhere", "."), "cannot use /nowhere"),
        (("/nowhere",), "the build context '/nowhere' is not a directory"),
        (("-f", "nothing", "."), "nothing; --file names another"),
        (("--network", "mynet", "."), "invalid network 'mynet'"),
        (("-t", "Upper", "."), "must be lowercase"),
        (("-o", "type=nonsense", "."), "unknown output type 'nonsense'"),
    ],
)
def test_mistakes_are_one_sentence(
    corten: Corten, context: Path, arguments: tuple[str, ...], message: str
) -> None:
    done = corten("build", "-q", *(str(context) if word == "." else word for word in arguments), check=None)
    assert done.returncode in (1, 125)
    [line] = [line for line in done.stderr.splitlines() if not line.startswith("See ")]
    assert line.startswith("corten: ") and message in line


def test_a_missing_secret_and_a_forbidden_host_network(corten: Corten, tmp_path: Path) -> None:
    context = write_context(
        tmp_path, {"Dockerfile": "FROM busybox\nRUN --mount=type=secret,id=token,required=true true\n"}
    )
    assert "token" in corten("build", "-q", str(context), check=1).stderr.splitlines()[-1]
    (context / "Dockerfile").write_text("FROM busybox\nRUN --network=host true\n")
    said = corten("build", "-q", str(context), check=1).stderr.splitlines()[-1]
    assert "network.host" in said and "--allow" in said
    corten("build", "-q", "--allow", "network.host", str(context))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["interrupt", "kill"])
def test_an_interrupted_build_leaves_nothing(corten: Corten, tmp_path: Path, number: signal.Signals) -> None:
    # No shell of the test's own has this in its command line.
    seconds = str(1_000_000 + os.getpid())
    context = write_context(tmp_path, {"Dockerfile": f"FROM busybox\nRUN touch /half; sleep {seconds}\n"})
    process = corten.popen("build", "--progress=plain", str(context), stderr=subprocess.PIPE)
    until(lambda: processes(f"sleep\0{seconds}"))
    process.send_signal(number)
    code = process.wait(20)
    assert process.stderr is not None
    said = process.stderr.read().decode()
    if number == signal.SIGINT:
        assert code == 1 and said.splitlines()[-1] == "corten: the build was canceled"
        assert not processes(f"sleep\0{seconds}")
    until(lambda: not processes(f"sleep\0{seconds}"))
    layers = corten.paths.build / "layers"
    until(lambda: not list((layers / ".staging").glob("*")))
    assert corten("ps", "-aq").stdout == ""


def test_two_builds_at_once(corten: Corten, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_context(tmp_path / name, {"Dockerfile": f"FROM busybox\nRUN sleep 0.3; echo {name} > /x\n"})
    threads = [
        threading.Thread(target=corten, args=("build", "-q", "-t", f"at-once:{name}", str(tmp_path / name)))
        for name in ("one", "two")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert run(corten, "at-once:one", "cat", "/x") + run(corten, "at-once:two", "cat", "/x") == "one\ntwo\n"


def test_ssh(corten: Corten, tmp_path: Path) -> None:
    path = tmp_path / "agent.sock"
    command = '[ -S "$SSH_AUTH_SOCK" ] && echo $SSH_AUTH_SOCK > /x'
    dockerfile = f"FROM busybox\nRUN --mount=type=ssh,required=true {command}\n"
    context = write_context(tmp_path / "c", {"Dockerfile": dockerfile})
    assert "default" in corten("build", "-q", str(context), check=1).stderr.splitlines()[-1]
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        corten("build", "-q", "--ssh", f"default={path}", "-t", "ssh", str(context))
    assert run(corten, "ssh", "cat", "/x").startswith("/run/buildkit/ssh_agent.")
    assert "run" not in run(corten, "ssh", "ls", "/").split()


def test_the_cache_is_shown_and_pruned(corten: Corten, context: Path) -> None:
    corten("build", "-q", str(context))
    shown = corten("builder", "du").stdout.splitlines()
    assert shown[0].split() == ["ID", "RECLAIMABLE", "SIZE", "LAST", "ACCESSED"]
    assert shown[-1].startswith("Total:") and len(shown) > 3
    described = corten("builder", "du", "--verbose").stdout
    assert "RUN cat /a.txt > /b.txt" in described
    summary = [line for line in corten("system", "df").stdout.splitlines() if line.startswith("Build Cache")]
    assert int(summary[0].split()[2]) > 0
    removed = corten("builder", "prune", "-a", "-f").stdout
    assert "Deleted build cache objects:" in removed and "Total reclaimed space:" in removed
    assert "RUN" not in corten("builder", "du", "--verbose").stdout
    said = corten("build", "--progress=plain", str(context)).stderr
    assert "hello" not in said and said.count("CACHED") <= 1


def test_what_the_cache_keeps_counts_once_its_image_is_gone(corten: Corten, tmp_path: Path) -> None:
    context = write_context(
        tmp_path / "c", {"Dockerfile": "FROM busybox\nCOPY f /f\n", "f": "kept " * 1_000_000}
    )

    def taken() -> tuple[str, str]:
        entries = corten("builder", "du", "--verbose").stdout.split("\n\n")
        (entry,) = (entry for entry in entries if "COPY f /f" in entry)
        told = dict(line.split(":", 1) for line in entry.strip().splitlines())
        return told["Size"].strip(), told["Shared"].strip()

    corten("build", "-q", "-t", "kept:1", str(context))
    shared = taken()
    corten("rmi", "kept:1")
    own = taken()
    assert (shared[1], own[1]) == ("true", "false")
    assert float(shared[0].removesuffix("MB")) >= 5.0
    # The layer's tar is the image's blob by another name: it is there once.
    assert 5.0 <= float(own[0].removesuffix("MB")) < 5.1


def test_events_tell_of_builds(corten: Corten, context: Path) -> None:
    began = str(int(time.time()) - 1)
    corten("build", "-q", "-t", "told:1", str(context))
    said = corten("events", "--since", began, "--until", str(int(time.time()) + 1), "--filter", "event=build")
    assert "image build sha256:" in said.stdout and "name=told:1" in said.stdout
