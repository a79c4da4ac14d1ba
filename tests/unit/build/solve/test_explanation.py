"""Why a step ran, in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from corten.build.graph import Exec, Vertex
from tests.unit.build.solve.world import World, context, copy, image, run, step

pytestmark = pytest.mark.root  # views of layers are mounts


async def explain(
    world: World, *targets: Vertex, scope: str = "app"
) -> dict[str, list[tuple[str, str, str]]]:
    """The misses of the steps that ran."""
    built = await world.build(*targets, scope=scope, explain=True)
    built.results.close()
    return {name: built.misses(name) for name in built.ran if not name.startswith("load")}


def make(below: Vertex, **more: object) -> Vertex:
    fields = {"args": ("make",), "environment": ("A=1", "PATH=/bin"), "directory": "/"} | more
    return step(Exec(**fields), below, name=f"RUN {' '.join(fields['args'])}")  # type: ignore[arg-type]


async def test_a_new_step(world: World, base: Vertex) -> None:
    misses = await explain(world, run(base, "one"))
    assert misses["RUN one"][0][0] == "new"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"environment": ("A=2", "PATH=/bin")}, ("variable", "A", "1 → 2")),
        ({"environment": ("A=1", "B=3", "PATH=/bin")}, ("variable", "B", "not set → 3")),
        ({"environment": ("PATH=/bin",)}, ("variable", "A", "1 → not set")),
        ({"directory": "/src"}, ("command", "directory", "was /")),
        ({"user": "app"}, ("command", "user", "was not set")),
        ({"here_documents": (("EOF", b"x", 0o755),)}, ("command", "here-document", "has another text")),
    ],
)
async def test_what_changed_in_a_process(
    world: World, base: Vertex, change: dict[str, object], expected: tuple[str, str, str]
) -> None:
    await explain(world, make(base))
    assert list((await explain(world, make(base, **change))).values()) == [[expected]]


async def test_another_command(world: World, base: Vertex) -> None:
    await explain(world, make(base))
    misses = await explain(world, make(base, args=("make", "-j2")))
    assert misses == {"RUN make -j2": [("command", "make -j2", "was make")]}


async def test_files(world: World, base: Vertex, here: Path) -> None:
    target = lambda: run(copy(base, context(), "src", "/src"), "after")  # noqa: E731
    await explain(world, target())
    await explain(world, target())  # now its files were looked at
    (here / "src" / "a").write_text("a2")
    (here / "src" / "b").unlink()
    (here / "src" / "new").write_text("n")
    misses = await explain(world, target())
    assert misses["COPY src /src"] == [
        ("file", "a", "content"),
        ("file", "b", "removed"),
        ("file", "new", "added"),
    ]
    assert misses["RUN after"] == [("input", "COPY src /src", "the step before has another result")]


async def test_many_files(world: World, base: Vertex, here: Path) -> None:
    await explain(world, copy(base, context(), "src", "/src"))
    for number in range(30):
        (here / "src" / f"{number:02}").write_text("n")
    misses = (await explain(world, copy(base, context(), "src", "/src")))["COPY src /src"]
    assert len(misses) == 21
    assert misses[-1][2] == "and 10 more"


async def test_another_base(world: World, base: Vertex) -> None:
    await explain(world, run(base, "one"))
    other = image(world.images.add("busybox", {"bin/sh": "newer"}))
    misses = await explain(world, run(other, "one"))
    (miss,) = misses["RUN one"]
    assert miss[0] == "base"
    assert miss[1].startswith("docker.io/library/busybox@sha256:")
    assert miss[2].startswith("was docker.io/library/busybox@sha256:")


async def test_a_step_in_between(world: World, base: Vertex) -> None:
    await explain(world, run(run(base, "one"), "three"))
    misses = await explain(world, run(run(run(base, "one"), "two"), "three"))
    assert misses["RUN two"][0][0] == "new"
    assert misses["RUN three"] == [("input", "RUN two", "the step before has another result")]


async def test_disabled_and_gone(world: World, base: Vertex) -> None:
    await explain(world, run(base, "one"))
    misses = await explain(world, run(base, "one", again=True))
    assert misses["RUN one"][0][0] == "disabled"
    world.database.all("DELETE FROM records")
    misses = await explain(world, run(base, "one"))
    assert misses["RUN one"] == [("gone", "RUN one", "its result was removed from the cache")]


async def test_other_builds_are_other_builds(world: World, base: Vertex) -> None:
    await explain(world, run(base, "one"))
    misses = await explain(world, run(base, "two"), scope="other")
    assert misses["RUN two"][0][0] == "new"


async def test_a_failed_build_is_remembered_as_far_as_it_came(world: World, base: Vertex, here: Path) -> None:
    await explain(world, make(base))
    with pytest.raises(Exception, match="nowhere"):
        await explain(world, copy(make(base, environment=("A=2",)), context(), "nowhere", "/x"))
    misses = await explain(world, make(base, environment=("A=3",)))
    assert misses["RUN make"] == [("variable", "A", "2 → 3")]
