"""`--build-context`."""

from __future__ import annotations

import pytest

from corten.build.graph import (
    Copy,
    FileOperation,
    GitSource,
    HttpSource,
    ImageSource,
    LayoutSource,
    LocalSource,
    Operation,
)
from corten.build.parser.source_error import DockerfileError
from corten.build.plan.model import (
    ImageContext,
    LayoutContext,
    LocalContext,
    NamedContext,
    RemoteContext,
    TargetContext,
)
from corten.errors import InvalidArgument
from tests.unit.build.plan.planning import (
    AMD64,
    ARM64,
    DIGEST,
    Images,
    config,
    history,
    names,
    operations,
    plan,
    plan_one,
    processes,
)


@pytest.mark.parametrize(
    ("context", "source"),
    [
        (LocalContext(("*.o",)), LocalSource("lib", ("*.o",))),
        (RemoteContext("https://x.org/a.git#v1:d"), GitSource("https://x.org/a.git", "v1", "d")),
        (
            RemoteContext("github.com/a/b?keep-git-dir"),
            GitSource("https://github.com/a/b", keep_git_dir=True),
        ),
        (RemoteContext("https://x.org/a.tgz"), HttpSource("https://x.org/a.tgz", "context")),
        (ImageContext("tools"), ImageSource(f"docker.io/library/tools:latest@{DIGEST}", AMD64)),
        (LayoutContext("v1"), LayoutSource("lib", DIGEST, AMD64)),
    ],
)
async def test_copy_from_a_context(context: NamedContext, source: Operation) -> None:
    image = await plan_one(
        "FROM scratch\nCOPY --from=lib /a /b\n", Images(tools=config()), contexts={"lib": context}
    )
    assert operations(image)[0] == source
    assert names(image)[0].startswith("[context lib] ")


async def test_a_context_comes_before_an_image_and_a_stage() -> None:
    images = Images(base=config(), other=config(env=["PATH=/other"]))
    image = await plan_one(
        "FROM base AS build\nRUN not-this\nFROM base\nCOPY --from=build /a /\n",
        images,
        contexts={"docker.io/library/base:latest": ImageContext("other"), "BUILD": LocalContext()},
    )
    assert [name for name, _ in images.asked] == ["other"]
    assert image.config.run.env == ["PATH=/other"]
    assert not processes(image)
    assert LocalSource("BUILD") in operations(image)


async def test_a_context_for_one_platform() -> None:
    contexts: dict[str, NamedContext] = {
        "base::linux/arm64": ImageContext("arm"),
        "base": ImageContext("any"),
    }
    images = Images(arm=config(ARM64), any=config())
    await plan("FROM base\n", images, contexts=contexts, platforms=(AMD64, ARM64))
    assert images.asked == [("any", "linux/amd64"), ("arm", "linux/arm64")]


async def test_files_as_the_base_of_a_stage() -> None:
    image = await plan_one("FROM rootfs\nRUN x\n", contexts={"rootfs": LocalContext()})
    first, second, _ = operations(image)
    assert first == LocalSource("rootfs")
    assert second == FileOperation((Copy(1, "/", "/"),))
    assert history(image) == ["FROM rootfs", "RUN /bin/sh -c x # buildkit"]
    assert [vertex is not None for vertex in image.layers] == [True, True]


async def test_a_stage_that_is_files_is_copied_from_as_it_is() -> None:
    text = "FROM base AS lib\nRUN not-this\nFROM {}\nCOPY --from=lib /a /b\n"
    image = await plan_one(text.format("scratch"), contexts={"lib": LocalContext()})
    assert len(operations(image)) == 2
    image = await plan_one(text.format("lib"), contexts={"lib": LocalContext()})
    assert operations(image)[1] == FileOperation((Copy(1, "/", "/"),))
    assert [step for step in history(image) if step] == ["FROM lib", "COPY /a /b # buildkit"]
    image = await plan_one(text.format("scratch"), contexts={"lib": LocalContext()}, target="lib")
    assert operations(image)[1:] == [FileOperation((Copy(1, "/", "/"),))]
    assert history(image) == ["FROM lib"]


async def test_a_stage_can_be_based_on_a_stage_that_a_context_replaces() -> None:
    image = await plan_one(
        "FROM nowhere AS one\nRUN not-this\nFROM one\nRUN this\n",
        Images(real=config(env=["PATH=/real"], on_build=["RUN trigger"])),
        contexts={"one": ImageContext("real")},
    )
    assert [process.args[-1] for process in processes(image)] == ["trigger", "this"]
    assert processes(image)[0].environment == ("PATH=/real",)


async def test_nothing_instead_of_an_image() -> None:
    image = await plan_one("FROM base\nCOPY a /\n", contexts={"base": ImageContext("scratch")})
    assert image.config.diff_ids == ()
    assert len(operations(image)) == 2


async def test_a_layout_has_a_config() -> None:
    image = await plan_one("FROM lay\n", contexts={"lay": LayoutContext()})
    assert image.config.run.user == "layout"


async def test_another_stage() -> None:
    text = "FROM base AS one\nRUN first\nFROM base AS two\nRUN second\nFROM base\nCOPY --from=lib /a /\n"
    for stage, command in (("one", "first"), ("1", "second")):
        image = await plan_one(text, contexts={"lib": TargetContext(stage)})
        assert [process.args[-1] for process in processes(image)] == [command]
    with pytest.raises(
        InvalidArgument, match=r'context lib: target stage "tow" could not be found \(did you mean'
    ):
        await plan(text, contexts={"lib": TargetContext("tow")})


async def test_a_context_is_not_looked_at_unless_it_is_needed() -> None:
    images = Images(base=config())
    await plan("FROM base\n", images, contexts={"other": ImageContext("missing")})
    assert [name for name, _ in images.asked] == ["base"]


async def test_an_image_that_is_not_there() -> None:
    with pytest.raises(DockerfileError, match="lib: there is no image missing") as raised:
        await plan("FROM base\nCOPY --from=lib /a /\n", contexts={"lib": ImageContext("missing")})
    assert raised.value.line == 2
