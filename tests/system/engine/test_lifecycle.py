"""From create to remove, on the kernel."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest

from corten.api.exec import ExecCreate
from corten.engine.engine import Engine
from corten.engine.results import LogQuery
from corten.errors import CommandNotExecutable, CommandNotFound, Conflict, NotFound, NotModified, StartError
from tests.system.engine.conftest import EXIT, Boat

pytestmark = pytest.mark.root


async def test_output_and_exit_code_are_kept(boat: Boat) -> None:
    ran = await boat.sh("echo out; echo err >&2; exit 7")
    assert (ran.code, ran.out, ran.err) == (7, "out\n", "err\n")
    state = (await boat.containers.inspect(ran.id)).state
    assert (state.status, state.exit_code, state.running, state.pid) == ("exited", 7, False, 0)
    assert state.started_at < state.finished_at


async def test_the_life_of_a_container_is_told_in_events(boat: Boat, events: Callable[[], list[str]]) -> None:
    ran = await boat.run("true", name="told")
    await boat.containers.remove(ran.id)
    assert events() == ["create", "start", "die", "destroy"]


async def test_starting_what_runs_is_not_modified(boat: Boat) -> None:
    identity = await boat.start("sleep", "60")
    with pytest.raises(NotModified):
        await boat.containers.start(identity)


async def test_stop_sends_the_stop_signal_and_waits(boat: Boat, events: Callable[[], list[str]]) -> None:
    identity = await boat.start(
        "sh", "-c", "trap 'exit 5' USR1; while :; do sleep 0.05; done", stop_signal="SIGUSR1"
    )
    await asyncio.sleep(0.2)
    await boat.containers.stop(identity, timeout=10)
    state = (await boat.containers.inspect(identity)).state
    assert (state.status, state.exit_code) == ("exited", 5)
    assert events()[-3:] == ["kill", "die", "stop"]
    with pytest.raises(NotModified):
        await boat.containers.stop(identity)


async def test_stop_kills_what_does_not_listen(boat: Boat) -> None:
    identity = await boat.start("sh", "-c", "trap '' TERM; while :; do sleep 1; done")
    await asyncio.sleep(0.1)
    await boat.containers.stop(identity, timeout=0)
    assert (await boat.containers.inspect(identity)).state.exit_code == 137


async def test_kill_reports_the_signal(boat: Boat) -> None:
    identity = await boat.start("sleep", "60")
    await boat.containers.kill(identity, "KILL")
    assert (await boat.containers.inspect(identity)).state.exit_code == 137
    with pytest.raises(Conflict, match="is not running"):
        await boat.containers.kill(identity)


async def test_stop_and_start_keep_what_was_written(boat: Boat) -> None:
    identity = await boat.create("sh", "-c", "echo x >> /written; wc -l < /written")
    for expected in ("1", "2"):
        waiter = boat.containers.wait(identity, EXIT)
        await boat.containers.start(identity)
        await waiter.result()
        out, _ = await boat.output(identity)
        assert out.split()[-1] == expected


async def test_volatile_begins_with_the_image_at_every_start(boat: Boat) -> None:
    identity = await boat.create("sh", "-c", "echo x >> /written; wc -l < /written", host={"volatile": True})
    for _ in range(2):
        waiter = boat.containers.wait(identity, EXIT)
        await boat.containers.start(identity)
        await waiter.result()
        out, _ = await boat.output(identity)
        assert out.split()[-1] == "1"


async def test_a_paused_container_stands_still(boat: Boat) -> None:
    identity = await boat.start("sh", "-c", "while :; do echo tick; sleep 0.02; done")
    await asyncio.sleep(0.1)
    await boat.containers.pause(identity)
    assert await boat.status(identity) == "paused"
    before, _ = await boat.output(identity)
    await asyncio.sleep(0.2)
    after, _ = await boat.output(identity)
    assert before == after
    with pytest.raises(Conflict, match="already paused"):
        await boat.containers.pause(identity)
    with pytest.raises(Conflict, match="paused"):
        await boat.engine.execs.create(identity, ExecCreate(cmd=["true"]))
    await boat.containers.unpause(identity)
    await asyncio.sleep(0.1)
    assert len((await boat.output(identity))[0]) > len(after)


async def test_a_paused_container_can_be_stopped(boat: Boat) -> None:
    identity = await boat.start("sleep", "60")
    await boat.containers.pause(identity)
    await boat.containers.stop(identity, timeout=1)
    assert await boat.status(identity) == "exited"


async def test_removing_needs_force_while_it_runs(boat: Boat) -> None:
    identity = await boat.start("sleep", "60", name="busy")
    with pytest.raises(Conflict, match="stop the container before removing"):
        await boat.containers.remove(identity)
    await boat.containers.remove("busy", force=True)
    with pytest.raises(NotFound, match="No such container: busy"):
        await boat.containers.inspect("busy")


async def test_auto_remove_takes_it_away_and_tells_the_exit_code(boat: Boat) -> None:
    identity = await boat.create("sh", "-c", "exit 3", host={"auto_remove": True})
    waiter = boat.containers.wait(identity, "removed")
    await boat.containers.start(identity)
    assert (await waiter.result()).status_code == 3
    with pytest.raises(NotFound):
        await boat.containers.inspect(identity)
    assert not boat.engine.paths.container(identity).exists()
    assert not boat.engine.paths.container_run(identity).exists()


async def test_names_are_unique_and_free_again(boat: Boat) -> None:
    first = await boat.create("true", name="one")
    with pytest.raises(Conflict, match='container name "/one" is already in use'):
        await boat.create("true", name="one")
    await boat.containers.rename(first, "two")
    second = await boat.create("true", name="one")
    with pytest.raises(Conflict):
        await boat.containers.rename(second, "two")
    await boat.containers.remove("two")
    await boat.create("true", name="two")


async def test_of_two_that_want_one_name_one_wins(boat: Boat) -> None:
    results = await asyncio.gather(
        *(boat.create("true", name="wanted") for _ in range(8)), return_exceptions=True
    )
    assert sum(isinstance(result, str) for result in results) == 1
    assert sum(isinstance(result, Conflict) for result in results) == 7


async def test_of_two_that_start_it_one_is_told(boat: Boat) -> None:
    identity = await boat.create("sleep", "60")
    results = await asyncio.gather(
        *(boat.containers.start(identity) for _ in range(5)), return_exceptions=True
    )
    assert sum(result is None for result in results) == 1
    assert sum(isinstance(result, NotModified) for result in results) == 4


async def test_of_two_that_remove_it_one_is_told(boat: Boat) -> None:
    identity = await boat.start("sleep", "60")
    results = await asyncio.gather(
        *(boat.containers.remove(identity, force=True) for _ in range(4)), return_exceptions=True
    )
    assert sum(result is None for result in results) == 1
    assert all(result is None or isinstance(result, (Conflict, NotFound)) for result in results)


@pytest.mark.parametrize(
    ("cmd", "error", "code", "words"),
    [
        (["no-such-command"], CommandNotFound, 127, "executable file not found in $PATH"),
        (["/no/such/path"], CommandNotFound, 127, "no such file or directory"),
        (["/etc/not-executable"], CommandNotExecutable, 126, "permission denied"),
        (["/etc"], CommandNotExecutable, 126, "/etc"),
    ],
)
async def test_a_command_that_cannot_run(
    boat: Boat, cmd: list[str], error: type[StartError], code: int, words: str
) -> None:
    identity = await boat.create(*cmd)
    with pytest.raises(error, match=words.replace("$", r"\$")):
        await boat.containers.start(identity)
    state = (await boat.containers.inspect(identity)).state
    assert (state.status, state.exit_code) == ("created", code)
    assert words in state.error
    assert not boat.engine.paths.container_run(identity).exists()


async def test_an_unknown_user_is_named(boat: Boat) -> None:
    identity = await boat.create("true", user="nobody-here")
    with pytest.raises(StartError, match="unable to find user nobody-here"):
        await boat.containers.start(identity)


async def test_a_client_that_attaches_before_the_start_misses_nothing(boat: Boat) -> None:
    identity = await boat.create("sh", "-c", "echo first; cat", open_stdin=True, stdin_once=True)
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    attachment = await boat.containers.attach(identity, theirs.detach(), stdin=True, stdout=True, stderr=True)
    waiter = boat.containers.wait(identity, EXIT)
    await boat.containers.start(identity)
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(ours, b"typed\n")
    ours.shutdown(socket.SHUT_WR)
    data = b""
    while piece := await loop.sock_recv(ours, 4096):
        data += piece
    assert data == b"\x01\0\0\0\0\0\0\x06first\n\x01\0\0\0\0\0\0\x06typed\n"
    assert (await waiter.result()).status_code == 0
    await asyncio.wait_for(attachment.wait_closed(), 5)
    ours.close()


async def test_logs_follow_until_the_end(boat: Boat) -> None:
    identity = await boat.start("sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.1; done")
    stream = await boat.containers.logs(identity, LogQuery(follow=True))
    data = b"".join([chunk async for chunk in stream.chunks])
    assert [data[i : i + 10][8:9] for i in range(0, len(data), 10)] == [b"1", b"2", b"3"]


async def test_exec_runs_in_the_same_namespaces(boat: Boat) -> None:
    identity = await boat.start("sleep", "60", hostname="ship")
    code, out = await boat.exec(identity, "sh", "-c", "hostname; cat /proc/1/cmdline; exit 4")
    assert code == 4
    assert out.replace("\0", " ").split() == ["ship", "sleep", "60"]
    with pytest.raises(CommandNotFound):
        await boat.exec(identity, "no-such-command")


async def test_an_id_prefix_must_be_unique(engine: Engine, boat: Boat) -> None:
    identity = await boat.create("true")
    assert (await engine.containers.inspect(identity[:12])).id == identity
    with pytest.raises(NotFound):
        await engine.containers.inspect("ffffffffffffffffffffffff")


async def test_top_shows_the_processes_of_the_container(boat: Boat) -> None:
    identity = await boat.start("sh", "-c", "sleep 61 & sleep 62; :")
    await asyncio.sleep(0.2)
    top = await boat.containers.top(identity)
    commands = [row[-1] for row in top.processes]
    assert {"sleep 61", "sleep 62"} <= set(commands)
    assert len(commands) == 3


async def test_stats_count_memory_and_time(boat: Boat) -> None:
    identity = await boat.start("sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; sleep 60")
    await asyncio.sleep(0.5)
    samples = [sample async for sample in await boat.containers.stats(identity, stream=False, one_shot=True)]
    assert len(samples) == 1
    assert samples[0].cpu_stats.cpu_usage.total_usage > 0
    assert samples[0].memory_stats.usage
    assert samples[0].pids_stats.current >= 1


async def test_a_restart_keeps_what_rm_would_take_away(boat: Boat) -> None:
    identity = await boat.start("sleep", "60", host={"auto_remove": True})
    pid = (await boat.containers.inspect(identity)).state.pid
    await boat.containers.restart(identity, timeout=0)
    state = (await boat.containers.inspect(identity)).state
    assert state.running and state.pid != pid
    waiter = boat.containers.wait(identity, "removed")
    await boat.containers.stop(identity, timeout=0)
    await waiter.result()


async def test_a_start_while_it_is_removed(boat: Boat) -> None:
    identity = await boat.start("sleep", "60")
    results = await asyncio.gather(
        boat.containers.remove(identity, force=True), boat.containers.start(identity), return_exceptions=True
    )
    assert results[0] is None
    assert isinstance(results[1], (Conflict, NotModified))
    assert not await boat.containers.list(all=True)


async def test_starting_again_at_once_and_often(boat: Boat) -> None:
    async def again() -> None:
        identity = await boat.create("true")
        for _ in range(10):
            waiter = boat.containers.wait(identity, EXIT)
            await boat.containers.start(identity)
            assert (await waiter.result()).status_code == 0

    await asyncio.gather(*(again() for _ in range(4)))
