"""Checks of variables: used but not defined, or secret."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from corten.build.instructions.suggestion import suggestion
from corten.build.lint.linter import Linter
from corten.build.lint.rules import SECRETS_USED_IN_ARG_OR_ENV, UNDEFINED_ARG_IN_FROM, UNDEFINED_VAR
from corten.build.parser.quotation import quoted
from corten.build.parser.syntax_tree import Node

_SECRET = re.compile(
    "(?:_|^)(?:apikey|auth|credential|credentials|key|password|pword|passwd|secret|token)(?:_|$)",
    re.IGNORECASE | re.ASCII,
)
_HARMLESS = re.compile("(?:_|^)(?:public|file|version)(?:_|$)", re.IGNORECASE | re.ASCII)


def report_undefined(linter: Linter, node: Node, missing: Iterable[str], defined: Collection[str]) -> None:
    """Variables that an instruction uses and nobody has defined."""
    for name in missing:
        linter.report(UNDEFINED_VAR, node, name, _meant(linter, f"${name}", defined, "$"))


def report_undeclared(linter: Linter, node: Node, missing: Iterable[str], declared: Collection[str]) -> None:
    """ARGs that FROM uses, of those that are not declared."""
    for name in sorted(missing):
        if name not in declared:
            linter.report(UNDEFINED_ARG_IN_FROM, node, name, _meant(linter, name, declared))


def _meant(linter: Linter, name: str, options: Collection[str], prefix: str = "") -> str:
    """The name that may have been meant, as long as that does not take too long."""
    if not linter.may_compare(len(options)):
        return ""
    return suggestion(name, [f"{prefix}{option}" for option in options])


def report_secret(linter: Linter, node: Node, name: str) -> None:
    """ENV and ARG for what looks like a secret: it can be read in the image."""
    if _SECRET.search(name) and not _HARMLESS.search(name):
        linter.report(SECRETS_USED_IN_ARG_OR_ENV, node, node.name.upper(), quoted(name))
