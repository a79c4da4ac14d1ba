"""What runs, what is found, and what is never needed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from corten.build.graph import (
    BindMount,
    CacheMount,
    Copy,
    Exec,
    FileOperation,
    HttpSource,
    Limits,
    MakeDirectory,
    Merge,
    Vertex,
    WriteFile,
)
from corten.build.progress import VertexFinished, VertexLog
from corten.build.solve.failure import BuildFailed, ProcessFailed
from corten.build.solve.protocols import ExecRequest, Log, Terminal
from corten.build.solve.result import BuiltLayer
from corten.errors import CortenError, NotFound
from tests.unit.build.solve.world import World, context, copy, image, pause, run, step

pytestmark = pytest.mark.root  # views of layers are mounts


async def test_steps_run_in_order_and_stack_their_layers(world: World, base: Vertex) -> None:
    target = run(run(base, "one"), "two")
    built = await world.build(target)
    assert world.executor.ran == ["one", "two"]
    result = built.results.result(target)
    assert len(result.layers) == 3
    assert world.files(result) == {"bin/sh": "shell", "one": "one", "two": "two"}
    assert [built.results.layer(target, vertex) for vertex in (target.inputs[0], target)] == list(
        result.layers[1:]
    )
    built.results.close()


async def test_layers_of_the_target_are_told_when_they_are_made(world: World, base: Vertex) -> None:
    told: list[str] = []

    def made(layer: BuiltLayer) -> None:
        assert world.layers.contains(layer)
        told.append(layer.id)

    first, other = run(base, "one"), run(base, "other")
    target = copy(run(first, "two"), other, "/other", "/other")
    built = await world.build(target, made=made)
    result = built.results.result(target)
    assert told == [layer.id for layer in result.layers[1:]] and len(told) == 3
    built.results.close()
    told.clear()
    (await world.build(target, made=made)).results.close()
    assert told == []


async def test_nothing_runs_that_is_in_the_cache(world: World, base: Vertex) -> None:
    (await world.build(run(run(base, "one"), "two"))).results.close()
    world.executor.ran.clear()
    world.images.fetched.clear()
    built = await world.build(run(run(base, "one"), "two"))
    assert world.executor.ran == []
    assert built.ran == []
    assert built.cached == ["FROM docker.io/library/busybox", "RUN one", "RUN two"]
    assert world.files(built.results.result(list(built.results.items())[-1][0])).keys() >= {"one", "two"}
    built.results.close()


async def test_the_cache_outlives_the_engine(world: World, base: Vertex) -> None:
    (await world.build(run(base, "one"))).results.close()
    await world.solver.close()
    world.open()
    await world.solver.recover()
    world.executor.ran.clear()
    built = await world.build(run(base, "one"))
    assert (world.executor.ran, built.cached[-1]) == ([], "RUN one")
    built.results.close()


async def test_a_base_is_fetched_only_when_something_is_to_be_mounted(world: World, base: Vertex) -> None:
    built = await world.build(base)
    assert world.images.fetched == []
    assert len(built.results.result(base).layers) == 1
    built.results.close()
    (await world.build(run(base, "one"))).results.close()
    assert world.images.fetched == ["busybox"]


async def test_a_cached_result_needs_no_base(world: World, base: Vertex) -> None:
    target = run(base, "one")
    (await world.build(target)).results.close()
    world.store.snapshotter.remove(world.layers.known(_chain(world))[0].id)
    world.images.fetched.clear()
    built = await world.build(run(base, "one"))
    assert world.images.fetched == []
    assert built.cached[-1] == "RUN one"
    built.results.close()


def _chain(world: World) -> list[str]:
    (row,) = world.database.all("SELECT chain FROM records LIMIT 1")
    return str(row[0]).split()


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"environment": ("A=1",)}, False),
        ({"directory": "/tmp"}, False),
        ({"user": "app"}, False),
        ({"network": "none"}, False),
        ({"here_documents": (("EOF", b"x", 0o755),)}, False),
        ({"proxy": (("HTTP_PROXY", "http://p"),)}, True),
        ({"limits": Limits(memory=1 << 30)}, True),
        ({"extra_hosts": (("db", "10.0.0.1"),)}, False),
    ],
)
async def test_what_is_in_the_key_of_a_process(
    world: World, base: Vertex, change: dict[str, object], same: bool
) -> None:
    first = {"directory": "/"} | ({"extra_hosts": ()} if "extra_hosts" in change else {})
    (await world.build(_process(base, first))).results.close()
    built = await world.build(_process(base, first | change))
    assert (built.ran == []) is same
    built.results.close()


def _process(base: Vertex, more: dict[str, object]) -> Vertex:
    return step(Exec(("make",), **({"environment": ()} | more)), base, name="RUN make")  # type: ignore[arg-type]


async def test_addresses_of_extra_hosts_and_names_of_cache_mounts_are_in_no_key(
    world: World, base: Vertex
) -> None:
    def target(address: str, cache: str) -> Vertex:
        operation = Exec(
            ("make",), (), "/", extra_hosts=(("db", address),), mounts=(CacheMount(cache, "/cache"),)
        )
        return step(operation, base, name="RUN make")

    (await world.build(target("10.0.0.1", "one"))).results.close()
    built = await world.build(target("10.0.0.2", "two"))
    assert built.ran == []
    built.results.close()


async def test_another_time_of_files_is_another_result(world: World, base: Vertex) -> None:
    def target(epoch: int) -> Vertex:
        return Vertex(Exec(("make",), (), "/"), (base,), name="RUN make", epoch=epoch)

    (await world.build(target(1))).results.close()
    built = await world.build(target(2))
    assert built.ran == ["RUN make"]
    built.results.close()


async def test_files_are_known_by_their_contents(world: World, base: Vertex, here: Path) -> None:
    def target() -> Vertex:
        return run(copy(run(base, "before"), context(), "src", "/src"), "after")

    (await world.build(target())).results.close()
    (here / "src" / "a").write_text("a1")
    (here / "other").write_text("not copied")
    built = await world.build(target())
    assert built.ran == ["load build context"]
    built.results.close()
    (here / "src" / "a").write_text("a2")
    built = await world.build(target())
    assert built.ran == ["load build context", "COPY src /src", "RUN after"]
    assert world.executor.ran == ["before", "after", "after"]
    result = built.results.result(next(v for v, _ in built.results.items() if v.name == "RUN after"))
    assert world.files(result)["src/a"] == "a2"
    built.results.close()


async def test_a_new_file_is_read_once(world: World, base: Vertex, here: Path) -> None:
    asked: list[str] = []
    digest = world.solver._operations._digest

    def counting(tree: object, copy: Copy, *, stop: object = None) -> object:
        asked.append(copy.source)
        return digest(tree, copy)  # type: ignore[arg-type]

    world.solver._operations._digest = counting  # type: ignore[assignment]
    (await world.build(copy(base, context(), "src", "/src"))).results.close()
    assert asked == []
    assert world.writer.written == 1
    (await world.build(copy(base, context(), "src", "/src"))).results.close()
    assert asked == ["src"]
    assert world.writer.written == 1


async def test_a_stage_that_comes_to_the_same_files_changes_nothing_after_it(
    world: World, base: Vertex
) -> None:
    async def compile_(fs: Path, request: ExecRequest, log: Log) -> None:
        (fs / "app").write_text("binary")

    world.executor.processes |= {"make": compile_, "make -j2": compile_}

    def target(command: str) -> Vertex:
        return run(copy(base, run(base, command, stage="build"), "app", "/app"), "after")

    (await world.build(target("make"))).results.close()
    built = await world.build(target("make -j2"))
    assert built.ran == ["RUN make -j2"]
    assert "COPY app /app" in built.cached
    assert "RUN after" in built.cached
    built.results.close()


async def test_what_was_looked_at_in_a_stage_is_remembered(world: World, base: Vertex) -> None:
    def target(command: str) -> Vertex:
        return copy(run(base, command), run(base, "make", stage="build"), "make", "/app")

    (await world.build(target("one"))).results.close()
    world.images.fetched.clear()
    opened = world.layers.view
    looked: list[object] = []
    world.layers.view = lambda result: looked.append(result) or opened(result)  # type: ignore[method-assign,func-returns-value]
    (await world.build(target("one"))).results.close()
    assert looked == []


async def test_an_unused_stage_costs_nothing(world: World, base: Vertex) -> None:
    run(base, "unused", stage="unused")
    (await world.build(run(base, "used"))).results.close()
    assert world.executor.ran == ["used"]


async def test_independent_stages_run_together(world: World, base: Vertex) -> None:
    meet = asyncio.Barrier(3)

    async def wait(fs: Path, request: ExecRequest, log: Log) -> None:
        async with asyncio.timeout(20):
            await meet.wait()
        (fs / "out").write_text("x")

    world.executor.processes |= {"a": wait, "b": wait, "c": wait}
    final = copy(run(base, "c"), run(base, "a", stage="a"), "out", "/a")
    final = copy(final, run(base, "b", stage="b"), "out", "/b")
    (await world.build(final)).results.close()


async def test_jobs(world: World, base: Vertex) -> None:
    async def slow(fs: Path, request: ExecRequest, log: Log) -> None:
        await pause()
        (fs / "out").write_text("x")

    names = ["a", "b", "c", "d", "e"]
    world.executor.processes |= dict.fromkeys(names, slow)
    final = base
    for name in names:
        final = copy(final, run(base, name, stage=name), "out", f"/{name}")
    (await world.build(final, jobs=2)).results.close()
    assert world.executor.most == 2


async def test_an_operation_of_several_platforms_runs_once(world: World, base: Vertex) -> None:
    targets = [run(run(base, "same"), f"for-{platform}") for platform in ("amd64", "arm64")]
    (await world.build(*targets)).results.close()
    assert sorted(world.executor.ran) == ["for-amd64", "for-arm64", "same"]


async def test_concurrent_builds_share_what_they_run(world: World, base: Vertex) -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def slow(fs: Path, request: ExecRequest, log: Log) -> None:
        log(1, b"half\n")
        begun.set()
        await go.wait()
        (fs / "out").write_text("x")

    world.executor.processes["make"] = slow
    first = asyncio.create_task(world.build(run(base, "make")))
    await begun.wait()
    second = asyncio.create_task(world.build(run(base, "make")))
    await pause()
    first.cancel()
    await asyncio.wait({first})
    assert first.cancelled()
    go.set()
    built = await second
    assert world.executor.ran == ["make"]
    assert b"half\n" in [event.data for event in built.events if isinstance(event, VertexLog)]
    assert built.ran[-1] == "RUN make"
    built.results.close()


async def test_the_last_build_that_is_cancelled_ends_the_process(world: World, base: Vertex) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def forever(fs: Path, request: ExecRequest, log: Log) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await pause()
            ended.set()

    world.executor.processes["make"] = forever
    builds = [asyncio.create_task(world.build(run(base, "make"))) for _ in range(2)]
    await begun.wait()
    for build in builds:
        build.cancel()
    await asyncio.wait(builds)
    assert ended.is_set()
    assert world.executor.ran == ["make"]
    assert list(world.layers._own.staging.iterdir()) == []
    assert world.database.all("SELECT * FROM records") == []


async def test_a_failure_ends_everything_and_leaves_nothing(world: World, base: Vertex) -> None:
    ended = asyncio.Event()

    async def fail(fs: Path, request: ExecRequest, log: Log) -> None:
        raise ProcessFailed('process "make" did not complete successfully: exit code: 2', exit_code=2)

    async def forever(fs: Path, request: ExecRequest, log: Log) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    world.executor.processes |= {"make": fail, "other": forever}
    target = copy(run(base, "make"), run(base, "other", stage="b"), "x", "/x")
    events: list[object] = []
    with pytest.raises(BuildFailed, match="exit code: 2") as caught:
        await world.solver.solve([target], world.inputs(), events.append)
    assert caught.value.vertex.name == "RUN make"
    assert isinstance(caught.value.cause, ProcessFailed)
    assert ended.is_set()
    errors = {event.error for event in events if isinstance(event, VertexFinished)}
    assert errors >= {'process "make" did not complete successfully: exit code: 2', "canceled"}
    assert list(world.layers._own.staging.iterdir()) == []
    assert not world.solver.can_debug(caught.value)
    with pytest.raises(NotFound, match="nothing was kept"):
        await world.solver.debug(caught.value, ["sh"], Terminal(0))


async def test_a_step_that_failed_can_be_visited(world: World, base: Vertex) -> None:
    async def fail(fs: Path, request: ExecRequest, log: Log) -> None:
        raise ProcessFailed("exit code: 1", exit_code=1)

    world.executor.processes["make"] = fail
    with pytest.raises(BuildFailed) as caught:
        await world.solver.solve(
            [run(run(base, "before"), "make")], world.inputs(keep_failed=True), lambda event: None
        )
    world.solver.layers.sweep()
    assert await world.solver.debug(caught.value, ["sh"], Terminal(0)) == 3
    assert world.executor.debugged == [("RUN make", ["sh"])]
    world.solver.forget(caught.value)
    assert not world.solver.can_debug(caught.value)


async def test_missing_inputs_blame_the_right_step(world: World, base: Vertex, here: Path) -> None:
    for target, name in (
        (copy(base, context(), "nowhere", "/x"), "COPY nowhere /x"),
        (copy(base, context("other"), "x", "/x"), "load build context"),
        (
            run(
                Vertex(
                    world.images.add("a", {}).__class__("gone@x", world.images.add("a", {}).platform),
                    name="FROM gone",
                ),
                "x",
            ),
            "FROM gone",
        ),
    ):
        with pytest.raises(BuildFailed) as caught:
            await world.build(target)
        assert caught.value.vertex.name == name


async def test_again(world: World, base: Vertex) -> None:
    """What runs again takes everything that builds upon it along."""

    def target(again: bool) -> Vertex:
        return copy(run(run(base, "one", again=again), "two"), run(base, "make", stage="b"), "make", "/x")

    (await world.build(target(False))).results.close()
    world.executor.ran.clear()
    built = await world.build(target(True))
    assert world.executor.ran == ["one", "two"]
    assert "RUN make" not in built.ran
    first = built.results.result(next(v for v, _ in built.results.items() if v.name.startswith("COPY")))
    built.results.close()
    world.executor.ran.clear()
    built = await world.build(target(False))
    assert world.executor.ran == []
    result = built.results.result(next(v for v, _ in built.results.items() if v.name.startswith("COPY")))
    assert result == first
    built.results.close()


async def test_again_once_for_all_platforms(world: World, base: Vertex) -> None:
    targets = [run(run(base, "same", again=True), f"for-{platform}") for platform in ("amd64", "arm64")]
    (await world.build(*targets)).results.close()
    assert world.executor.ran.count("same") == 1


async def test_keys_are_the_same_on_another_machine(
    world: World, base: Vertex, here: Path, tmp_path: Path
) -> None:
    def target(again: bool) -> Vertex:
        return copy(run(base, "one", again=again), context(), "src", "/src")

    (await world.build(target(False))).results.close()
    built = await world.build(target(True))
    other = World(tmp_path / "other")
    other.images.add("busybox", {"bin/sh": "shell"})
    other.sources.contexts["context"] = here
    elsewhere = await other.build(target(False))
    assert [solved.key for _, solved in built.results.items()] == [
        solved.key for _, solved in elsewhere.results.items()
    ]
    built.results.close()
    elsewhere.results.close()
    await other.close()


async def test_a_layer_that_depends_on_nothing_below(world: World, here: Path) -> None:
    """COPY --link."""

    def target(command: str) -> Vertex:
        below = run(image(world.images.add("busybox", {"bin/sh": "shell"})), command)
        linked = copy(None, context(), "src", "/src")
        return step(Merge(), below, linked, name="COPY --link")

    built = await world.build(target("one"))
    built.results.close()
    built = await world.build(target("two"))
    assert built.ran == ["load build context", "RUN two"]
    (last,) = [v for v, _ in built.results.items() if v.name == "COPY --link"]
    assert world.files(built.results.result(last)).keys() == {"bin/sh", "two", "src/a", "src/b"}
    made = built.results.layer(last, last.inputs[1])  # type: ignore[arg-type]
    assert made == built.results.result(last).layers[-1]
    built.results.close()


async def test_no_layer_for_a_directory_that_is_there(world: World, base: Vertex) -> None:
    target = step(FileOperation((MakeDirectory("/bin"),)), base, name="WORKDIR /bin")
    built = await world.build(target)
    assert len(built.results.result(target).layers) == 1
    assert built.results.layer(target, target) is None
    built.results.close()
    built = await world.build(step(FileOperation((MakeDirectory("/bin"),)), base, name="WORKDIR /bin"))
    assert built.ran == []
    built.results.close()


async def test_files_from_nowhere(world: World) -> None:
    target = step(FileOperation((WriteFile("/x", "x", b"data"),)), None, name="COPY <<x /x")
    built = await world.build(target)
    assert world.files(built.results.result(target)) == {"x": "data"}
    built.results.close()


async def test_bind_mounts_are_known_by_what_they_show(world: World, base: Vertex, here: Path) -> None:
    seen: list[dict[str, str]] = []

    async def look(fs: Path, request: ExecRequest, log: Log) -> None:
        seen.append(world.files(request.binds[0]))

    world.executor.processes["make"] = look

    def target() -> Vertex:
        operation = Exec(("make",), (), "/", mounts=(BindMount(1, "src/a", "/a"),))
        return step(operation, base, context(), name="RUN make")

    (await world.build(target())).results.close()
    assert seen == [{"src/a": "a1"}]
    (here / "src" / "b").write_text("b2")
    (await world.build(target())).results.close()
    assert len(seen) == 1
    (here / "src" / "a").write_text("a2")
    (await world.build(target())).results.close()
    assert seen[1] == {"src/a": "a2"}


async def test_a_mount_of_another_stage(world: World, base: Vertex) -> None:
    def target(command: str) -> Vertex:
        operation = Exec(("use",), (), "/", mounts=(BindMount(1, "/same", "/mnt"),))
        return step(operation, base, run(run(base, command, stage="a"), "same", stage="a"), name="RUN use")

    (await world.build(target("one"))).results.close()
    world.executor.ran.clear()
    built = await world.build(target("two"))
    assert world.executor.ran == ["two", "same"]
    assert "RUN use" in built.cached
    built.results.close()


async def test_downloads_with_a_checksum_are_not_made_when_nothing_needs_them(
    world: World, base: Vertex, here: Path
) -> None:
    world.sources.contexts["download"] = here / "src"

    def target(checksum: str) -> Vertex:
        source = Vertex(HttpSource("https://example.com/a", "a", checksum), name="https://example.com/a")
        return copy(base, source, "a", "/a")

    (await world.build(target("sha256:1"))).results.close()
    (await world.build(target("sha256:1"))).results.close()
    assert world.sources.opened == ["download"]
    (await world.build(target("sha256:2"))).results.close()
    assert world.sources.opened == ["download"] * 2


async def test_two_builds_of_the_same_files_write_them_once(world: World, base: Vertex, here: Path) -> None:
    go = threading.Event()
    world.writer.wait = lambda: go.wait(20) and None
    first = asyncio.create_task(world.build(copy(base, context(), "src", "/src")))
    while not world.writer.written:
        await pause()
    second = asyncio.create_task(world.build(copy(base, context(), "src", "/src")))
    await pause(0.1)
    go.set()
    one, two = await first, await second
    assert world.writer.written == 1
    one.results.close()
    two.results.close()


async def test_a_cancelled_copy_stops(world: World, base: Vertex, here: Path) -> None:
    go = threading.Event()
    world.writer.wait = lambda: go.wait(20) and None
    build = asyncio.create_task(world.build(copy(base, context(), "src", "/src")))
    while not world.writer.written:
        await pause()
    build.cancel()
    await pause()
    assert not build.done()
    go.set()
    await asyncio.wait({build})
    assert build.cancelled()
    assert list(world.layers._own.staging.iterdir()) == []


async def test_a_lost_layer_is_made_again(world: World, base: Vertex) -> None:
    (await world.build(run(base, "one"))).results.close()
    (name,) = world.layers._own.walk()
    world.layers._own.remove(name)
    world.executor.ran.clear()
    built = await world.build(run(base, "one"))
    assert world.executor.ran == ["one"]
    built.results.close()


async def test_results_of_a_build_are_not_swept(world: World, base: Vertex) -> None:
    built = await world.build(run(base, "one"))
    world.database.all("DELETE FROM records")
    world.layers.sweep()
    target = list(built.results.items())[-1][0]
    assert "one" in world.files(built.results.result(target))
    built.results.close()
    world.layers.sweep()
    assert list(world.layers._own.walk()) == []


@pytest.mark.parametrize("kind", [CortenError, OSError])
async def test_what_fails_in_a_step_is_the_steps(
    world: World, base: Vertex, kind: Callable[[str], Exception]
) -> None:
    async def fail(fs: Path, request: ExecRequest, log: Log) -> None:
        raise kind("it broke")

    world.executor.processes["make"] = fail
    with pytest.raises(BuildFailed, match="it broke"):
        await world.build(run(base, "make"))
