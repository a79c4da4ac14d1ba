"""COPY and ADD."""

from __future__ import annotations

import posixpath
from urllib.parse import unquote, urlsplit

from corten.build import graph
from corten.build.graph import FileAction, FileOperation, GitSource, HttpSource, Merge, Vertex
from corten.build.instructions.types import Add, Copy, InlineFile
from corten.build.parser.quotation import quoted
from corten.build.parser.source_error import DockerfileError, error_at
from corten.build.plan import paths
from corten.build.plan.git_url import GitReference, parse_git_url
from corten.build.plan.owners import parse_mode, parse_owner
from corten.build.plan.planning import Planning
from corten.build.plan.stage_state import Command, StageState
from corten.build.plan.vertices import Inputs, heredoc_file, with_upper_keyword
from corten.errors import InvalidArgument
from corten.oci.digest import parse_digest

_UNNAMED = "__unnamed__"


def plan_copy(planning: Planning, state: StageState, instruction: Copy | Add, command: Command) -> None:
    """One layer with all that the instruction names; --link puts it over what is there without looking."""
    try:
        _plan(planning, state, instruction, command)
    except DockerfileError:
        raise
    except InvalidArgument as error:
        raise error_at(instruction.node, error.message) from error


def _plan(planning: Planning, state: StageState, instruction: Copy | Add, command: Command) -> None:
    layer = _Layer(planning, state, instruction, command)
    if isinstance(instruction, Add):
        _check_checksum(instruction)
    for source in instruction.sources:
        layer.add_source(source)
    for file in instruction.files:
        layer.add_file(file)
    is_linked = instruction.link and not instruction.chmod
    copied = planning.vertices.make(
        FileOperation(tuple(layer.actions)),
        (None if is_linked else state.vertex, *layer.inputs.vertices),
        name=layer.name,
        stage=state.label,
        lines=instruction.lines,
        ignore_cache=state.ignore_cache,
        epoch=planning.layer_epoch(state),
    )
    if is_linked and state.vertex is not None:
        state.vertex = planning.vertices.make(
            Merge(),
            (state.vertex, copied),
            name=planning.same_step_name(state, f"LINK {layer.text}", state.environment, command),
            stage=state.label,
            lines=instruction.lines,
        )
    else:
        state.vertex = copied
    planning.commit(state, instruction.lines, f"{_history(instruction)} # buildkit", copied)


def _history(instruction: Copy | Add) -> str:
    words = [instruction.name.upper()]
    if isinstance(instruction, Copy) and instruction.parents:
        words.append("--parents")
    if instruction.chown:
        words.append(f"--chown={instruction.chown}")
    if instruction.chmod:
        words.append(f"--chmod={instruction.chmod}")
    words += instruction.sources
    words += [f"<<{file.path}" for file in instruction.files]
    return " ".join([*words, instruction.destination])


def _check_checksum(instruction: Add) -> None:
    if not instruction.checksum:
        return
    if len(instruction.sources) != 1:
        raise error_at(instruction.node, "checksum can't be specified for multiple sources")
    source = instruction.sources[0]
    if not is_http(source) and _repository(instruction, source) is None:
        raise error_at(instruction.node, "checksum requires HTTP(S) or Git sources", source)


def is_http(source: str) -> bool:
    """Whether it is a URL of the web (it may still be one of a repository)."""
    return source.startswith(("http://", "https://"))


def _repository(instruction: Copy | Add, source: str) -> GitReference | None:
    """--keep-git-dir says that it is one."""
    known = isinstance(instruction, Add) and instruction.keep_git_dir is not None
    return parse_git_url(source, known=known)


def url_filename(url: str) -> str:
    """What a download is called: the last element of the URL's path."""
    try:
        name = posixpath.basename(unquote(urlsplit(url).path).rstrip("/"))
    except ValueError:
        return _UNNAMED
    return name if name not in ("", ".", "..") else _UNNAMED


class _Layer:
    """The actions of one COPY or ADD, and the vertices that they copy from."""

    def __init__(
        self, planning: Planning, state: StageState, instruction: Copy | Add, command: Command
    ) -> None:
        self._planning = planning
        self._instruction = instruction
        self._from = command.sources[0] if command.sources else None
        if self._from is not None and not self._from.dispatched:
            raise error_at(
                instruction.node,
                f"cannot copy from stage {quoted(self._from_name)}, it needs to be defined before current "
                f"stage {quoted(state.label)}",
                self._from_name,
            )
        self._destination = paths.destination(state.directory, instruction.destination)
        self._owner = parse_owner(instruction.chown)
        self._mode = parse_mode(instruction.chmod) if instruction.chmod else ""
        self.text = with_upper_keyword(planning.shown(instruction.code, state.environment))
        self.name = planning.step_name(state, self.text, state.environment, command)
        self.actions: list[FileAction] = []
        self.inputs = Inputs()

    @property
    def _from_name(self) -> str:
        return self._instruction.from_stage if isinstance(self._instruction, Copy) else ""

    def add_source(self, source: str) -> None:
        repository = _repository(self._instruction, source)
        if repository is not None:
            self._add_repository(source, repository)
        elif is_http(source):
            self._add_download(source)
        else:
            self._add_files(source)

    def _add_repository(self, source: str, repository: GitReference) -> None:
        add = self._remote(source, "source can't be a git ref for COPY")
        tree = repository.source(keep_git_dir=add.keep_git_dir, checksum=add.checksum)
        self._add_remote(tree, "/")

    def _add_download(self, source: str) -> None:
        add = self._remote(source, "source can't be a URL for COPY")
        filename = url_filename(source)
        checksum = parse_digest(add.checksum) if add.checksum else ""
        file = HttpSource(source, filename, checksum)
        self._add_remote(file, paths.without_wildcards(f"/{filename}"), unpack=bool(add.unpack))

    def _remote(self, source: str, refusal: str) -> Add:
        if not isinstance(self._instruction, Add):
            raise error_at(self._instruction.node, refusal, source)
        return self._instruction

    def _add_remote(self, source: GitSource | HttpSource, path: str, *, unpack: bool = False) -> None:
        vertex = self._planning.vertices.make(source, name=self.name, lines=self._instruction.lines)
        self.actions.append(
            graph.Copy(
                self.inputs.place(vertex),
                path,
                self._destination,
                owner=self._owner,
                mode=self._mode,
                unpack=unpack,
                exclude=self._instruction.exclude,
                allow_missing=False,
                follow_links=False,
            )
        )

    def _add_files(self, source: str) -> None:
        instruction = self._instruction
        if self._from is None:
            self._planning.ignored.report(self._planning.linter, instruction, source)
        include: tuple[str, ...] = ()
        required: tuple[str, ...] = ()
        has_parents = isinstance(instruction, Copy) and instruction.parents
        if has_parents:
            pivot, slash, pattern = source.partition("/./")
            if not slash:
                pivot, pattern = "/", source
            pattern = paths.absolute("/", pattern)
            include = (pattern.removeprefix("/"),)
            if not paths.has_wildcard(pivot) and not paths.has_wildcard(pattern):
                required = (paths.absolute("/", paths.join(pivot, pattern)),)
            source = pivot
        self.actions.append(
            graph.Copy(
                self.inputs.place(self._files()),
                paths.absolute("/", source),
                self._destination,
                owner=self._owner,
                mode=self._mode,
                unpack=isinstance(instruction, Add) and instruction.unpack is not False,
                include=include,
                exclude=instruction.exclude,
                required=required,
                parents=has_parents,
            )
        )

    def _files(self) -> Vertex | None:
        return self._planning.context() if self._from is None else self._from.vertex

    def add_file(self, file: InlineFile) -> None:
        self.actions.append(
            graph.WriteFile(
                self._destination,
                heredoc_file(self._instruction.node, file.path),
                file.data.encode("utf-8", "surrogateescape"),
                mode=self._mode,
                owner=self._owner,
            )
        )
