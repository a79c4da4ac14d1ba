"""Whatever a Dockerfile says: there is a plan that can be built, or one sentence about what is wrong."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from corten.build.plan.checking import check_dockerfile
from corten.build.plan.model import ImageContext, LocalContext, PlanOptions, TargetContext
from corten.build.plan.planner import plan_build
from corten.build.solve.keys import vertex_ids
from corten.errors import CortenError
from corten.oci.image_config import encode_config
from tests.unit.build.plan.planning import AMD64, ARM64, Images, config

_WORDS = """
base scratch one two AS 0 a /b/ . .. $x ${x:-a} ${x:?y} x=1 ' " \\ <<E [ 80/udp 1-3 # \u00e9 \xff
http://h/f git@h:r#m:d --from=one --from=1 --link --parents --chmod=u+x --chown=a: --network=none
--platform=$BUILDPLATFORM --mount=type=cache,target=/c --mount=from=two,target=t --exclude=*.o
--mount=type=secret,id=s,env=x
"""
_KEYWORDS = """
FROM RUN COPY ADD ENV ARG LABEL WORKDIR USER VOLUME EXPOSE CMD ENTRYPOINT SHELL ONBUILD HEALTHCHECK
STOPSIGNAL MAINTAINER from Run
"""
WORDS = st.sampled_from(
    [*_WORDS.split(), "\\\n", "\n", "<<E\nb\nE", '["a", "b"]', f"--checksum=sha256:{'0' * 64}"]
)
KEYWORDS = st.sampled_from(_KEYWORDS.split())
LINES = st.lists(
    st.tuples(KEYWORDS, st.lists(WORDS, max_size=5)).map(lambda line: " ".join([line[0], *line[1]])),
    max_size=10,
)
OPTIONS = st.sampled_from(
    [
        PlanOptions(build_platform=AMD64),
        PlanOptions(build_platform=AMD64, platforms=(AMD64, ARM64), build_args={"x": "1"}, ignore=("a",)),
        PlanOptions(
            build_platform=AMD64,
            target="two",
            contexts={"one": LocalContext(), "base": ImageContext("scratch"), "a": TargetContext("two")},
        ),
    ]
)


async def _plan(data: bytes, options: PlanOptions) -> None:
    images = Images(base=config(on_build=["RUN x $y"]), a=config(), two=config())
    try:
        plan = await plan_build(data, options, images)
    except CortenError as error:
        assert error.message
        return
    finally:
        try:
            await check_dockerfile(data, options, images)
        except CortenError:
            pass
    for image in plan.images:
        encode_config(image.config)
        assert len(image.layers) == len(image.config.history or ())
        assert image.target is None or vertex_ids(image.target)


@given(LINES, OPTIONS)
def test_any_lines(lines: list[str], options: PlanOptions) -> None:
    data = "\n".join(["FROM base AS one", *lines, ""]).encode(
        "latin-1" if lines and "\xff" in lines[0] else "utf-8"
    )
    asyncio.run(_plan(data, options))
