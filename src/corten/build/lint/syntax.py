"""Checks that need no more than the syntax tree; they are made even where a later line is in error."""

from __future__ import annotations

from collections.abc import Sequence

from corten.build.instructions.types import Dockerfile, Instruction
from corten.build.lint.linter import Linter
from corten.build.lint.rules import (
    CONSISTENT_INSTRUCTION_CASING,
    DUPLICATE_STAGE_NAME,
    FROM_AS_CASING,
    INVALID_DEFINITION_DESCRIPTION,
    MAINTAINER_DEPRECATED,
    NO_EMPTY_CONTINUATION,
    RESERVED_STAGE_NAME,
    STAGE_NAME_CASING,
)
from corten.build.parser.directives import check_in_comments
from corten.build.parser.quotation import quoted
from corten.build.parser.syntax_tree import Node

_RESERVED = ("context", "scratch")


def check_continuations(linter: Linter, nodes: Sequence[Node]) -> None:
    """Empty lines among an instruction's continuations."""
    for node in nodes:
        if node.empty_continuation:
            # Where the instruction ends is where it shows that the empty line was in it.
            last = node.segments[-1].line if node.heredocs else node.end_line
            linter.report(NO_EMPTY_CONTINUATION, node, line=last)


def check_node(linter: Linter, node: Node) -> None:
    """One instruction, before it is read."""
    if node.name == "maintainer":
        linter.report(MAINTAINER_DEPRECATED, node)
    elif node.name == "from" and len(node.arguments) >= 3:
        _, as_keyword, stage_name = node.arguments[:3]
        if len(node.arguments) == 3 and stage_name != stage_name.lower():
            linter.report(STAGE_NAME_CASING, node, stage_name)
        if _is_consistent(node.keyword) and _is_lower(node.keyword) != _is_lower(as_keyword):
            linter.report(FROM_AS_CASING, node, as_keyword, node.keyword)


def check_description(linter: Linter, node: Node, names: Sequence[str]) -> None:
    """The comment above a stage or an ARG (which defines `names`): it should begin with the name that it
    describes."""
    comments = [comment for comment in node.comments if not check_in_comments((comment,))]
    if comments and names and comments[-1].partition(" ")[0] not in names:
        example = names[0] if len(names) == 1 else "<arg_key>"
        linter.report(INVALID_DEFINITION_DESCRIPTION, node, node.name.upper(), example)


def check_stage_names(linter: Linter, dockerfile: Dockerfile) -> None:
    """Names that are there twice, or mean something else."""
    seen: set[str] = set()
    for stage in dockerfile.stages:
        if stage.name in _RESERVED:
            linter.report(RESERVED_STAGE_NAME, stage.start.node, quoted(stage.name))
        if stage.name and stage.name in seen:
            linter.report(DUPLICATE_STAGE_NAME, stage.start.node, quoted(stage.name))
        seen.add(stage.name)


def check_casing(linter: Linter, dockerfile: Dockerfile) -> None:
    """Instructions that are not written as most of them are, in upper or in lower case."""
    instructions: list[Instruction] = []
    for stage in dockerfile.stages:
        instructions += (stage.start, *stage.instructions)
    lower = sum(_is_lower(instruction.keyword) for instruction in instructions)
    upper = sum(_is_upper(instruction.keyword) for instruction in instructions)
    is_right, right = (_is_lower, "lowercase") if lower > upper else (_is_upper, "uppercase")
    for instruction in instructions:
        if not is_right(instruction.keyword):
            linter.report(CONSISTENT_INSTRUCTION_CASING, instruction.node, instruction.keyword, right)


def _is_lower(text: str) -> bool:
    return text == text.lower()


def _is_upper(text: str) -> bool:
    return text == text.upper()


def _is_consistent(text: str) -> bool:
    return _is_lower(text) or _is_upper(text)
