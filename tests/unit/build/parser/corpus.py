"""The corpus of Dockerfiles beside the checkout, with what BuildKit's own front end makes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from corten.build.parser.quotation import quoted
from corten.build.parser.syntax_tree import Node, SyntaxTree

DIRECTORY = Path(__file__).parents[5] / "shared" / "corpus" / "dockerfile"


def cases(file: str, *kinds: str) -> list[Any]:
    """Parameters for a test: those cases of a file that are of one of `kinds` (all, without any). Where
    there is no corpus, one case that is skipped."""
    path = DIRECTORY / f"{file}.jsonl"
    if not path.exists():
        return [pytest.param(None, marks=pytest.mark.skip(reason=f"there is no {path}"))]
    lines = path.read_text(encoding="utf-8").splitlines()
    all_cases = [json.loads(line) for line in lines]
    return [
        pytest.param(case, id=f"{number}:{case['id']}")
        for number, case in enumerate(all_cases, 1)
        if not kinds or case["kind"] in kinds
    ]


def as_bytes(text: str) -> bytes:
    """A Dockerfile of the corpus as it was: bytes that are not UTF-8 are lone surrogates in it."""
    return text.encode("utf-8", "surrogateescape")


def dump(tree: SyntaxTree) -> str:
    """The tree in the notation of BuildKit's dump."""
    return "\n".join(f"({_dump(node)})" for node in tree.nodes)


def _dump(node: Node) -> str:
    parts = [node.name]
    if node.flags:
        parts.append(f"[{' '.join(map(quoted, node.flags))}]")
    parts += map(quoted, node.arguments)
    if node.trigger is not None:
        parts.append(f"({_dump(node.trigger)})")
    return " ".join(parts).strip()
