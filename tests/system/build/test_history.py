"""corten builder history: what is known of builds that have ended, however they were asked for and ended."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import tarfile
from pathlib import Path

import pytest

from corten.client.address import Address
from corten.client.transport import Transport
from tests.system.build.conftest import processes, until, write_context
from tests.system.cli.conftest import Corten

pytestmark = pytest.mark.root

DOCKERFILE = """\
FROM busybox AS base
ARG PASSWORD
COPY a.txt /a.txt
RUN echo told-by-the-step; echo and-here >&2
FROM base AS broken
RUN echo before; exit 3
"""


@pytest.fixture
def context(corten: Corten, tmp_path: Path) -> Path:
    """A context in the directory `app`; there are no records."""
    corten("builder", "history", "rm", "--all")
    return write_context(tmp_path / "app", {"Dockerfile": DOCKERFILE, "a.txt": str(tmp_path)})


def history(corten: Corten, *arguments: str, code: int = 0) -> str:
    done = corten("builder", "history", *arguments, check=code)
    return done.stderr if code else done.stdout


def inspect(corten: Corten, *arguments: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(history(corten, "inspect", "--format", "json", *arguments))
    return found


def test_a_build_and_the_same_again(corten: Corten, context: Path, tmp_path: Path) -> None:
    metadata = tmp_path / "metadata"
    build = ("build", "--target", "base", "-t", "kept:1", "--metadata-file", str(metadata), str(context))
    corten(*build)
    corten(*build)
    made = json.loads(metadata.read_text())
    last, first = inspect(corten), inspect(corten, "^1")
    assert made["buildx.build.ref"] == f"corten/corten/{last['Ref']}"
    assert inspect(corten, made["buildx.build.ref"]) == inspect(corten, str(last["Ref"])[:8]) == last
    for found in (last, first):
        assert (found["Name"], found["Status"]) == ("app (base)", "completed")
        assert (found["Context"], found["Dockerfile"]) == (str(context), "Dockerfile")
        assert found["ImageID"] == made["containerimage.config.digest"]
        assert found["Digest"] == made["containerimage.digest"] and found["Images"] == ["kept:1"]
        assert found["NumCompletedSteps"] == found["NumTotalSteps"]
    assert last["NumCachedSteps"] == 3 and first["NumCachedSteps"] == 1
    text = history(corten, "inspect")
    assert f"Name:           app (base)\nRef:            {last['Ref']}\n" in text
    assert "Build Steps:    7/7 (43% cached)\n" in text and "Images:         kept:1\n" in text
    assert history(corten, "inspect", "--format", "{{.Ref}} {{.Target}}") == f"{last['Ref']} base\n"
    told = history(corten, "logs", "^1")
    assert "] RUN echo told-by-the-step; echo and-here >&2\n" in told
    assert " told-by-the-step\n" in told and " and-here\n" in told and " DONE 0." in told
    assert " told-by-the-step\n" not in history(corten, "logs") and "CACHED\n" in history(corten, "logs")
    lines = [json.loads(line) for line in history(corten, "logs", "--progress", "rawjson", "^1").splitlines()]
    assert {key for line in lines for key in line} == {"vertexes", "statuses", "logs", "warnings"}


def test_a_build_that_fails(corten: Corten, context: Path) -> None:
    argument = "hunter" + str(os.getpid())
    corten("build", "-q", "--build-arg", f"PASSWORD={argument}", str(context), check=1)
    found = inspect(corten)
    assert (found["Name"], found["Status"]) == ("app", "failed")
    completed, total = found["NumCompletedSteps"], found["NumTotalSteps"]
    assert isinstance(completed, int) and isinstance(total, int) and completed < total
    text = history(corten, "inspect")
    assert "exit code: 3\n" in text and "\n > [broken 1/1] RUN echo before; exit 3:\n" in text
    assert " before\n------\n" in text
    assert " ERROR: process " in history(corten, "logs")
    root, *steps = json.loads(history(corten, "trace"))["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert root["status"]["code"] == 2 and root["name"] == "build app"
    assert [step["name"] for step in steps if step["status"]["code"] == 2] == [
        "[broken 1/1] RUN echo before; exit 3"
    ]
    assert all(step["traceId"] == root["traceId"] for step in steps)
    for path in corten.paths.build_history.iterdir():
        assert argument.encode() not in path.read_bytes()


def test_a_trace_in_a_file(corten: Corten, context: Path, tmp_path: Path) -> None:
    corten("build", "-q", "--target", "base", str(context))
    output = tmp_path / "trace.json"
    assert history(corten, "trace", "-o", str(output)) == ""
    assert json.loads(output.read_text()) == json.loads(history(corten, "trace"))
    said = history(corten, "trace", "-o", str(tmp_path / "nowhere" / "x"), code=1)
    assert said.startswith("corten: cannot write the trace to ") and len(said.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["app", "trace.json"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["interrupt", "kill"])
def test_a_build_that_nobody_wants_any_more(corten: Corten, context: Path, number: signal.Signals) -> None:
    seconds = str(2_000_000 + os.getpid())
    (context / "Dockerfile").write_text(f"FROM busybox\nRUN echo {number}; sleep {seconds}\n")
    process = corten.popen("build", "--progress=plain", str(context), stderr=subprocess.DEVNULL)
    until(lambda: processes(f"sleep\0{seconds}"))
    process.send_signal(number)
    process.wait(20)
    until(lambda: history(corten, "ls", "--filter", "status=canceled", "--format", "{{.Name}}") == "app\n")
    assert "Status:         Canceled\n" in history(corten, "inspect")
    assert f" {number:d}\n" in history(corten, "logs") and "CANCELED\n" in history(corten, "logs")


def test_lists_and_what_is_taken_from_them(corten: Corten, context: Path) -> None:
    assert history(corten, "ls").split() == ["BUILD", "ID", "NAME", "STATUS", "CREATED", "AT", "DURATION"]
    assert history(corten, "inspect", code=1) == "corten: no build ^0: there are 0 build records\n"
    corten("build", "-q", "--target", "base", str(context))
    corten("build", "-q", str(context), check=1)
    corten("build", "--check", str(context), check=None)  # makes nothing, and is no build
    rows = [line.split("  ")[0] for line in history(corten, "ls").splitlines()[1:]]
    found = [json.loads(line) for line in history(corten, "ls", "--format", "json").splitlines()]
    assert [item["ref"] for item in found] == rows
    assert [(item["name"], item["status"]) for item in found] == [
        ("app", "Error"),
        ("app (base)", "Completed"),
    ]
    for condition, refs in (
        ("status=error", rows[:1]),
        ("status!=error", rows[1:]),
        (f"ref={rows[0]}", rows[:1]),
        ("status=canceled", []),
    ):
        shown = history(corten, "ls", "--filter", condition, "--format", "{{.Ref}}").split()
        assert shown == refs, condition
    assert "a status is completed" in history(corten, "ls", "--filter", "status=good", code=125)
    assert "invalid filter 'colour=red'" in history(corten, "ls", "--filter", "colour=red", code=125)
    assert "--all" in history(corten, "rm", code=125)
    for wrong in ("", "/", "corten/corten/", "a/b", "^", "^x", "..", "%2e%2e"):
        assert len(history(corten, "rm", wrong, code=1).splitlines()) == 1
    assert len(history(corten, "ls").splitlines()) == 3
    assert history(corten, "rm", "^0", "^1").split() == rows
    assert history(corten, "ls", "--format", "{{.Ref}}") == ""


def test_a_build_by_docker_s_api_and_an_engine_that_starts_again(corten: Corten, context: Path) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(context, ".")
    transport = Transport(Address(path=str(corten.paths.socket)))
    try:
        query = {"t": "by-api:1", "target": "base", "buildid": "../../../escape"}
        answer = transport.request("POST", "/build", query=query, body=archive.getvalue()).read()
    finally:
        transport.close()
    assert b"Successfully tagged by-api:1" in answer
    found = inspect(corten)
    assert (found["Name"], found["Status"], found["Images"]) == (
        "by-api:1 (base)",
        "completed",
        ["by-api:1"],
    )
    corten("engine", "stop")
    corten("engine", "start")
    assert inspect(corten) == found
    assert " told-by-the-step\n" in history(corten, "logs")
    assert [path.name for path in corten.paths.build_history.iterdir()] == [f"{found['Ref']}.json"]
