"""Which words are expanded, and mounts."""

from __future__ import annotations

import pytest

from corten.build.instructions.expansion import expand
from corten.build.instructions.parse import parse_instruction
from corten.build.instructions.types import (
    Add,
    Arg,
    Copy,
    Env,
    Instruction,
    Label,
    Mount,
    Run,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from corten.build.parser.parse import parse
from corten.build.parser.source_error import DockerfileError
from corten.build.parser.words import WordLexer

_VARIABLES = {"v": "x"}


def expanded(text: str) -> Instruction:
    (node,) = parse(text.encode()).nodes
    word, raw = WordLexer(), WordLexer(quoting=False)
    return expand(
        parse_instruction(node),
        lambda text: word.expand(text, _VARIABLES).text,
        lambda text: raw.expand(text, _VARIABLES).text,
    )


def test_words() -> None:
    env = expanded("ENV $v='$v' b=$v")
    assert isinstance(env, Env)
    assert [(pair.key, pair.value) for pair in env.variables] == [("x", "$v"), ("b", "x")]
    label = expanded("LABEL $v $v")
    assert isinstance(label, Label)
    assert (label.labels[0].key, label.labels[0].value, label.labels[0].legacy) == ("x", "x", True)
    arg = expanded("ARG $v=$v b")
    assert isinstance(arg, Arg)
    assert [(d.name, d.value) for d in arg.definitions] == [("x", "x"), ("b", None)]
    volume = expanded('VOLUME ["/$v", "b"]')
    assert isinstance(volume, Volume)
    assert volume.paths == ("/x", "b")
    for text in ("USER $v", "WORKDIR $v", "STOPSIGNAL $v"):
        single = expanded(text)
        assert isinstance(single, User | Workdir | StopSignal)
        assert "x" in (
            getattr(single, field) for field in ("user", "path", "signal") if hasattr(single, field)
        )


def test_files() -> None:
    copy = expanded("COPY --from=$v --chown=$v --chmod=$v --exclude=$v a$v <<b <<'c' $v\n\"$v\"\nb\n$v\nc")
    assert isinstance(copy, Copy)
    assert (copy.from_stage, copy.exclude) == ("$v", ("$v",))
    assert (copy.chown, copy.chmod, copy.sources, copy.destination) == ("x", "x", ("ax",), "x")
    assert [file.data for file in copy.files] == ['"x"\n', "$v\n"]
    add = expanded("ADD --checksum=$v --chown=$v --chmod=$v $v $v")
    assert isinstance(add, Add)
    assert {add.checksum, add.chown, add.chmod, *add.sources, add.destination} == {"x"}


@pytest.mark.parametrize(
    "text", ["CMD $v", "RUN $v", "EXPOSE $v", "ONBUILD RUN $v", "MAINTAINER $v", "FROM $v"]
)
def test_what_is_left_alone(text: str) -> None:
    (node,) = parse(text.encode()).nodes
    assert expanded(text) == parse_instruction(node)


def mount(text: str) -> Mount:
    run = expanded(f"RUN --mount={text} true")
    assert isinstance(run, Run)
    return run.mounts[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("target=/$v", Mount(text="target=/$v", target="/x")),
        (
            "type=bind,from=a,source=/b,dst=/c,rw",
            Mount(
                text="type=bind,from=a,source=/b,dst=/c,rw",
                from_stage="a",
                source="/b",
                target="/c",
                readonly=False,
            ),
        ),
        (
            "TYPE=Cache,id=$v,destination=/c,sharing=Locked,mode=0700,uid=1,gid=2",
            Mount(
                text="TYPE=Cache,id=$v,destination=/c,sharing=Locked,mode=0700,uid=1,gid=2",
                type="cache",
                readonly=False,
                id="x",
                target="/c",
                sharing="locked",
                mode=0o700,
                uid=1,
                gid=2,
            ),
        ),
        (
            "type=tmpfs,target=/c,size=1.5k",
            Mount(
                text="type=tmpfs,target=/c,size=1.5k", type="tmpfs", target="/c", size=1536, readonly=False
            ),
        ),
        (
            "type=secret,id=a,required,env=A",
            Mount(text="type=secret,id=a,required,env=A", type="secret", id="a", required=True, env="A"),
        ),
        ("type=ssh,required=false", Mount(text="type=ssh,required=false", type="ssh")),
        ("type=cache,target=/c,ro=1", Mount(text="type=cache,target=/c,ro=1", type="cache", target="/c")),
        ("target=/c,readonly,rw=0", Mount(text="target=/c,readonly,rw=0", target="/c")),
    ],
)
def test_mounts(text: str, expected: Mount) -> None:
    assert mount(text) == expected


def test_a_quoted_field() -> None:
    (node,) = parse(b'RUN --mount=\'target=/a,"source=b,""c"\' true').nodes
    run = parse_instruction(node)
    assert isinstance(run, Run)
    (made,) = expand(run, str, str).mounts
    assert (made.target, made.source) == ("/a", 'b,"c')


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("typ=bind", "unexpected key 'typ' in 'typ=bind' (did you mean type?)"),
        ("type=volume", 'unsupported mount type "volume"'),
        ("type=secrets", "(did you mean secret?)"),
        ("z", "invalid field 'z' must be a key=value pair"),
        ("target=/a,required", "unexpected key 'required' for mount type 'bind'"),
        ("required=true,type=ssh", "unexpected key 'required' for mount type 'bind'"),
        ("type=cache,size=1m", "unexpected key 'size' for mount type 'cache'"),
        ("type=tmpfs,size=x", "invalid value for size: x"),
        ("ro=maybe", "invalid value for ro: maybe"),
        ("type=cache,sharing=all", 'unsupported sharing value "all"'),
        ("type=cache,mode=8", "invalid value 8 for mode"),
        ("type=cache,uid=-1", "invalid value -1 for uid"),
        ("mode=700", 'mode not allowed for "bind" type mounts'),
        ("type=tmpfs,gid=1", 'gid not allowed for "tmpfs" type mounts'),
        ("sharing=shared", "invalid cache sharing set for bind mount"),
        ("type=secret", "invalid secret mount"),
        ("type=secret,id=a,src=b", "both source and id can't be set"),
        ("type=secret,id=a,from=b", "should not have a from"),
        ("type=secret,id=a,sharing=shared", "should not define sharing"),
        ("target=${v:?", "missing '}'"),
    ],
)
def test_mounts_that_are_wrong(text: str, reason: str) -> None:
    with pytest.raises(DockerfileError) as raised:
        mount(text)
    assert reason in raised.value.reason
    assert raised.value.column == len("RUN --mount=") + 1


def test_a_word_that_cannot_be_expanded() -> None:
    with pytest.raises(DockerfileError, match="unexpected end of statement") as raised:
        expanded("ENV a='b")
    assert raised.value.line == 1
