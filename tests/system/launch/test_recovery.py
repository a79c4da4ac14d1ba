"""What survives the death of the engine, of the launcher, of the monitor."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from corten.errors import Unavailable
from corten.launch.client import Launcher, Monitor, read_exit, read_state
from corten.launch.launcher import SPARES
from corten.launch.log import LogQuery, LogReader
from tests.system.launch.harness import HERE, Harness, descendants, is_alive, state_of, until

ENGINE = """
import asyncio, sys
from pathlib import Path
from corten.launch.client import Launcher, LaunchRequest
from corten.runtime.operations import Plan

async def main():
    base = Path(sys.argv[1])
    launcher = await Launcher.start(run_dir=base / "run", executor="fake_execute", module_path=(sys.argv[2],))
    monitors = []
    for number, argv in enumerate(eval(sys.argv[3])):
        monitors.append(await launcher.launch(LaunchRequest(
            container_id=f"c{number}", plan=Plan({"argv": argv, "clone_flags": 0}, (), ()),
            run_dir=base / "run" / "containers" / f"c{number}", log_path=base / f"c{number}.log",
            hold=sys.argv[4] == "hold",
        )))
    for monitor in monitors:
        await (monitor.created() if sys.argv[4] == "hold" else monitor.start())
    print(launcher.pid, flush=True)
    await asyncio.sleep(100)

asyncio.run(main())
"""


def engine(
    directory: Path, *commands: tuple[str, ...], hold: bool = False
) -> tuple[subprocess.Popen[bytes], int]:
    """An engine process that has started `commands`, and the pid of its launcher."""
    src = str(Path(sys.modules["corten"].__file__).parent.parent)
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            textwrap.dedent(ENGINE),
            str(directory),
            HERE,
            repr(commands),
            "hold" if hold else "",
        ],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": src},
    )
    return process, int(process.stdout.readline())


def kill(process):
    process.kill()
    process.wait()
    process.stdout.close()


async def connected(run_dir: Path) -> Monitor:
    return await asyncio.wait_for(Monitor.connect(run_dir), 10)


def test_an_engine_killed_in_the_middle_of_output_loses_none(tmp_path):
    script = "for i in $(seq 1 300); do echo line $i; echo err $i >&2; sleep 0.002; done; exit 9"
    process, launcher_pid = engine(tmp_path, ("sh", "-c", script))
    kill(process)

    async def scenario():
        monitor = await connected(tmp_path / "run/containers/c0")
        assert monitor.container_id == "c0"
        assert monitor.pid == (await state_of(tmp_path / "run/containers/c0")).pid
        await monitor.start()  # has started: returns at once
        status = await asyncio.wait_for(monitor.wait(), 30)
        assert status.code == 9
        monitor.close()

    asyncio.run(scenario())
    log = LogReader(tmp_path / "c0.log")
    assert b"".join(log.read(LogQuery(mux=False, stderr=False))) == b"".join(
        b"line %d\n" % n for n in range(1, 301)
    )
    assert b"".join(log.read(LogQuery(mux=False, stdout=False))) == b"".join(
        b"err %d\n" % n for n in range(1, 301)
    )
    assert not is_alive(launcher_pid)


def test_an_exit_while_no_engine_runs_is_kept(tmp_path):
    process, _launcher = engine(tmp_path, ("sh", "-c", "sleep 0.2; echo late; exit 5"))
    kill(process)
    run_dir = tmp_path / "run/containers/c0"

    async def scenario():
        await until(lambda: read_exit(run_dir) is not None)
        assert read_exit(run_dir).code == 5
        assert b"".join(LogReader(tmp_path / "c0.log").read(LogQuery(mux=False))) == b"late\n"
        await until(lambda: not is_alive(read_state(run_dir).monitor_pid))
        with pytest.raises(Unavailable):
            await Monitor.connect(run_dir)

    asyncio.run(scenario())


def test_a_held_container_waits_for_the_next_engine(tmp_path):
    process, _launcher = engine(tmp_path, ("sh", "-c", "echo ran"), hold=True)
    kill(process)

    async def scenario():
        monitor = await connected(tmp_path / "run/containers/c0")
        assert monitor.started_at_ns == 0
        assert is_alive(monitor.pid)
        await monitor.start()
        assert (await monitor.wait()).code == 0
        assert monitor.started_at_ns > 0
        monitor.close()

    asyncio.run(scenario())
    assert b"".join(LogReader(tmp_path / "c0.log").read(LogQuery(mux=False))) == b"ran\n"


def test_the_next_launcher_begins_when_the_last_one_has_finished(tmp_path):
    process, first = engine(tmp_path, ("sleep", "100"))
    kill(process)

    async def scenario():
        launcher = await Launcher.start(
            run_dir=tmp_path / "run", executor="fake_execute", module_path=(HERE,)
        )
        assert not is_alive(first)
        old = await connected(tmp_path / "run/containers/c0")
        harness = Harness(tmp_path, launcher)
        new = await harness.start("c1", "true")
        assert (await new.wait()).code == 0
        await old.kill(signal.SIGKILL)
        assert (await old.wait()).signal == 9
        old.close()
        await harness.close()

    asyncio.run(scenario())


def test_a_monitor_that_is_killed_takes_its_container_along(scene):
    async def scenario(harness):
        monitor = await harness.start("one", "sleep", "100")
        os.kill((await state_of(harness.run_dir("one"))).monitor_pid, signal.SIGKILL)
        with pytest.raises(Unavailable, match="the monitor of one is gone"):
            await monitor.wait()
        await until(lambda: not is_alive(monitor.pid))
        assert read_exit(harness.run_dir("one")) is None
        with pytest.raises(Unavailable):
            await Monitor.connect(harness.run_dir("one"))
        with pytest.raises(Unavailable):
            await monitor.resize(1, 1)
        assert (await (await harness.start("two", "true")).wait()).code == 0

    scene(scenario)


def test_a_launcher_that_is_killed_is_started_again(scene):
    async def scenario(harness):
        old = await harness.start("one", "sh", "-c", "sleep 0.5; echo still; exit 2")
        first = harness.launcher.pid
        os.kill(first, signal.SIGKILL)
        await until(lambda: harness.launcher.pid not in (0, first))
        assert (await (await harness.start("two", "true")).wait()).code == 0
        assert (await old.wait()).code == 2
        assert b"".join(LogReader(harness.log("one")).read(LogQuery(mux=False))) == b"still\n"

    scene(scenario)


def test_a_spare_gets_its_request_past_a_launcher_that_does_not_run(scene):
    async def scenario(harness):
        await (await harness.start("one", "true")).wait()
        await until(lambda: len(harness.launcher.spares) == SPARES)
        os.kill(harness.launcher.pid, signal.SIGSTOP)
        try:
            assert (await (await harness.start("two", "sh", "-c", "exit 2")).wait()).code == 2
        finally:
            os.kill(harness.launcher.pid, signal.SIGCONT)
        await until(lambda: len(harness.launcher.spares) == SPARES)

    scene(scenario)


def test_spares_that_somebody_has_killed_are_passed_over(scene):
    async def scenario(harness):
        await until(lambda: len(harness.launcher.spares) == SPARES)
        os.kill(harness.launcher.pid, signal.SIGSTOP)
        for pid in await asyncio.to_thread(descendants, harness.launcher.pid):
            os.kill(pid, signal.SIGKILL)
            await asyncio.to_thread(until_dead, pid)
        request = asyncio.create_task(harness.start("one", "sh", "-c", "exit 3"))
        await asyncio.sleep(0.05)
        os.kill(harness.launcher.pid, signal.SIGCONT)
        assert (await (await request).wait()).code == 3

    scene(scenario)


def test_requests_while_the_launcher_is_gone_wait_for_the_next(scene):
    async def scenario(harness):
        os.kill(harness.launcher.pid, signal.SIGSTOP)
        first = harness.launcher.pid
        requests = [asyncio.create_task(harness.start(f"c{n}", "true")) for n in range(3)]
        await asyncio.sleep(0.05)
        os.kill(first, signal.SIGKILL)
        await until(lambda: harness.launcher.pid not in (0, first))
        done = await asyncio.gather(*requests, return_exceptions=True)
        # What the dead launcher had in its socket is lost, and said to be: nothing hangs, nothing runs twice.
        assert all(isinstance(each, Unavailable) or each.pid for each in done)
        assert (await (await harness.start("after", "true")).wait()).code == 0

    scene(scenario)


def test_two_engines_may_look_at_one_container(scene):
    async def scenario(harness):
        first = await harness.start("one", "sleep", "100")
        second = await connected(harness.run_dir("one"))
        assert second.pid == first.pid
        await second.kill(signal.SIGTERM)
        assert await first.wait() == await second.wait()
        second.close()

    scene(scenario)


def test_exit_json_is_what_was_told(scene):
    async def scenario(harness):
        monitor = await harness.start("one", "sh", "-c", "exit 3")
        status = await monitor.wait()
        told = json.loads((harness.run_dir("one") / "exit.json").read_text())
        assert told == {
            "code": 3,
            "signal": 0,
            "oom_killed": False,
            "finished_at_ns": status.finished_at_ns,
            "error": "",
        }

    scene(scenario)


def test_a_launch_right_after_the_launcher_was_killed(scene):
    async def scenario(harness):
        for n in range(3):
            pid = harness.launcher.pid
            os.kill(pid, signal.SIGKILL)
            await asyncio.to_thread(until_dead, pid)
            monitor = await harness.start(f"c{n}", "sh", "-c", f"exit {n}")
            assert (await monitor.wait()).code == n

    scene(scenario)


def until_dead(pid):
    for _ in range(1000):
        if not is_alive(pid):
            return
        time.sleep(0.005)


def test_a_launcher_that_cannot_start_is_an_error_not_a_hang(tmp_path):
    async def scenario():
        with pytest.raises(Unavailable, match="the launcher ended before it was ready"):
            await Launcher.start(run_dir=tmp_path, executor="no_such_module")

    asyncio.run(scenario())
