"""From what went wrong in a build to what its client is shown: the sentence, the Dockerfile's lines, the
step's last output."""

from __future__ import annotations

from corten import errors
from corten.api.build import BuildFailure, SourceLine
from corten.build.graph import Exec, Vertex
from corten.build.parser.source_error import DockerfileError
from corten.build.solve.failure import BuildFailed, ProcessFailed
from corten.engine.build_definition import Definition
from corten.engine.build_events import BuildEvents
from corten.errors import CortenError

_AROUND = 2
_MOST_LINES = 40


def describe_failure(
    error: CortenError, definition: Definition | None, events: BuildEvents, *, classic: bool = False
) -> BuildFailure:
    """`classic`: with the classic builder's sentence about a process that failed, and its exit code."""
    if isinstance(error, DockerfileError):
        return BuildFailure(
            message=_named(error, definition),
            error="InvalidArgument",
            file=definition.name if definition is not None else "",
            source=excerpt(definition, error.line, error.end_line),
            column=error.column,
            caret_line=error.caret_line,
            width=error.length,
        )
    if not isinstance(error, BuildFailed):
        return BuildFailure(message=error.message, error=_class_of(error))
    vertex = error.vertex
    message, code = error.message, 1
    if isinstance(error.cause, ProcessFailed) and classic:
        message, code = _classic_sentence(vertex, error.cause)
    first, last = vertex.lines
    return BuildFailure(
        message=message,
        error=_class_of(error.cause),
        file=definition.name if definition is not None else "",
        source=excerpt(definition, first, last) if first else [],
        step=vertex.name,
        log=events.log_of(vertex.name),
        exit_code=code,
    )


def _class_of(error: CortenError) -> str:
    """The nearest class of the tree that everybody knows."""
    for cls in type(error).__mro__:
        name: str = cls.__name__
        if getattr(errors, name, None) is cls:
            return name
    return CortenError.__name__


def _named(error: DockerfileError, definition: Definition | None) -> str:
    """With the file's own name."""
    name = definition.name if definition is not None else "Dockerfile"
    return f"{name}, line {error.line}: {error.reason}"


def _classic_sentence(vertex: Vertex, cause: ProcessFailed) -> tuple[str, int]:
    operation = vertex.operation
    command = " ".join(operation.args) if isinstance(operation, Exec) else vertex.name
    return f"The command '{command}' returned a non-zero code: {cause.exit_code}", cause.exit_code


def excerpt(definition: Definition | None, first: int, last: int) -> list[SourceLine]:
    """The lines from `first` to `last`, with two around them."""
    if definition is None:
        return []
    lines = definition.data.decode("utf-8", "replace").removeprefix("\ufeff").split("\n")
    last = max(first, last)
    begin = max(first - _AROUND, 1)
    end = min(last + _AROUND, len(lines), begin + _MOST_LINES)
    if end == len(lines) and end > last and not lines[-1]:
        end -= 1
    return [
        SourceLine(number, lines[number - 1].rstrip("\r"), marked=first <= number <= last)
        for number in range(begin, end + 1)
        if number <= len(lines)
    ]
