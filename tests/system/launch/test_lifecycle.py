"""Start, end and what is said of it."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import stat
from pathlib import Path

import pytest

from corten.errors import CommandNotFound, Conflict, InvalidArgument
from corten.launch.client import read_exit, read_state
from corten.launch.launcher import SPARES
from corten.launch.log import LogQuery, LogReader
from corten.linux.sealed import is_sealed
from tests.system.launch.harness import descendants, is_alive, open_fds, state_of, until


def log_text(harness, name):
    return b"".join(LogReader(harness.log(name)).read(LogQuery(mux=False)))


@pytest.mark.parametrize(
    ("script", "code", "signalled"),
    [
        ("exit 0", 0, 0),
        ("exit 7", 7, 0),
        ("kill -9 $$", 137, 9),
        ("kill -15 $$", 143, 15),
        ("exit 137", 137, 0),
    ],
)
def test_exit_status_tells_codes_from_signals(scene, script, code, signalled):
    async def scenario(harness):
        monitor = await harness.start("one", "sh", "-c", script)
        status = await monitor.wait()
        assert (status.code, status.signal, status.oom_killed, status.error) == (code, signalled, False, "")
        assert status == await monitor.wait()
        assert read_exit(harness.run_dir("one")) == status

    scene(scenario)


def test_all_output_is_in_the_log_when_the_exit_is_told(scene):
    async def scenario(harness):
        for round_ in range(10):
            name = f"c{round_}"
            monitor = await harness.start(name, "sh", "-c", "seq 1 20000; echo end; echo oops >&2; exit 3")
            assert (await monitor.wait()).code == 3
            lines = b"".join(b"%d\n" % n for n in range(1, 20001)) + b"end\n"
            reader = LogReader(harness.log(name))
            assert b"".join(reader.read(LogQuery(mux=False, stderr=False))) == lines
            assert b"".join(reader.read(LogQuery(mux=False, stdout=False))) == b"oops\n"

    scene(scenario)


def test_state_json_says_who_runs(scene):
    async def scenario(harness):
        monitor = await harness.start("one", "sleep", "100")
        state = await state_of(harness.run_dir("one"))
        assert state.container_id == "one"
        assert state.pid == monitor.pid
        assert monitor.started_at_ns >= state.started_at_ns > 0
        with open(f"/proc/{state.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        assert (int(fields[19]), int(fields[1])) == (state.pid_start_time, state.monitor_pid)
        with open(f"/proc/{state.monitor_pid}/comm") as file:
            assert file.read() == "corten-monitor\n"
        assert os.getsid(state.monitor_pid) == state.monitor_pid
        assert read_exit(harness.run_dir("one")) is None
        await monitor.kill(signal.SIGTERM)
        assert (await monitor.wait()).code == 143

    scene(scenario)


def test_a_command_that_is_not_there(scene):
    async def scenario(harness):
        monitor = await harness.launch("one", "no-such-command")
        with pytest.raises(CommandNotFound, match="executable file not found in \\$PATH"):
            await monitor.start()
        await monitor.gone()
        assert read_exit(harness.run_dir("one")).code == 127
        assert "no-such-command" in read_exit(harness.run_dir("one")).error

    scene(scenario)


def test_hold_waits_before_the_command_runs(scene):
    async def scenario(harness):
        monitor = await harness.launch("one", "sh", "-c", "echo ran", hold=True)
        pid = await monitor.created()
        await asyncio.sleep(0.1)
        assert is_alive(pid)
        assert log_text(harness, "one") == b""
        await until(lambda: read_state(harness.run_dir("one")) is not None)
        assert read_state(harness.run_dir("one")).started_at_ns == 0
        await monitor.start()
        assert (await monitor.wait()).code == 0
        assert log_text(harness, "one") == b"ran\n"
        assert read_state(harness.run_dir("one")).started_at_ns > 0

    scene(scenario)


def test_a_held_container_whose_command_is_not_there(scene):
    async def scenario(harness):
        monitor = await harness.launch("one", "no-such-command", hold=True)
        await monitor.created()
        with pytest.raises(CommandNotFound):
            await monitor.start()
        await monitor.gone()
        assert read_exit(harness.run_dir("one")).code == 127

    scene(scenario)


def test_a_held_container_that_is_killed(scene):
    async def scenario(harness):
        monitor = await harness.launch("one", "true", hold=True)
        await monitor.created()
        await asyncio.sleep(0.05)
        await monitor.kill(signal.SIGKILL)
        assert (await monitor.wait()).code == 137

    scene(scenario)


def test_the_same_run_directory_again(scene):
    async def scenario(harness):
        for code in (1, 2, 3):
            monitor = await harness.start("one", "sh", "-c", f"echo {code}; exit {code}")
            assert (await monitor.wait()).code == code
        assert log_text(harness, "one") == b"1\n2\n3\n"

    scene(scenario)


def test_an_argument_of_a_megabyte_goes_by_memfd(scene):
    async def scenario(harness):
        words = ["x" * 100_000] * 10  # one argument holds at most 128 KiB
        monitor = await harness.start("one", "sh", "-c", "echo $#", "sh", *words)
        assert (await monitor.wait()).code == 0
        assert log_text(harness, "one") == b"10\n"

    scene(scenario)


def test_stdio_of_the_clients_own(scene, tmp_path):
    async def scenario(harness):
        out_read, out_write = os.pipe()
        with open("/dev/null") as null:
            monitor = await harness.start(
                "one", "sh", "-c", "echo direct", stdio="fds", fds=(null.fileno(), out_write, out_write)
            )
        os.close(out_write)
        assert (await monitor.wait()).code == 0
        await monitor.gone()
        assert os.read(out_read, 100) == b"direct\n"
        assert os.read(out_read, 100) == b""  # nobody else holds it
        os.close(out_read)

    scene(scenario)


def test_stdin_is_empty_unless_it_is_opened(scene):
    async def scenario(harness):
        monitor = await harness.start("one", "cat")
        assert (await monitor.wait()).code == 0

    scene(scenario)


def test_an_exec_does_not_wait_for_what_it_left_behind(scene):
    async def scenario(harness):
        monitor = await harness.start("one", "sh", "-c", "echo said; sleep 50 & echo $!; exit 4")
        status = await asyncio.wait_for(monitor.wait(), 5)
        assert status.code == 4
        said, child = log_text(harness, "one").split()
        assert said == b"said"
        os.kill(int(child), signal.SIGKILL)

    scene(scenario)


def test_signals_to_what_has_ended(scene):
    async def scenario(harness):
        monitor = await harness.start("one", "true")
        await monitor.wait()
        with pytest.raises(Conflict, match="not running"):
            await monitor.kill(signal.SIGTERM)
        monitor = await harness.start("two", "sleep", "9")
        with pytest.raises(InvalidArgument):
            await monitor.kill(999)

    scene(scenario)


def test_signals_are_as_a_process_expects_them(scene):
    async def scenario(harness):
        monitor = await harness.start("one", "grep", "SigIgn", "/proc/self/status")
        await monitor.wait()
        assert int(log_text(harness, "one").split()[1], 16) == 0

    scene(scenario)


def test_no_descriptor_reaches_the_container(scene):
    async def scenario(harness):
        monitor = await harness.start("one", "ls", "/proc/self/fd", hold=True, open_stdin=True)
        await monitor.wait()
        assert log_text(harness, "one").split() == [b"0", b"1", b"2", b"3"]  # 3 is the listing's own

    scene(scenario)


def test_what_is_left_in_files_and_descriptors(scene):
    async def scenario(harness):
        monitor = await harness.start("warm", "true")
        await monitor.wait()
        await monitor.gone()
        monitor.close()
        await until(lambda: len(harness.launcher.spares) == SPARES)
        before = open_fds()
        for n in range(20):
            monitor = await harness.start(f"c{n}", "true")
            await monitor.wait()
            await monitor.gone()
            monitor.close()
        await until(lambda: len(harness.launcher.spares) == SPARES)
        assert open_fds() == before
        names = sorted(path.name for path in harness.run_dir("c3").iterdir())
        assert names == ["exit.json", "monitor.sock", "state.json"]
        assert set(json.loads((harness.run_dir("c3") / "exit.json").read_text())) == {
            "code",
            "signal",
            "oom_killed",
            "finished_at_ns",
            "error",
        }
        assert stat.S_IMODE(harness.run_dir("c3").stat().st_mode) == 0o700
        children = await asyncio.to_thread(descendants, harness.launcher.pid)
        assert len(children) <= 2 * SPARES, "only spare monitors and their starters may be left"

    scene(scenario)


def test_sixteen_at_a_time(scene):
    async def scenario(harness):
        async def one(n):
            monitor = await harness.start(f"c{n}", "sh", "-c", f"exit {n}")
            return (await monitor.wait()).code

        assert await asyncio.gather(*(one(n) for n in range(64))) == list(range(64))

    scene(scenario)


def test_the_limit_of_open_files_is_what_the_engine_was_started_with(scene):
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (777, before[1]))

    async def scenario(harness):
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == before[1]
        monitor = await harness.start("one", "sh", "-c", "ulimit -n; ulimit -Hn")
        await monitor.wait()
        assert log_text(harness, "one") == b"777\n%d\n" % before[1]

    try:
        scene(scenario)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.root
def test_the_interpreter_is_executed_from_where_it_cannot_be_written(scene):
    async def scenario(harness):
        exe = f"/proc/{harness.launcher.pid}/exe"
        fd = os.open(exe, os.O_RDONLY)
        try:
            assert os.fstatvfs(fd).f_flag & os.ST_RDONLY or is_sealed(fd)
        finally:
            os.close(fd)

    scene(scenario)


@pytest.mark.slow
def test_three_hundred_at_once(scene):
    async def scenario(harness):
        slots = asyncio.Semaphore(16)

        async def one(n):
            async with slots:
                return await harness.start(f"c{n}", "sleep", "1000")

        monitors = await asyncio.gather(*(one(n) for n in range(300)))
        assert len({monitor.pid for monitor in monitors}) == 300
        assert all(is_alive(monitor.pid) for monitor in monitors)
        for monitor in monitors:
            await monitor.kill(signal.SIGKILL)
        statuses = await asyncio.gather(*(monitor.wait() for monitor in monitors))
        assert {status.signal for status in statuses} == {9}

    scene(scenario)


def test_a_bound_process_ends_with_the_connection(scene):
    async def scenario(harness):
        bound = await harness.start("bound", "sleep", "100", bound=True)
        free = await harness.start("free", "sleep", "100")
        pids = bound.pid, free.pid
        bound.close()
        free.close()
        await until(lambda: not is_alive(pids[0]))
        assert is_alive(pids[1])
        os.kill(pids[1], 9)
        assert [path.name for path in harness.run_dir("bound").iterdir()] == ["monitor.sock"]

    scene(scenario)


def test_a_bound_process_that_holds_ends_as_well(scene):
    async def scenario(harness):
        bound = await harness.launch("bound", "sleep", "100", bound=True, hold=True)
        pid = await bound.created()
        bound.close()
        await until(lambda: not is_alive(pid))

    scene(scenario)


def test_a_process_may_run_on_every_processor_that_the_launcher_may(scene):
    """A spare wakes where the engine does not run; what it starts knows nothing of that."""

    async def scenario(harness):
        for name in ("one", "two", "three"):
            await until(lambda: len(harness.launcher.spares) == SPARES)
            monitor = await harness.start(name, "grep", "Cpus_allowed_list", "/proc/self/status")
            assert (await monitor.wait()).code == 0
            log = b"".join(LogReader(harness.log(name)).read(LogQuery(mux=False)))
            assert log in Path("/proc/self/status").read_bytes()

    scene(scenario)
