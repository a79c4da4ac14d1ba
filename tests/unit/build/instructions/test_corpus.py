"""The instructions against BuildKit's, on the corpus."""

from __future__ import annotations

import re
from typing import Any

import pytest

from corten.build.instructions.mounts import parse_device
from corten.build.instructions.parse import parse_dockerfile, parse_instruction
from corten.build.instructions.types import Copy, Run
from corten.build.parser.parse import parse
from corten.build.parser.source_error import DockerfileError
from tests.unit.build.parser.corpus import as_bytes, cases

Case = dict[str, Any]

_AT_LINE = re.compile(r"dockerfile parse error on line (\d+): (.*)", re.DOTALL)


@pytest.mark.parametrize("case", cases("instructions"))
def test_instruction(case: Case) -> None:
    expected = case["expected"]
    if case.get("kind") == "run_device":
        if "error" in expected:
            with pytest.raises(ValueError):
                parse_device(case["input"])
        else:
            device = parse_device(case["input"])
            assert (device.name, device.required) == (expected["Name"], expected["Required"])
        return
    tree = parse(as_bytes(case["dockerfile"]))
    with pytest.raises(DockerfileError) as raised:
        parse_instruction(tree.nodes[0])
    assert (expected.get("error") or expected["error_contains"]) in raised.value.message


@pytest.mark.parametrize("case", cases("heredoc", "TestCopyHeredoc"))
def test_copy_heredoc(case: Case) -> None:
    instruction = parse_instruction(parse(as_bytes(case["dockerfile"])).nodes[0])
    assert isinstance(instruction, Copy)
    expected = case["expected"]["sourcesAndDest"]
    assert instruction.destination == expected["DestPath"]
    assert list(instruction.sources) == expected.get("SourcePaths", [])
    assert [
        {"Path": file.path, "Data": file.data, "Expand": file.expand} for file in instruction.files
    ] == expected.get("SourceContents", [])


@pytest.mark.parametrize("case", cases("heredoc", "TestRunHeredoc"))
def test_run_heredoc(case: Case) -> None:
    instruction = parse_instruction(parse(as_bytes(case["dockerfile"])).nodes[0])
    assert isinstance(instruction, Run)
    expected = case["expected"]
    assert list(instruction.command.arguments) == expected["command"]
    assert instruction.command.shell == expected["shell"]
    assert [{"Name": file.name, "Data": file.data} for file in instruction.command.files] == [
        {"Name": file["Name"], "Data": file["Data"]} for file in expected.get("files", [])
    ]


@pytest.mark.parametrize("case", cases("frontend_oracle"))
def test_front_end(case: Case) -> None:
    """Errors that BuildKit finds where it makes instructions are found, at that line, and no others."""
    if "parse_error" in case:
        pytest.skip("it has no syntax tree")
    error = case.get("convert_error") or case.get("lint_error") or ""
    tree = parse(as_bytes(case["dockerfile"]))
    at_line = _AT_LINE.match(error)
    if at_line is None and error != "no build stage in current context":
        parse_dockerfile(tree)
        return
    with pytest.raises(DockerfileError) as raised:
        parse_dockerfile(tree)
    if at_line is not None:
        assert raised.value.line == int(at_line[1])
        assert at_line[2].split(" (did you mean")[0].lower() in raised.value.reason.lower()
