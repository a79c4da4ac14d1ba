"""Plans against BuildKit's, on the corpus."""

from __future__ import annotations

import re
from typing import Any

import pytest

from corten.build.parser.source_error import DockerfileError
from corten.build.plan.checking import check_dockerfile
from corten.build.plan.model import PlanOptions
from corten.build.plan.planner import plan_build
from corten.errors import InvalidArgument
from corten.oci.platform import Platform
from tests.unit.build.parser.corpus import as_bytes, cases
from tests.unit.build.plan.oracle import (
    StubImages,
    as_reported,
    image_form,
    normal_image,
    normal_operations,
    operations,
)

Case = dict[str, Any]

AMD64 = Platform("amd64", "linux")

_AT_LINE = re.compile(r"dockerfile parse error on line (\d+): ")


@pytest.mark.parametrize("case", cases("frontend_oracle"))
async def test_image_and_operations(case: Case) -> None:
    options = PlanOptions(build_platform=AMD64, check="skip=all")
    _skip_devices(case)
    if "ops" not in case:
        with pytest.raises((DockerfileError, InvalidArgument)) as raised:
            await plan_build(as_bytes(case["dockerfile"]), options, StubImages())
        _compare_errors(raised.value, _expected_error(case))
        return
    plan = await plan_build(as_bytes(case["dockerfile"]), options, StubImages())
    (image,) = plan.images
    assert image_form(image) == normal_image(case["image"])
    assert operations(image) == normal_operations(case["ops"])


@pytest.mark.parametrize("case", cases("frontend_oracle"))
async def test_checks(case: Case) -> None:
    _skip_devices(case)
    options = PlanOptions(build_platform=AMD64)
    try:
        report = await check_dockerfile(as_bytes(case["dockerfile"]), options, StubImages())
    except InvalidArgument as error:
        _compare_errors(error, case["lint_error"])
        return
    assert as_reported(report.warnings) == sorted(
        (warning["line"], warning["rule"], warning["detail"]) for warning in case.get("lint") or ()
    )
    expected = case.get("lint_error") or case.get("parse_error")
    assert (report.error is None) == (expected is None)
    if report.error is not None:
        _compare_errors(report.error, expected)


def _skip_devices(case: Case) -> None:
    if "device feature is only" in case.get("convert_error", ""):
        pytest.skip("RUN --device is an error there because it was not switched on")


def _expected_error(case: Case) -> str:
    return next(case[key] for key in ("parse_error", "convert_error", "marshal_error") if key in case)


def _compare_errors(error: InvalidArgument, expected: Any) -> None:
    """The same sentence, or one that says more; and the line, where BuildKit's message has it."""
    expected = str(expected)
    match = _AT_LINE.match(expected)
    if match is not None:
        assert isinstance(error, DockerfileError)
        assert error.line == int(match[1])
        expected = expected[match.end() :]
    assert expected.split(": invalid reference format")[0] in error.message
