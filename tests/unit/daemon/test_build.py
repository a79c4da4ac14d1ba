"""/build and /corten/build: what the engine is asked for, and the lines that clients read."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from corten.api.build import (
    BuildFailure,
    BuildPlanned,
    BuildPruned,
    BuildRequest,
    BuildResult,
    ContextRemote,
    ContextUpload,
    PlannedStep,
    SourceLine,
)
from corten.build.progress import VertexFinished, VertexLog, VertexStarted
from tests.unit.daemon.conftest import Served

ID = "sha256:" + "ab" * 32


def steps(*texts: str) -> BuildPlanned:
    words = ("FROM", "RUN", "COPY", "WORKDIR", "ADD")
    return BuildPlanned(
        [
            PlannedStep(text, (number, number), text.split()[0] in words)
            for number, text in enumerate(texts, 1)
        ],
        len(texts),
    )


def begun(line: int) -> VertexStarted:
    return VertexStarted(f"v{line}", f"[{line}/3] x", 0, "", (line, line))


def done(line: int, **more: Any) -> VertexFinished:
    return VertexFinished(f"v{line}", 1, **more)


def log(line: int, text: str) -> VertexLog:
    return VertexLog(f"v{line}", 1, text.encode(), 0)


def text_of(lines: list[dict[str, Any]]) -> str:
    return "".join(line.get("stream", "") for line in lines)


def classic(served: Served, query: str = "", *lines: Any) -> list[dict[str, Any]]:
    served.engine.builds.lines = list(lines)
    answer = served.request("POST", f"/v1.40/build{query}", b"a tar")
    assert answer.status == 200, answer.body
    return [json.loads(line) for line in answer.body.splitlines()]


def test_every_parameter_reaches_the_engine(served: Served) -> None:
    query = [
        ("t", "a:1"),
        ("t", "b"),
        ("dockerfile", "/d/Dockerfile"),
        ("buildargs", '{"A":"1","B":null}'),
        ("labels", '{"l":"x"}'),
        ("cachefrom", '["c:1"]'),
        ("extrahosts", "db:10.0.0.1"),
        ("nocache", "1"),
        ("pull", "1"),
        ("memory", "1000"),
        ("memswap", "-1"),
        ("cpushares", "5"),
        ("cpusetcpus", "0"),
        ("cpuperiod", "6"),
        ("cpuquota", "7"),
        ("shmsize", "8"),
        ("cgroupparent", "/g"),
        ("ulimits", '[{"Name":"nofile","Hard":2,"Soft":1}]'),
        ("networkmode", "none"),
        ("target", "t"),
        ("platform", "linux/arm64"),
        ("buildid", "me"),
    ]
    served.engine.builds.lines = [BuildResult(image_id=ID)]
    headers = {"X-Registry-Config": "e30="}
    answer = served.request("POST", f"/v1.41/build?{urlencode(query)}", b"a tar", headers)
    assert answer.status == 200
    request = served.engine.builds.request
    assert request is not None
    assert served.engine.builds.upload == b"a tar" and request.context == ContextUpload(is_directory=True)
    assert (request.id, request.tags, request.dockerfile) == ("me", ["a:1", "b"], "d/Dockerfile")
    assert request.build_args == {"A": "1"} and request.labels == {"l": "x"}
    assert (request.cache_from[0].type, request.cache_from[0].attributes["ref"]) == ("image", "c:1")
    assert request.cache_to[0].type == "inline"
    assert [(host.name, host.address) for host in request.hosts] == [("db", "10.0.0.1")]
    assert request.no_cache and request.pull
    limits = request.limits
    assert (limits.memory, limits.memory_swap, limits.cpu_shares, limits.cpuset_cpus) == (1000, -1, 5, "0")
    assert (limits.cpu_period, limits.cpu_quota, limits.shm_size, limits.cgroup_parent) == (6, 7, 8, "/g")
    assert (limits.ulimits[0].soft, limits.ulimits[0].hard) == (1, 2)
    assert (request.network, request.target, request.platforms) == ("none", "t", ["linux/arm64"])
    assert request.registry_auth == "e30="


def test_a_remote_context(served: Served) -> None:
    classic(served, "?remote=https%3A%2F%2Fexample.org%2Fa.git%23v1", BuildResult(image_id=ID))
    request = served.engine.builds.request
    assert request is not None and request.context == ContextRemote("https://example.org/a.git#v1")
    assert served.engine.builds.upload == b""


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        ("?version=2", 501, "DOCKER_BUILDKIT=0"),
        ("?remote=client-session", 501, "DOCKER_BUILDKIT=0"),
        ("?squash=1", 501, "squash is not offered"),
        ("?networkmode=mynet", 501, "default, none or host"),
        ("?buildargs=%7B", 400, 'invalid value for "buildargs"'),
        ("?ulimits=%5B1%5D", 400, 'invalid value for "ulimits"'),
        ("?extrahosts=x", 400, "bad format for add-host"),
        ("?extrahosts=%5B1", 400, 'invalid value for "extrahosts"'),
    ],
)
def test_what_is_wrong_has_a_status(served: Served, query: str, status: int, message: str) -> None:
    answer = served.request("POST", f"/build{query}", b"")
    assert answer.status == status and message in json.loads(answer.body)["message"]


def test_the_classic_builders_lines(served: Served) -> None:
    lines = classic(
        served,
        "?t=app",
        steps("FROM busybox", "RUN echo hi", 'CMD ["sh"]'),
        begun(1),
        done(1),
        begun(2),
        log(2, "hi\n"),
        done(2),
        BuildResult(image_id=ID, names=["app:latest"]),
    )
    shown = text_of(lines)
    identities = [
        line.split()[1] for line in shown.splitlines() if line.startswith(" ---> ") and "g" not in line
    ]
    assert len(identities) == 3 and identities[2] == "ab" * 6
    running = [line.rpartition(" ")[2] for line in shown.splitlines() if "Running in" in line]
    assert shown.splitlines() == [
        "Step 1/3 : FROM busybox",
        f" ---> {identities[0]}",
        "Step 2/3 : RUN echo hi",
        f" ---> Running in {running[0]}",
        "hi",
        f"Removing intermediate container {running[0]}",
        f" ---> {identities[1]}",
        'Step 3/3 : CMD ["sh"]',
        f" ---> Running in {running[1]}",
        f"Removing intermediate container {running[1]}",
        " ---> abababababab",
        "Successfully built abababababab",
        "Successfully tagged app:latest",
    ]
    assert [line["aux"] for line in lines if "aux" in line] == [{"ID": ID}]


def test_cached_steps_and_steps_that_nobody_needed(served: Served) -> None:
    lines = classic(
        served,
        "",
        steps("FROM busybox", "COPY . .", "RUN make"),
        begun(3),
        done(3, cached=True),
        BuildResult(image_id=ID),
    )
    shown = text_of(lines)
    assert shown.count(" ---> Using cache\n") == 2
    assert "Running in" not in shown and "Removing" not in shown


def test_arguments_in_front_of_the_first_stage(served: Served) -> None:
    lines = classic(served, "", steps("ARG A=1", "FROM busybox"), begun(2), done(2), BuildResult(image_id=ID))
    assert text_of(lines).splitlines()[:3] == [
        "Step 1/2 : ARG A=1",
        "Step 2/2 : FROM busybox",
        " ---> abababababab",
    ]


def test_steps_that_run_together_are_told_in_order(served: Served) -> None:
    lines = classic(
        served,
        "",
        steps("FROM busybox", "RUN one", "RUN two"),
        begun(1),
        done(1),
        begun(2),
        begun(3),
        log(3, "two\n"),
        log(2, "one\n"),
        done(3),
        done(2),
        BuildResult(image_id=ID),
    )
    shown = text_of(lines)
    assert shown.index("RUN one") < shown.index("\none") < shown.index("RUN two") < shown.index("\ntwo")


def test_a_step_that_fails(served: Served) -> None:
    sentence = "The command '/bin/sh -c false' returned a non-zero code: 3"
    lines = classic(
        served,
        "",
        steps("FROM busybox", "RUN false", "RUN never"),
        begun(1),
        done(1),
        begun(2),
        log(2, "last words\n"),
        done(2, error="x"),
        BuildFailure(message=sentence, step="[2/3] RUN false", exit_code=3),
    )
    assert "Step 2/3 : RUN false\n" in text_of(lines) and "last words\n" in text_of(lines)
    assert "never" not in text_of(lines) and "Successfully" not in text_of(lines)
    assert lines[-1] == {"errorDetail": {"message": sentence, "code": 3}, "error": sentence}


def test_a_bad_dockerfile_has_a_status(served: Served) -> None:
    served.engine.builds.lines = [
        BuildFailure(
            message="Dockerfile, line 1: unknown",
            error="InvalidArgument",
            source=[SourceLine(1, "FOO", True)],
        )
    ]
    answer = served.request("POST", "/build", b"")
    assert answer.status == 400 and json.loads(answer.body) == {"message": "Dockerfile, line 1: unknown"}


def test_quiet(served: Served) -> None:
    lines = classic(served, "?q=1", steps("FROM busybox"), begun(1), done(1), BuildResult(image_id=ID))
    assert lines == [{"stream": f"{ID}\n"}]
    lines = classic(
        served,
        "?q=1",
        steps("RUN false"),
        begun(1),
        done(1, error="x"),
        BuildFailure(message="no", step="RUN"),
    )
    assert text_of(lines).startswith("Step 1/1 : RUN false\n") and lines[-1]["error"] == "no"


def test_cancel_and_prune(served: Served) -> None:
    assert served.request("POST", "/build/cancel?id=me").status == 204
    assert served.request("POST", "/build/cancel").status == 400
    served.engine.builds.answers["prune"] = BuildPruned(caches_deleted=["a"], space_reclaimed=5)
    answer = served.request("POST", '/build/prune?all=1&keep-storage=7&filters={"until":["24h"]}')
    assert json.loads(answer.body) == {"CachesDeleted": ["a"], "SpaceReclaimed": 5}
    calls = {name: (args, kwargs) for name, args, kwargs in served.engine.builds.calls}
    assert calls["cancel"] == (("me",), {})
    assert calls["prune"][1] == {
        "all": True,
        "filters": {"until": ["24h"]},
        "reserved_space": 7,
        "max_used_space": 0,
        "min_free_space": 0,
    }


def test_cortens_own_request_and_stream(served: Served) -> None:
    served.engine.builds.lines = [begun(1), log(1, "hi"), done(1), BuildResult(image_id=ID)]
    request = {"id": "x", "context": {"type": "upload"}, "secrets": [{"id": "s", "data": "aGVsbG8="}]}
    body = json.dumps(request).encode() + b"\n" + bytes(3_000_000)
    answer = served.request("POST", "/corten/build", body)
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    asked = served.engine.builds.request
    assert isinstance(asked, BuildRequest) and asked.secrets[0].data == b"hello"
    assert served.engine.builds.upload == bytes(3_000_000)
    lines = [json.loads(line) for line in answer.body.splitlines()]
    assert [line["type"] for line in lines] == ["started", "log", "finished", "result"]
    assert lines[1]["data"] == "aGk=" and lines[3]["image_id"] == ID


def test_a_bad_request(served: Served) -> None:
    answer = served.request("POST", "/corten/build", b'{"jobs": "x"}\n')
    assert answer.status == 400 and "jobs" in json.loads(answer.body)["message"]
    answer = served.request("POST", "/corten/build", b"x" * (33 << 20))
    assert answer.status == 400


def test_the_answer_to_a_question_for_credentials(served: Served) -> None:
    headers = {"X-Registry-Auth": "abc"}
    assert served.request("POST", "/corten/build/me/credential?domain=docker.io", b"", headers).status == 204
    assert served.engine.builds.build.calls == [("answer_credential", ("docker.io", "abc"), {})]


def test_buildkits_protocol_is_refused_with_advice(served: Served) -> None:
    for path in ("/session", "/grpc"):
        answer = served.request("POST", path)
        assert answer.status == 501 and "DOCKER_BUILDKIT=0" in json.loads(answer.body)["message"]
