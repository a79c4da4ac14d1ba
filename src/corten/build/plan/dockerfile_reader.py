"""A Dockerfile read, and its text checked, whether or not all of it can be read."""

from __future__ import annotations

from corten.build.instructions.parse import parse_dockerfile, parse_instruction
from corten.build.instructions.types import Arg, Dockerfile, From
from corten.build.lint.linter import Linter
from corten.build.lint.selection import Selection, parse_selection
from corten.build.lint.syntax import (
    check_casing,
    check_continuations,
    check_description,
    check_node,
    check_stage_names,
)
from corten.build.parser.directives import find_directive
from corten.build.parser.parse import parse
from corten.build.parser.source_error import DockerfileError
from corten.build.parser.syntax_tree import Node, SyntaxTree
from corten.build.plan.model import PlanOptions
from corten.errors import InvalidArgument

_CHECK_ARGUMENT = "BUILDKIT_DOCKERFILE_CHECK"


def make_linter(data: bytes, options: PlanOptions) -> Linter:
    """With the checks that the request selects, or else the file. InvalidArgument."""
    given = options.check if options.check is not None else options.build_args.get(_CHECK_ARGUMENT)
    if given is not None:
        return Linter(parse_selection(given))
    directive = find_directive(data, "check")
    if directive is None:
        return Linter(Selection())
    try:
        return Linter(parse_selection(directive.value.partition(" ")[0]))
    except InvalidArgument as error:
        raise DockerfileError(f"failed to parse check options: {error.message}", directive.line, 1) from None


def read_dockerfile(data: bytes, linter: Linter) -> Dockerfile:
    """The stages. Raises DockerfileError; what could be checked before that is reported all the same."""
    if not data:
        raise DockerfileError("the Dockerfile cannot be empty", 1)
    tree = parse(data)
    check_continuations(linter, tree.nodes)
    try:
        dockerfile = parse_dockerfile(tree)
    except DockerfileError as error:
        _check_nodes(linter, tree, error.line)
        raise
    _check_nodes(linter, tree, tree.end_line + 1)
    if not dockerfile.stages:
        raise DockerfileError("dockerfile contains no stages to build", tree.end_line)
    check_stage_names(linter, dockerfile)
    check_casing(linter, dockerfile)
    return dockerfile


def _check_nodes(linter: Linter, tree: SyntaxTree, error_line: int) -> None:
    """Every instruction up to the one at which reading ended."""
    for node in tree.nodes:
        if node.start_line > error_line:
            return
        check_node(linter, node)
        if (
            node.name in ("arg", "from")
            and node.comments
            and not node.start_line <= error_line <= node.end_line
        ):
            check_description(linter, node, _defined(node))


def _defined(node: Node) -> list[str]:
    instruction = parse_instruction(node)
    if isinstance(instruction, Arg):
        return [definition.name for definition in instruction.definitions]
    if isinstance(instruction, From) and instruction.stage_name:
        return [instruction.stage_name]
    return []
