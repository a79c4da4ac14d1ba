"""From a build request to the plan's options, and from failures to what the client is shown."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from corten.api.build import BuildLimits, BuildRequest, HostEntry, NamedContext
from corten.build.graph import Exec, Vertex
from corten.build.parser.source_error import DockerfileError
from corten.build.plan.model import ImageContext, LayoutContext, LocalContext, RemoteContext, TargetContext
from corten.build.progress import VertexFinished, VertexLog, VertexStarted
from corten.build.solve.failure import BuildFailed, ProcessFailed
from corten.engine.build_definition import Definition
from corten.engine.build_events import BuildEvents
from corten.engine.build_failure import describe_failure
from corten.engine.build_options import entitlements, plan_options
from corten.engine.build_spec import check_allowed
from corten.errors import CortenError, Denied, InvalidArgument, NoSpace, NotFound, Unsupported
from corten.oci.platform import Platform


def options(request: BuildRequest) -> object:
    return plan_options(request, ignore=("x",), rewrite_timestamps=True)[0]


def test_the_plans_options(tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    layout.mkdir()
    (layout / "oci-layout").write_text("{}")
    (tmp_path / ".dockerignore").write_text("big\n")
    digest = "sha256:" + "a" * 64
    request = BuildRequest(
        target="t",
        platforms=["linux/arm64", "amd64"],
        build_args={"A": "1"},
        hosts=[HostEntry("db", "10.0.0.1")],
        limits=BuildLimits(memory=5, shm_size=6),
        network="none",
        source_epoch=7,
        named_contexts=[
            NamedContext("Dir", str(tmp_path)),
            NamedContext("image", "docker-image://debian:12"),
            NamedContext("one", f"oci-layout://{layout}"),
            NamedContext("two", f"oci-layout://{layout}:v1"),
            NamedContext("three", f"oci-layout://{layout}@{digest}"),
            NamedContext("alias", "target:base"),
            NamedContext("git", "https://example.org/a.git#main"),
        ],
    )
    made, places = plan_options(request, ignore=("x",), rewrite_timestamps=False)
    assert made.platforms == (Platform("arm64", "linux", "v8"), Platform("amd64", "linux"))
    assert made.hosts == (("db", "10.0.0.1"),) and made.epoch == 7 and not made.rewrite_timestamps
    assert made.limits.memory == 5 and made.limits.shm_size == 6 and made.network == "none"
    assert made.contexts == {
        "dir": LocalContext(("big",)),
        "image": ImageContext("debian:12"),
        "one": LayoutContext(""),
        "two": LayoutContext("v1"),
        "three": LayoutContext(digest),
        "alias": TargetContext("base"),
        "git": RemoteContext("https://example.org/a.git#main"),
    }
    assert places.directories == {"dir": tmp_path}
    assert places.layouts == {"one": layout, "two": layout, "three": layout}


@pytest.mark.parametrize(
    ("request_", "error", "message"),
    [
        (BuildRequest(network="mynet"), InvalidArgument, "invalid network 'mynet'"),
        (BuildRequest(allow=["everything"]), InvalidArgument, "unknown entitlement 'everything'"),
        (BuildRequest(allow=["network.host=x"]), InvalidArgument, "unknown entitlement 'network.host=x'"),
        (BuildRequest(isolation="hyperv"), InvalidArgument, "only default"),
        (BuildRequest(security=["seccomp=unconfined"]), Unsupported, "RUN --security=insecure"),
        (BuildRequest(limits=BuildLimits(memory=-1)), InvalidArgument, "invalid memory"),
        (BuildRequest(platforms=["x/y/z/w"]), InvalidArgument, "invalid platform"),
        (BuildRequest(named_contexts=[NamedContext("a", "/nowhere")]), NotFound, "not a directory"),
        (
            BuildRequest(named_contexts=[NamedContext("a", "oci-layout:///nowhere")]),
            NotFound,
            "not an OCI image layout",
        ),
    ],
)
def test_mistakes(request_: BuildRequest, error: type[CortenError], message: str) -> None:
    with pytest.raises(error, match=message):
        options(request_)


def test_what_is_allowed() -> None:
    assert entitlements(BuildRequest(allow=["device=x"], network="host")) == {"device=x", "network.host"}


def test_a_grant_for_one_device_is_none_for_another() -> None:
    run = Exec(("true",), (), "/", devices=(("example.com/gpu=0", True), ("example.com/gpu=1", False)))
    check_allowed(run, frozenset({"device"}))
    check_allowed(run, frozenset({"device=example.com/gpu=0", "device=example.com/gpu=1"}))
    with pytest.raises(Denied, match=r"give it --allow device=example\.com/gpu=1"):
        check_allowed(run, frozenset({"device=example.com/gpu=0"}))


DEFINITION = Definition("Containerfile", b"FROM a\nRUN \\\n  false\n\nCMD b\n", ())


def test_an_error_in_the_dockerfile() -> None:
    error = DockerfileError("unknown instruction", 2, 3, end_line=3, caret_line=3, length=5)
    failure = describe_failure(error, DEFINITION, BuildEvents())
    assert failure.message == "Containerfile, line 2: unknown instruction"
    assert (failure.file, failure.column, failure.caret_line, failure.width) == ("Containerfile", 3, 3, 5)
    assert [(line.number, line.text, line.marked) for line in failure.source] == [
        (1, "FROM a", False),
        (2, "RUN \\", True),
        (3, "  false", True),
        (4, "", False),
        (5, "CMD b", False),
    ]
    assert failure.error == "InvalidArgument"


async def _process_failed(classic: bool) -> object:
    events = BuildEvents()
    vertex = Vertex(Exec(("/bin/sh", "-c", "false"), (), "/"), name="[2/2] RUN false", lines=(2, 3))
    events.report(VertexStarted("v", vertex.name, 0))
    events.report(VertexLog("v", 1, b"one\r\n10%\r20%\n", 1_500_000_000))
    events.report(VertexLog("v", 2, b"two\nthree", 2_000_000_000))
    events.report(VertexFinished("v", 1, error="x"))
    error = BuildFailed(vertex, ProcessFailed("process failed: exit code: 3", exit_code=3))
    return describe_failure(error, DEFINITION, events, classic=classic)


def test_a_process_that_failed() -> None:
    failure = asyncio.run(_process_failed(False))
    assert failure.message == "process failed: exit code: 3" and failure.exit_code == 1  # type: ignore[attr-defined]
    assert failure.step == "[2/2] RUN false"  # type: ignore[attr-defined]
    assert failure.log[:3] == ["1.500 one", "1.500 20%", "2.000 two"]  # type: ignore[attr-defined]
    assert failure.log[3].endswith(" three")  # type: ignore[attr-defined]
    classic = asyncio.run(_process_failed(True))
    sentence = "The command '/bin/sh -c false' returned a non-zero code: 3"
    assert classic.message == sentence and classic.exit_code == 3  # type: ignore[attr-defined]


def test_other_errors_have_a_sentence_only() -> None:
    failure = describe_failure(NoSpace("the disk is full"), None, BuildEvents())
    assert (failure.message, failure.error, failure.source) == ("the disk is full", "NoSpace", [])


def test_steps_outside_of_the_graph() -> None:
    async def run() -> list[object]:
        events = BuildEvents()
        with events.step("[internal] a") as status:
            status("part", 1, 2, False)
        with pytest.raises(NotFound), events.step("[internal] b"):
            raise NotFound("no")
        with pytest.raises(asyncio.CancelledError), events.step("[internal] c"):
            raise asyncio.CancelledError
        events.end()
        return [event async for event in events]

    told = asyncio.run(run())
    ends = [event for event in told if isinstance(event, VertexFinished)]
    assert [event.error for event in ends] == ["", "no", "canceled"]
    assert len({event.vertex for event in ends}) == 3
