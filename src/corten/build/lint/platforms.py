"""Checks of FROM: its platform, and its image when no build argument is given."""

from __future__ import annotations

from collections.abc import Mapping

from corten.build.lint.linter import Linter
from corten.build.lint.rules import (
    FROM_PLATFORM_FLAG_CONST_DISALLOWED,
    INVALID_BASE_IMAGE_PLATFORM,
    REDUNDANT_TARGET_PLATFORM,
)
from corten.build.parser.quotation import quoted
from corten.build.parser.syntax_tree import Node
from corten.build.parser.words import Expansion
from corten.errors import InvalidArgument
from corten.oci.platform import Platform

_TARGET = "TARGETPLATFORM"


def report_platform_flag(
    linter: Linter, node: Node, written: str, expansion: Expansion, variables: Mapping[str, str], stage: str
) -> None:
    """`--platform` that says what is so anyway, or that ties the stage to one platform without its name
    saying so. `stage` is the stage's name."""
    if expansion.used == {_TARGET} and not expansion.missing and expansion.text == variables.get(_TARGET):
        linter.report(REDUNDANT_TARGET_PLATFORM, node, written)
    if expansion.used or expansion.missing:
        return
    try:
        platform = Platform.parse(expansion.text)
    except InvalidArgument:
        return
    if platform.os not in stage and platform.architecture not in stage:
        linter.report(FROM_PLATFORM_FLAG_CONST_DISALLOWED, node, quoted(expansion.text))


def report_base_platform(linter: Linter, node: Node, name: str, expected: Platform, actual: Platform) -> None:
    """A base image that is for another platform than the stage."""
    if (expected.os, expected.architecture) != (actual.os, actual.architecture):
        linter.report(INVALID_BASE_IMAGE_PLATFORM, node, name, quoted(str(actual)), quoted(str(expected)))
