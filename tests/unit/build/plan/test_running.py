"""RUN: the process, its here-documents, its mounts."""

from __future__ import annotations

from typing import Any

import pytest

from corten.build.graph import (
    BindMount,
    CacheMount,
    Exec,
    Limits,
    LocalSource,
    SecretMount,
    SshMount,
    TmpfsMount,
)
from corten.build.parser.source_error import DockerfileError
from tests.unit.build.plan.planning import history, names, plan, plan_one, processes, vertices


async def one_process(text: str, **options: Any) -> Exec:
    return processes(await plan_one(text, **options))[-1]


async def test_shell_and_exec_form() -> None:
    image = await plan_one('FROM base\nRUN a  "b"\nRUN ["c", "d e"]\nSHELL ["/bin/x", "-o"]\nRUN f\n')
    assert [process.args for process in processes(image)] == [
        ("/bin/sh", "-c", 'a  "b"'),
        ("c", "d e"),
        ("/bin/x", "-o", "f"),
    ]
    assert history(image) == [
        'RUN /bin/sh -c a  "b" # buildkit',
        "RUN c d e # buildkit",
        "SHELL [/bin/x -o]",
        "RUN /bin/x -o f # buildkit",
    ]


async def test_a_heredoc_is_the_script() -> None:
    process = await one_process("FROM base\nRUN <<-EOF\n\techo a\n\techo b\nEOF\n")
    assert process.args == ("/bin/sh", "-c", "echo a\necho b\n")
    assert process.here_documents == ()


async def test_a_heredoc_with_an_interpreter_is_a_program() -> None:
    image = await plan_one("FROM base\nRUN <<prog\n#!/usr/bin/python3\nprint($x)\nprog\n")
    (process,) = processes(image)
    assert process.args == ("/bin/sh", "-c", "/dev/pipes/prog")
    assert process.here_documents == (("prog", b"#!/usr/bin/python3\nprint($x)\n", 0o755),)
    assert names(image)[-1] == "[2/2] RUN <<prog (#!/usr/bin/python3...)"


async def test_a_program_stays_in_its_directory() -> None:
    process = await one_process("FROM base\nRUN <<../../etc/x\n#!/bin/sh\n../../etc/x\n")
    assert process.here_documents == (("x", b"#!/bin/sh\n", 0o755),)
    assert process.args[-1] == "/dev/pipes/x"


async def test_several_heredocs_are_for_the_shell() -> None:
    process = await one_process("FROM base\nRUN cat <<a 3<<b >x\n1\na\n2\nb\n")
    assert process.args == ("/bin/sh", "-c", "cat <<a 3<<b >x\n1\na\n2\nb")


async def test_a_command_that_is_none() -> None:
    with pytest.raises(DockerfileError, match="arguments are required") as raised:
        await plan("FROM base\nRUN []\n")
    assert raised.value.line == 2


async def test_what_the_request_says_of_all_processes() -> None:
    limits = Limits(memory=5, shm_size=7)
    process = await one_process(
        "FROM base\nRUN x\n",
        limits=limits,
        hosts=(("db", "10.0.0.1"),),
        network="none",
        devices=(("v.com/d=a", True),),
        build_args={"BUILDKIT_SANDBOX_HOSTNAME": "builder", "https_proxy": "http://p:1", "NO_PROXY": "x"},
    )
    assert process.limits == limits
    assert process.extra_hosts == (("db", "10.0.0.1"),)
    assert (process.network, process.hostname) == ("none", "builder")
    assert process.devices == (("v.com/d=a", True),)
    assert process.proxy == (
        ("HTTPS_PROXY", "http://p:1"),
        ("https_proxy", "http://p:1"),
        ("NO_PROXY", "x"),
        ("no_proxy", "x"),
    )
    assert not any("proxy" in entry.lower() for entry in process.environment)


async def test_flags() -> None:
    process = await one_process(
        "FROM base\nRUN --network=host --security=insecure --device=v.com/d=a,required --device=b.c/d x\n",
        network="none",
    )
    assert (process.network, process.security) == ("host", "insecure")
    assert process.devices == (("v.com/d=a", True), ("b.c/d", False))
    assert (await one_process("FROM base\nRUN --network=default x\n", network="none")).network == "none"


async def test_a_proxy_that_is_declared_is_like_any_other_argument() -> None:
    image = await plan_one("FROM base\nARG HTTP_PROXY\nRUN x\n", build_args={"HTTP_PROXY": "p"})
    assert "HTTP_PROXY=p" in processes(image)[0].environment
    assert history(image)[-1] == "RUN |1 HTTP_PROXY=p /bin/sh -c x # buildkit"


async def test_arguments_in_the_history() -> None:
    image = await plan_one(
        "FROM base\nARG b\nARG a=1 c\nENV a=2\nRUN x\nARG b=3\nRUN y\n", build_args={"c": "4"}
    )
    assert history(image)[3] == "RUN |3 b= a=2 c=4 /bin/sh -c x # buildkit"
    assert history(image)[5] == "RUN |3 b=3 a=2 c=4 /bin/sh -c y # buildkit"


async def mounts_of(flags: str, before: str = "", **options: Any) -> Any:
    process = await one_process(
        f"FROM base AS b\nFROM base\nWORKDIR /w\n{before}\nRUN {flags} x\n", **options
    )
    return process.mounts[0] if len(process.mounts) == 1 else process.mounts


async def test_bind() -> None:
    assert await mounts_of("--mount=target=/t") == BindMount(1, "/", "/t")
    assert await mounts_of("--mount=type=bind,source=a/../b,dst=t,rw") == BindMount(
        1, "/b", "/w/t", readonly=False
    )
    assert await mounts_of("--mount=from=b,src=/x,target=$d", "ENV d=/y") == BindMount(1, "/x", "/y")


async def test_a_bind_mount_shows_the_context_or_a_stage() -> None:
    image = await plan_one(
        "FROM base AS b\nRUN y\nFROM scratch\n"
        "RUN --mount=target=/t --mount=from=b,target=/u --mount=target=/v x\n"
    )
    run = vertices(image)[-1]
    assert isinstance(run.operation, Exec)
    assert [mount.input for mount in run.operation.mounts if isinstance(mount, BindMount)] == [1, 2, 1]
    root, context, stage = run.inputs
    assert root is None
    assert context is not None and isinstance(context.operation, LocalSource)
    assert stage is not None and stage.name == "[b 2/2] RUN y"


async def test_cache() -> None:
    assert await mounts_of("--mount=type=cache,target=/c//d/") == CacheMount("//c/d", "/c/d", selector="/")
    assert await mounts_of("--mount=type=cache,target=c,id=i,sharing=locked,ro") == CacheMount(
        "/i", "/w/c", "locked", readonly=True, selector="/"
    )
    assert await mounts_of("--mount=type=cache,target=/c,mode=0700,uid=5,gid=$g", "ARG g=6") == CacheMount(
        "//c", "/c", selector="/", mode=0o700, uid=5, gid=6
    )
    assert await mounts_of("--mount=type=cache,from=b,source=s,target=/c,id=i") == CacheMount(
        "/i", "/c", input=1, selector="/s"
    )


async def test_cache_namespace() -> None:
    mount = await mounts_of("--mount=type=cache,target=/c", build_args={"BUILDKIT_CACHE_MOUNT_NS": "team"})
    assert mount.id == "team//c"


async def test_tmpfs() -> None:
    assert await mounts_of("--mount=type=tmpfs,target=t,size=64m") == TmpfsMount("/w/t", 64 << 20)


async def test_secret() -> None:
    assert await mounts_of("--mount=type=secret,id=s") == SecretMount("s", "/run/secrets/s")
    assert await mounts_of("--mount=type=secret,target=/a/b") == SecretMount("b", "/a/b")
    assert await mounts_of(
        "--mount=type=secret,source=s,target=t,required,mode=0440,uid=1,gid=2"
    ) == SecretMount("s", "/w/t", required=True, mode=0o440, uid=1, gid=2)
    assert await mounts_of("--mount=type=secret,id=s,env=TOKEN") == SecretMount("s", environment="TOKEN")
    assert await mounts_of("--mount=type=secret,id=s,env=TOKEN,target=/t") == SecretMount("s", "/t", "TOKEN")


async def test_a_secret_variable_is_masked_in_the_name() -> None:
    image = await plan_one(
        "FROM base\nENV TOKEN=public a=1\nRUN --mount=type=secret,id=s,env=TOKEN x $TOKEN $a $b\n"
    )
    assert names(image)[-1] == "[stage-0 2/2] RUN --mount=type=secret,id=s,env=TOKEN x **** 1 $b"


async def test_agent() -> None:
    process = await one_process(
        "FROM base\nRUN --mount=type=ssh --mount=type=ssh,id=b,required,target=/s x\n"
    )
    assert process.mounts == (
        SshMount("default", "/run/buildkit/ssh_agent.0"),
        SshMount("b", "/s", required=True),
    )
    assert process.environment[-1] == "SSH_AUTH_SOCK=/run/buildkit/ssh_agent.0"


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ("--mount=target=/", 'invalid mount target "/"'),
        ("--mount=type=cache,target=..", 'invalid mount target ".."'),
        ("--mount=type=ssh,source=a", "ssh does not support source"),
        ("--mount=type=secret,env=A", "one of source, target required"),
        ("--mount=type=cashe,target=/c", r"did you mean cache\?"),
    ],
)
async def test_mounts_that_are_refused(flags: str, reason: str) -> None:
    with pytest.raises(DockerfileError, match=reason) as raised:
        await plan(f"FROM base\nWORKDIR /w\nRUN {flags} x\n")
    assert (raised.value.line, raised.value.column) == (3, 13)


async def test_mount_of_a_stage_that_comes_later() -> None:
    with pytest.raises(DockerfileError, match="stage needs to be defined before current command"):
        await plan("FROM base\nRUN --mount=from=late,target=/l x\nFROM base AS late\n", target="0")


async def test_lines_are_those_of_the_instruction() -> None:
    image = await plan_one("FROM base\nRUN a \\\n  b\nRUN <<E\nc\nE\n")
    assert [vertex.lines for vertex in vertices(image)] == [(1, 1), (2, 3), (4, 6)]
