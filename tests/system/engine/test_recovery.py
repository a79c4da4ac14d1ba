"""The engine is killed at any moment: no container, no output line and no exit status may be lost."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from corten.api.host_config import RestartPolicy
from corten.engine.engine import Engine
from corten.engine.paths import Paths
from corten.errors import Conflict, CortenError, IntegrityError
from tests.system.engine.conftest import Boat

pytestmark = pytest.mark.root

Body = Callable[[Boat], Awaitable[object]]


@pytest.fixture
def killed_engine(busybox_paths: Paths) -> Iterator[Callable[[Body], object]]:
    """Runs a body on an engine in a process of its own, which then gets SIGKILL; gives what it returned."""

    def run(body: Body) -> object:
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            asyncio.run(_in_child(busybox_paths, body, writer))
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as answer:
            text = answer.read()
        os.waitpid(pid, 0)
        assert text, "the engine died before its time"
        return json.loads(text)

    yield run
    asyncio.run(_remove_everything(busybox_paths))


async def _in_child(paths: Paths, body: Body, writer: int) -> None:
    engine = await Engine.start(paths)
    result = await body(Boat(engine))
    os.write(writer, json.dumps(result).encode())
    os.kill(os.getpid(), signal.SIGKILL)


async def _remove_everything(paths: Paths) -> None:
    engine = await Engine.start(paths)
    for container in await engine.containers.list(all=True):
        await engine.containers.remove(container.id, force=True, volumes=True)
    await engine.close()


def runs(pid: int) -> bool:
    """Whether the process lives; one that nobody has reaped yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False


def on_next_engine(paths: Paths, body: Body) -> object:
    async def run() -> object:
        engine = await Engine.start(paths)
        try:
            return await body(Boat(engine))
        finally:
            await engine.close()

    return asyncio.run(run())


def test_what_runs_goes_on_and_is_found(killed_engine: Callable[[Body], object], engine_paths: Paths) -> None:
    async def before(boat: Boat) -> object:
        identity = await boat.start(
            "sh", "-c", "i=0; while :; do echo $((i=i+1)); sleep 0.01; done", name="runner"
        )
        return [identity, (await boat.containers.inspect(identity)).state.pid]

    identity, pid = killed_engine(before)  # type: ignore[misc]
    time.sleep(0.3)

    async def after(boat: Boat) -> object:
        found = await boat.containers.inspect("runner")
        assert (found.id, found.state.pid, found.state.status) == (identity, pid, "running")
        await boat.exec(identity, "true")
        await boat.containers.stop("runner", timeout=0)
        out, _ = await boat.output(identity)
        numbers = [int(line) for line in out.split()]
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) > 20
        return (await boat.containers.inspect("runner")).state.exit_code

    assert on_next_engine(engine_paths, after) == 137


def test_an_end_without_an_engine_is_known_to_the_next(
    killed_engine: Callable[[Body], object], engine_paths: Paths
) -> None:
    async def before(boat: Boat) -> object:
        return await boat.start("sh", "-c", "sleep 0.3; echo last words; exit 42", name="ender")

    identity = killed_engine(before)
    time.sleep(0.6)

    async def after(boat: Boat) -> object:
        state = (await boat.containers.inspect("ender")).state
        assert (state.status, state.exit_code, state.pid) == ("exited", 42, 0)
        assert state.started_at < state.finished_at
        assert (await boat.output(str(identity)))[0] == "last words\n"
        return True

    assert on_next_engine(engine_paths, after)


def test_policies_start_what_ended(killed_engine: Callable[[Body], object], engine_paths: Paths) -> None:
    async def before(boat: Boat) -> object:
        for name, policy in (
            ("ever", "always"),
            ("not", "no"),
            ("stopped", "unless-stopped"),
            ("up", "unless-stopped"),
        ):
            await boat.start("sleep", "60", name=name, host={"restart_policy": RestartPolicy(name=policy)})
        await boat.containers.stop("stopped", timeout=0)
        return [(await boat.containers.inspect(name)).state.pid for name in ("ever", "not", "up")]

    for pid in killed_engine(before):  # type: ignore[attr-defined]
        os.kill(pid, signal.SIGKILL)

    async def after(boat: Boat) -> object:
        for _ in range(100):
            found = [await boat.status(name) for name in ("ever", "not", "stopped", "up")]
            if found == ["running", "exited", "exited", "running"]:
                return True
            await asyncio.sleep(0.05)
        return found

    assert on_next_engine(engine_paths, after) is True


def test_half_made_things_are_gone(killed_engine: Callable[[Body], object], engine_paths: Paths) -> None:
    async def before(boat: Boat) -> object:
        removed = await boat.create("true", name="removed")
        kept = await boat.create("true", name="kept")
        # A removal that was cut short, a create that was cut short, and a run directory of nobody.
        boat.engine.paths.container(removed).rename(boat.engine.paths.trash / "cut-short")
        (boat.engine.paths.containers / ("f" * 64) / "upper").mkdir(parents=True)
        (boat.engine.paths.container_runs / ("e" * 64)).mkdir()
        (boat.engine.paths.volumes / "half" / "_data").mkdir(parents=True)
        return kept

    kept = killed_engine(before)

    async def after(boat: Boat) -> object:
        assert [item.id for item in await boat.containers.list(all=True)] == [kept]
        assert [path.name for path in boat.engine.paths.containers.iterdir()] == [kept]
        assert not list(boat.engine.paths.container_runs.iterdir())
        assert not list(boat.engine.paths.volumes.iterdir())
        for _ in range(100):
            if not list(boat.engine.paths.trash.iterdir()):
                return True
            await asyncio.sleep(0.05)
        return False

    assert on_next_engine(engine_paths, after) is True


def test_killed_at_random_moments(busybox_paths: Paths) -> None:
    """What a client was told must be true afterwards, whenever the engine died."""
    chance = random.Random(7)
    told: dict[str, str] = {}
    for round in range(8):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            asyncio.run(_work(busybox_paths, writer, round))
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as lines:
            assert lines.readline() == "ready\n"
            time.sleep(chance.uniform(0, 0.25))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            for line in lines:
                if line.endswith("\n"):
                    name, _, state = line.strip().partition(" ")
                    told[name] = state
    assert told

    async def check(boat: Boat) -> object:
        for name, state in told.items():
            if state == "removed":
                with pytest.raises(CortenError):
                    await boat.containers.inspect(name)
                continue
            try:
                found = (await boat.containers.inspect(name)).state
            except CortenError:
                assert state == "ended", (name, state)  # the removal was under way
                continue
            if state == "created":
                assert found.status in ("created", "running", "exited"), (name, found)
            else:
                # Started: it ends by itself with 3, and nothing else may be remembered.
                assert found.status in ("running", "exited"), (name, state, found)
                if found.status == "exited":
                    assert found.exit_code == 3, (name, found)
        for container in await boat.containers.list(all=True):
            await boat.containers.remove(container.id, force=True)
        return True

    assert on_next_engine(busybox_paths, check)


async def _work(paths: Paths, writer: int, round: int) -> None:
    """Containers that live for a moment; every step is told once its answer was there."""
    engine = await Engine.start(paths)
    boat = Boat(engine)
    os.write(writer, b"ready\n")

    async def one(number: int) -> None:
        name = f"c{round}-{number}"

        def tell(state: str) -> None:
            os.write(writer, f"{name} {state}\n".encode())

        identity = await boat.create("sh", "-c", "exit 3", name=name)
        tell("created")
        waiter = boat.containers.wait(identity, "next-exit")
        await boat.containers.start(identity)
        tell("started")
        await waiter.result()
        tell("ended")
        if number % 2:
            await boat.containers.remove(identity)
            tell("removed")

    for start in range(0, 1000, 4):
        await asyncio.gather(*(one(start + offset) for offset in range(4)))


async def test_a_second_engine_is_refused(boat: Boat) -> None:
    with pytest.raises(Conflict, match="another engine is using"):
        await Engine.start(boat.engine.paths)
    elsewhere = Paths(boat.engine.paths.root, boat.engine.paths.run.parent / "other")
    with pytest.raises(Conflict, match="another engine is using"):
        await Engine.start(elsewhere)


def test_a_damaged_database_is_named(engine_paths: Paths) -> None:
    engine_paths.make()
    engine_paths.database.write_bytes(b"this is no database, it is only text " * 100)
    with pytest.raises(IntegrityError, match="is damaged"):
        asyncio.run(Engine.start(engine_paths))


def test_a_monitor_that_is_killed_takes_its_container_along(busybox_paths: Paths) -> None:
    async def body() -> None:
        engine = await Engine.start(busybox_paths)
        boat = Boat(engine)
        identity = await boat.start("sleep", "60")
        file = busybox_paths.container_run(identity) / "state.json"
        while not file.exists():
            await asyncio.sleep(0.01)
        state = json.loads(file.read_text())
        os.kill(state["monitor_pid"], signal.SIGKILL)
        waiter = boat.containers.wait(identity)
        assert (await asyncio.wait_for(waiter.result(), 15)).status_code == 137
        assert not runs(state["pid"])
        await boat.containers.remove(identity)
        await engine.close()

    asyncio.run(body())


def test_the_process_of_the_engine_ends_cleanly(engine_paths: Paths) -> None:
    """SIGTERM: exit 0, and its sockets are gone."""
    reader, writer = os.pipe()
    environment = {**os.environ, "CORTEN_ROOT": str(engine_paths.root), "CORTEN_RUN": str(engine_paths.run)}
    process = subprocess.Popen(
        [sys.executable, "-m", "corten.daemon"],
        env={**environment, "CORTEN_READY_FD": str(writer)},
        pass_fds=(writer,),
    )
    os.close(writer)
    with os.fdopen(reader, "rb") as ready:
        assert ready.read(1) == b"1"
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert not engine_paths.socket.exists()
