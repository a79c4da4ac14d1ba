"""The instructions of a Dockerfile, one structure each.

Words are raw: as they stand in the file, with quotes and `$variables`. Each docstring says which fields the
plan expands; `instructions.expansion.expand` does it. A field that is not named is taken literally.
"""

from __future__ import annotations

import msgspec

from corten.build.parser.syntax_tree import Node


class Instruction(msgspec.Struct, frozen=True, kw_only=True):
    """What all instructions have: the node they were made from."""

    node: Node

    @property
    def name(self) -> str:
        """The keyword in lower case."""
        return self.node.name

    @property
    def keyword(self) -> str:
        """The keyword as written."""
        return self.node.keyword

    @property
    def code(self) -> str:
        """The instruction on one line, as written, without white space around it (and without the
        contents of here-documents)."""
        return self.node.original.strip()

    @property
    def lines(self) -> tuple[int, int]:
        """First and last line in the file, from 1."""
        return self.node.start_line, self.node.end_line


class KeyValue(msgspec.Struct, frozen=True):
    """`legacy`: written `name value`, without an equals sign."""

    key: str
    value: str
    legacy: bool = False


class Env(Instruction, frozen=True, kw_only=True):
    """ENV. Expanded: keys and values (each with the variables of before the instruction)."""

    variables: tuple[KeyValue, ...]


class Label(Instruction, frozen=True, kw_only=True):
    """LABEL. Expanded: keys and values."""

    labels: tuple[KeyValue, ...]


class Maintainer(Instruction, frozen=True, kw_only=True):
    """MAINTAINER. Nothing is expanded."""

    maintainer: str


class InlineFile(msgspec.Struct, frozen=True):
    """A here-document as a source of COPY or ADD: `path` is its name. With `expand`, variables in `data`
    are expanded, and quotes and escapes in it mean nothing."""

    path: str
    data: str
    expand: bool


class Copy(Instruction, frozen=True, kw_only=True):
    """COPY. Expanded: sources, destination, chown, chmod; and the data of files that say so. `from_stage`
    is a stage's name or number, a named context or an image; `$` in it is for the plan to refuse."""

    sources: tuple[str, ...]
    destination: str
    files: tuple[InlineFile, ...] = ()
    from_stage: str = ""
    chown: str = ""
    chmod: str = ""
    link: bool = False
    parents: bool = False
    exclude: tuple[str, ...] = ()


class Add(Instruction, frozen=True, kw_only=True):
    """ADD. Expanded: as for COPY, and checksum. None: the flag was not given."""

    sources: tuple[str, ...]
    destination: str
    files: tuple[InlineFile, ...] = ()
    chown: str = ""
    chmod: str = ""
    link: bool = False
    exclude: tuple[str, ...] = ()
    checksum: str = ""
    keep_git_dir: bool | None = None
    unpack: bool | None = None


class ShellFile(msgspec.Struct, frozen=True):
    """A here-document of a shell command: its text, line by line as in the file. `chomp`: tabs at the
    start of its lines are to go."""

    name: str
    data: str
    chomp: bool


class CommandLine(msgspec.Struct, frozen=True):
    """`shell`: the shell form: `arguments` has at most one element, for the shell; else the JSON form."""

    arguments: tuple[str, ...]
    shell: bool
    files: tuple[ShellFile, ...] = ()


class Mount(msgspec.Struct, frozen=True, kw_only=True):
    """`RUN --mount=…`; `text` is the flag's value as written (without quotes). `type` is bind, cache, tmpfs,
    secret or ssh; `sharing` is empty, shared, private or locked; `size` in bytes. None and empty: not
    given. `env`: the secret becomes a variable of this name (empty: of its own name), and no file."""

    text: str
    type: str = "bind"
    from_stage: str = ""
    source: str = ""
    target: str = ""
    readonly: bool = True
    id: str = ""
    sharing: str = ""
    required: bool = False
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    size: int = 0
    env: str | None = None


class Device(msgspec.Struct, frozen=True):
    """`RUN --device=…`: the CDI name of a device."""

    name: str
    required: bool = False


class Run(Instruction, frozen=True, kw_only=True):
    """RUN. Expanded: the values in mounts, nothing else: before that, only `text` and `from_stage` of a
    mount say something (`$` is not allowed in `from`)."""

    command: CommandLine
    mounts: tuple[Mount, ...] = ()
    network: str = "default"
    security: str = "sandbox"
    devices: tuple[Device, ...] = ()


class Cmd(Instruction, frozen=True, kw_only=True):
    """CMD. Nothing is expanded."""

    command: CommandLine


class Entrypoint(Instruction, frozen=True, kw_only=True):
    """ENTRYPOINT. Nothing is expanded."""

    command: CommandLine


class Healthcheck(Instruction, frozen=True, kw_only=True):
    """HEALTHCHECK. `test` is ("NONE",), ("CMD", …) or ("CMD-SHELL", command). Durations are in
    nanoseconds, 0: not given. Nothing is expanded."""

    test: tuple[str, ...]
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class Expose(Instruction, frozen=True, kw_only=True):
    """EXPOSE. `ports` are sorted. Expanded: ports, each into any number of words."""

    ports: tuple[str, ...]


class User(Instruction, frozen=True, kw_only=True):
    """USER. Expanded: user."""

    user: str


class Volume(Instruction, frozen=True, kw_only=True):
    """VOLUME. Expanded: paths."""

    paths: tuple[str, ...]


class Workdir(Instruction, frozen=True, kw_only=True):
    """WORKDIR. Expanded: path."""

    path: str


class StopSignal(Instruction, frozen=True, kw_only=True):
    """STOPSIGNAL. Expanded: signal."""

    signal: str


class Definition(msgspec.Struct, frozen=True):
    """A name that ARG declares; `value` None: without default. `comment` describes it: what follows the
    name in a comment above the instruction that begins with it."""

    name: str
    value: str | None = None
    comment: str = ""


class Arg(Instruction, frozen=True, kw_only=True):
    """ARG. Expanded: names and values."""

    definitions: tuple[Definition, ...]


class Shell(Instruction, frozen=True, kw_only=True):
    """SHELL. Nothing is expanded."""

    shell: tuple[str, ...]


class Onbuild(Instruction, frozen=True, kw_only=True):
    """ONBUILD. `expression` is the instruction's text, with its here-documents. Nothing is expanded."""

    expression: str


class From(Instruction, frozen=True, kw_only=True):
    """FROM. Expanded: base and platform, both with the global ARGs only. `stage_name` is in lower case;
    `written_name` and `as_keyword` (`AS`) are as written; all three are empty where it has no name.
    `comment` describes the stage."""

    base: str
    stage_name: str = ""
    written_name: str = ""
    as_keyword: str = ""
    platform: str = ""
    comment: str = ""


class Stage(msgspec.Struct, frozen=True):
    """A FROM and what follows it."""

    start: From
    instructions: tuple[Instruction, ...]

    @property
    def name(self) -> str:
        return self.start.stage_name


class Dockerfile(msgspec.Struct, frozen=True):
    """All of it: `arguments` are the ARGs before the first FROM."""

    stages: tuple[Stage, ...]
    arguments: tuple[Arg, ...]
    escape: str = "\\"
