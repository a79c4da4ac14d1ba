"""Instructions with all their flags, stages, and errors."""

from __future__ import annotations

import msgspec
import pytest

from corten.build.instructions.parse import parse_dockerfile, parse_instruction
from corten.build.instructions.types import (
    Add,
    Arg,
    Cmd,
    CommandLine,
    Copy,
    Definition,
    Device,
    Entrypoint,
    Env,
    Expose,
    From,
    Healthcheck,
    InlineFile,
    Instruction,
    KeyValue,
    Label,
    Maintainer,
    Onbuild,
    Run,
    Shell,
    ShellFile,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from corten.build.parser.parse import parse
from corten.build.parser.source_error import DockerfileError
from corten.build.parser.syntax_tree import Node

_NODE = Node(keyword="", name="", original="", arguments=(), start_line=1, end_line=1)


def instruction(text: str) -> Instruction:
    (node,) = parse(text.encode()).nodes
    return parse_instruction(node)


_FORMS: list[tuple[str, Instruction]] = [
    (
        "ENV a=1 'b c'=\"2\" d=",
        Env(node=_NODE, variables=(KeyValue("a", "1"), KeyValue("'b c'", '"2"'), KeyValue("d", ""))),
    ),
    ("env a 1  2", Env(node=_NODE, variables=(KeyValue("a", "1  2", legacy=True),))),
    ("LABEL a=$b", Label(node=_NODE, labels=(KeyValue("a", "$b"),))),
    ("MAINTAINER A <a@example.org>", Maintainer(node=_NODE, maintainer="A <a@example.org>")),
    ("COPY a b /c", Copy(node=_NODE, sources=("a", "b"), destination="/c")),
    ('COPY ["a b", "/c"]', Copy(node=_NODE, sources=("a b",), destination="/c")),
    (
        "COPY --from=x --chown=1:2 --chmod=u+x --link --parents=true --exclude=*.o --exclude=d/ a b",
        Copy(
            node=_NODE,
            sources=("a",),
            destination="b",
            from_stage="x",
            chown="1:2",
            chmod="u+x",
            link=True,
            parents=True,
            exclude=("*.o", "d/"),
        ),
    ),
    (
        "COPY <<a b <<-'c' /d\n$1\na\n\t$2\n\t\t3\nc",
        Copy(
            node=_NODE,
            sources=("b",),
            destination="/d",
            files=(InlineFile("a", "$1\n", True), InlineFile("c", "$2\n3\n", False)),
        ),
    ),
    ("ADD --link=false a b", Add(node=_NODE, sources=("a",), destination="b")),
    (
        "ADD --checksum=sha256:1 --unpack --keep-git-dir=FALSE --chmod=0644 https://x/y z",
        Add(
            node=_NODE,
            sources=("https://x/y",),
            destination="z",
            checksum="sha256:1",
            unpack=True,
            keep_git_dir=False,
            chmod="0644",
        ),
    ),
    ("RUN a  b", Run(node=_NODE, command=CommandLine(("a  b",), shell=True))),
    ("RUN", Run(node=_NODE, command=CommandLine((), shell=True))),
    ('RUN ["a", "b"]', Run(node=_NODE, command=CommandLine(("a", "b"), shell=False))),
    (
        "RUN --network=none --security=insecure --device=x.org/y=z --device=name=w,required a",
        Run(
            node=_NODE,
            command=CommandLine(("a",), shell=True),
            network="none",
            security="insecure",
            devices=(Device("x.org/y=z"), Device("w", required=True)),
        ),
    ),
    (
        "RUN <<-a sh\n\tone\na",
        Run(node=_NODE, command=CommandLine(("<<-a sh",), True, (ShellFile("a", "\tone\n", True),))),
    ),
    ("CMD a b", Cmd(node=_NODE, command=CommandLine(("a b",), shell=True))),
    ("CMD []", Cmd(node=_NODE, command=CommandLine((), shell=False))),
    ('ENTRYPOINT ["a"]', Entrypoint(node=_NODE, command=CommandLine(("a",), shell=False))),
    ("HEALTHCHECK none", Healthcheck(node=_NODE, test=("NONE",))),
    ('HEALTHCHECK CMD ["a", "b"]', Healthcheck(node=_NODE, test=("CMD", "a", "b"))),
    (
        "HEALTHCHECK --interval=1m30s --timeout=1.5s --start-period=0 --start-interval=2ms --retries=3 cmd a",
        Healthcheck(
            node=_NODE,
            test=("CMD-SHELL", "a"),
            interval=90_000_000_000,
            timeout=1_500_000_000,
            start_interval=2_000_000,
            retries=3,
        ),
    ),
    ("EXPOSE 90 80/TCP $a", Expose(node=_NODE, ports=("$a", "80/TCP", "90"))),
    ("USER a b", User(node=_NODE, user="a b")),
    ("VOLUME /a /b", Volume(node=_NODE, paths=("/a", "/b"))),
    ("WORKDIR /a b", Workdir(node=_NODE, path="/a b")),
    ("STOPSIGNAL $s", StopSignal(node=_NODE, signal="$s")),
    ("SHELL []\\\n", Shell(node=_NODE, shell=())),
    ('SHELL ["a", "-c"]', Shell(node=_NODE, shell=("a", "-c"))),
    (
        "# a says this\n# b\nARG a b=1=2 c=",
        Arg(
            node=_NODE,
            definitions=(Definition("a", None, "says this"), Definition("b", "1=2"), Definition("c", "")),
        ),
    ),
    ("ONBUILD  run a\\\n  b", Onbuild(node=_NODE, expression="run a  b")),
    ("onbuild COPY <<a /b\nc\na", Onbuild(node=_NODE, expression="COPY <<a /b\nc\na")),
    ("FROM --platform=$p a:b", From(node=_NODE, base="a:b", platform="$p")),
    (
        "# build makes it\nFROM a aS Build",
        From(
            node=_NODE,
            base="a",
            stage_name="build",
            written_name="Build",
            as_keyword="aS",
            comment="makes it",
        ),
    ),
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [form for form in _FORMS if form[0] != "SHELL []\\\n"],
    ids=lambda value: str(value)[:40],
)
def test_forms(text: str, expected: Instruction) -> None:
    made = instruction(text)
    assert msgspec.structs.replace(made, node=_NODE) == expected
    assert made.name == text.split("\n")[-1 if text.startswith("#") else 0].split()[0].lower()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("FORM a", "unknown instruction: FORM (did you mean FROM?)"),
        ("coyp a b", "unknown instruction: coyp (did you mean copy?)"),
        ("Ruun a", "unknown instruction: Ruun (did you mean run?)"),
        ("DESTROY a", "unknown instruction: DESTROY"),
        ("FROM", "FROM requires either one or three arguments"),
        ("FROM a b", "FROM requires either one or three arguments"),
        ("FROM a is b", "FROM requires either one or three arguments"),
        ("FROM a AS 1b", 'invalid name for build stage: "1b"'),
        ("FROM a AS b/c", 'invalid name for build stage: "b/c"'),
        ("FROM --plattform=x a", "unknown flag: --plattform (did you mean --platform?)"),
        ("ENV", "ENV requires at least one argument"),
        ("ENV =a", "ENV names can not be blank"),
        ("ENV --a b=c", "unknown flag: --a"),
        ("ARG", "ARG requires at least one argument"),
        ("ARG a =b", "ARG names can not be blank"),
        ("COPY a", "COPY requires at least two arguments"),
        ("COPY --link= a b", "missing a value on flag: --link"),
        ("COPY --link=maybe a b", "expecting boolean value for flag --link, not: maybe"),
        ("COPY --from a b", "missing a value on flag: --from"),
        ("COPY --from=a --from=b c d", "duplicate flag specified: --from"),
        ("COPY --unpack a b", "unknown flag: --unpack"),
        ("ADD --parents a b", "unknown flag: --parents"),
        ("COPY a <<b\nb", "COPY cannot accept a heredoc as a destination"),
        ("RUN --network=bridge a", 'invalid network mode "bridge"'),
        ("RUN --security=off a", 'security "off" is not valid'),
        ("RUN --mount=from=$a b", "'from' doesn't support variable expansion"),
        ('RUN --mount=a\\"b c', "failed to parse csv mounts"),
        ("RUN --mount= c", "failed to parse csv mounts"),
        ("RUN --device=a,b=c,d c", "unexpected key 'b' in 'b=c'"),
        ("RUN --device=a,b c", "invalid field 'b'"),
        ("RUN --device=a,required=x c", "invalid value for required: x"),
        ("HEALTHCHECK", "HEALTHCHECK requires at least one argument"),
        ("HEALTHCHECK NONE a", "HEALTHCHECK NONE takes no arguments"),
        ("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"),
        ("HEALTHCHECK HTTP a", 'Unknown type "HTTP" in HEALTHCHECK (try CMD)'),
        ("HEALTHCHECK --interval=5 CMD a", "--interval: invalid duration '5'"),
        ("HEALTHCHECK --interval=1us CMD a", 'Interval "interval" cannot be less than 1ms'),
        ("HEALTHCHECK --interval=-1s CMD a", 'Interval "interval" cannot be less than 1ms'),
        ("HEALTHCHECK --retries=-1 CMD a", "--retries cannot be negative (-1)"),
        ("HEALTHCHECK --retries=x CMD a", "--retries: 'x' is not a number"),
        ("SHELL a", "SHELL requires the arguments to be in JSON form"),
        ("SHELL []", "SHELL requires at least one argument"),
        ("ONBUILD", "ONBUILD requires at least one argument"),
        ("ONBUILD onbuild RUN a", "Chaining ONBUILD"),
        ("ONBUILD FROM a", "FROM isn't allowed as an ONBUILD trigger"),
        ("ONBUILD maintainer a", "MAINTAINER isn't allowed as an ONBUILD trigger"),
        ("USER", "USER requires exactly one argument"),
        ("MAINTAINER --a b", "unknown flag: --a"),
        ('VOLUME ["a", " "]', "VOLUME specified can not be an empty string"),
        ("EXPOSE", "EXPOSE requires at least one argument"),
    ],
)
def test_errors(text: str, reason: str) -> None:
    with pytest.raises(DockerfileError) as raised:
        instruction(text)
    assert reason in raised.value.reason
    assert raised.value.column > 0


@pytest.mark.parametrize("text", ["ARG --x a=b", "STOPSIGNAL --x 9", "HEALTHCHECK --x NONE"])
def test_flags_that_are_passed_over(text: str) -> None:
    """BuildKit takes them as well."""
    instruction(text)


def test_where_the_caret_goes() -> None:
    with pytest.raises(DockerfileError) as raised:
        instruction("\n\nCOPY --link \\\n  --from=a --from=b c d")
    error = raised.value
    assert (error.line, error.end_line, error.caret_line, error.column, error.length) == (3, 4, 4, 12, 6)


def test_stages() -> None:
    tree = parse(b"ARG a\nARG b=1\nFROM x AS one\nRUN c\nARG d\nFROM one\n")
    dockerfile = parse_dockerfile(tree)
    assert [definition.name for arg in dockerfile.arguments for definition in arg.definitions] == ["a", "b"]
    assert [(stage.name, stage.start.base) for stage in dockerfile.stages] == [("one", "x"), ("", "one")]
    assert [instruction.name for instruction in dockerfile.stages[0].instructions] == ["run", "arg"]
    assert dockerfile.stages[0].instructions[0].lines == (4, 4)


def test_only_arguments_before_the_first_stage() -> None:
    with pytest.raises(DockerfileError) as raised:
        parse_dockerfile(parse(b"ARG a\nRUN b\nFROM c"))
    assert raised.value.line == 2
    assert parse_dockerfile(parse(b"ARG a\n")).stages == ()


def test_what_an_instruction_was_made_from() -> None:
    run = instruction("  Run a \\\n b  ")
    assert (run.keyword, run.name, run.code) == ("Run", "run", "Run a  b")
