"""The checks of a build, and of `--check`, against BuildKit's tests of them."""

from __future__ import annotations

from typing import Any

import pytest

from corten.build.dockerignore import read_dockerignore
from corten.build.parser.source_error import DockerfileError
from corten.build.plan.checking import check_dockerfile
from corten.build.plan.model import PlanOptions
from corten.build.plan.planner import plan_build
from corten.build.progress import Warning
from corten.oci.platform import Platform
from tests.unit.build.parser.corpus import as_bytes, cases
from tests.unit.build.plan.oracle import StubImages, as_reported

Case = dict[str, Any]


def _options(case: Case) -> PlanOptions:
    attributes = case["frontend_attrs"] or {}
    platforms = [name for name in attributes.get("platform", "").split(",") if name]
    return PlanOptions(
        build_platform=Platform("amd64", "linux"),
        platforms=tuple(Platform.parse(name) for name in platforms),
        build_args={
            key.removeprefix("build-arg:"): value
            for key, value in attributes.items()
            if key.startswith("build-arg:")
        },
        ignore=read_dockerignore(as_bytes(case.get("dockerignore") or "")),
    )


def _expected(warnings: list[Any]) -> list[tuple[int, str, str]]:
    return sorted((warning["line"], warning["rule"], warning["detail"]) for warning in warnings)


@pytest.mark.parametrize("case", cases("lint"))
async def test_build(case: Case) -> None:
    expected = case["expected"]
    warnings: list[Warning] = []
    error = None
    try:
        await plan_build(as_bytes(case["dockerfile"]), _options(case), StubImages(), warn=warnings.append)
    except DockerfileError as raised:
        error = raised
    assert as_reported(warnings) == _expected(expected["warnings"])
    assert (error is None) == (not expected["build_error"])
    if error is not None:
        assert error.reason in expected["build_error"]
        assert error.line == expected["build_error_line"]
    told = {warning.rule: (warning.detail, warning.url) for warning in warnings}
    assert told == {
        warning["rule"]: (warning["description"], warning.get("url", "")) for warning in expected["warnings"]
    }


@pytest.mark.parametrize("case", cases("lint"))
async def test_check(case: Case) -> None:
    report = await check_dockerfile(as_bytes(case["dockerfile"]), _options(case), StubImages())
    expected = case["expected"]
    assert as_reported(report.warnings) == _expected(expected["check_only_warnings"] or expected["warnings"])
