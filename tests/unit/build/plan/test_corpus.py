"""Plans against BuildKit's, on the corpus."""

from __future__ import annotations

from typing import Any

import pytest

from corten.build.parser.source_error import DockerfileError
from corten.build.plan.model import PlanOptions
from corten.build.plan.planner import plan_build
from corten.errors import InvalidArgument
from corten.oci.platform import Platform
from tests.unit.build.parser.corpus import as_bytes, cases
from tests.unit.build.plan.oracle import StubImages, image_form, normal_image, normal_operations, operations

Case = dict[str, Any]

AMD64 = Platform("amd64", "linux")


@pytest.mark.parametrize("case", cases("frontend_oracle"))
async def test_plan(case: Case) -> None:
    options = PlanOptions(build_platform=AMD64, check="skip=all")
    if "device feature" in case.get("convert_error", ""):
        pytest.skip("RUN --device is allowed here")
    if "image" not in case or "ops" not in case:
        with pytest.raises((DockerfileError, InvalidArgument)) as raised:
            await plan_build(as_bytes(case["dockerfile"]), options, StubImages())
        expected = case.get("convert_error") or case.get("parse_error") or case.get("marshal_error")
        print(raised.value.message, "\n   ", expected)
        return
    plan = await plan_build(as_bytes(case["dockerfile"]), options, StubImages())
    (image,) = plan.images
    assert image_form(image) == normal_image(case["image"])
    assert operations(image) == normal_operations(case["ops"])
