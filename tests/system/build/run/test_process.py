"""RUN in real containers: what the process sees, and what becomes of what it changes."""

from __future__ import annotations

import pytest

from corten.build.graph import Exec, Vertex
from corten.build.solve.failure import BuildFailed, ProcessFailed
from tests.system.build.run.yard import BUSYBOX, Yard, sh

pytestmark = pytest.mark.root


async def test_what_a_process_changes_is_a_layer(yard: Yard) -> None:
    step = sh(BUSYBOX, "echo hi > /greeting; mkdir -p /a/b; ln -s b /a/link; rm /etc/not-executable")
    with await yard.solve(sh(step, "cat /greeting > /again; test ! -e /etc/not-executable")) as results:
        target = [vertex for vertex, _ in results.items()][-1]
        found = yard.files(results.result(target))
    assert found == {
        "a/": "",
        "a/b/": "",
        "a/link": "b",
        "again": "hi\n",
        "etc/": "",
        "etc/not-executable": "deleted",
        "greeting": "hi\n",
    }


async def test_output_and_failure(yard: Yard) -> None:
    with pytest.raises(BuildFailed) as caught:
        await yard.build(sh(BUSYBOX, "echo out; echo err >&2; exit 3"))
    assert caught.value.message == (
        'process "/bin/sh -ec echo out; echo err >&2; exit 3" did not complete successfully: exit code: 3'
    )
    assert isinstance(caught.value.cause, ProcessFailed)
    assert caught.value.cause.exit_code == 3
    assert sorted(yard.log.split()) == ["err", "out"]


async def test_nothing_of_the_mounts_is_left(yard: Yard) -> None:
    script = "cat /etc/hosts /etc/hostname /etc/resolv.conf > /dev/null; ls /proc/1 /sys /dev/null"
    assert await yard.build(sh(BUSYBOX, script)) == {}


async def test_a_command_that_is_not_there(yard: Yard) -> None:
    target = Vertex(Exec(("/no/such",), (), "/", network="none"), (BUSYBOX,), name="RUN")
    with pytest.raises(
        BuildFailed, match=r'process "/no/such" did not complete .*: exit code: 127: .*no such'
    ):
        await yard.build(target)
    target = Vertex(Exec(("/etc/passwd",), (), "/", network="none"), (BUSYBOX,), name="RUN")
    with pytest.raises(BuildFailed, match="exit code: 126"):
        await yard.build(target)


async def test_the_process(yard: Yard) -> None:
    """Its user by name, with groups and home; its directory, which is made; its environment and name."""
    operation = Exec(
        ("/bin/sh", "-c", "id -un; id -Gn; pwd; echo $HOME $PATH; hostname; env | sort; touch made"),
        ("A=1", "PATH=/bin"),
        "/home/user",
        user="user",
        network="none",
        proxy=(("HTTP_PROXY", "http://proxy"), ("A", "2")),
    )
    with await yard.solve(Vertex(operation, (BUSYBOX,), name="RUN")) as results:
        target = [vertex for vertex, _ in results.items()][-1]
        (layer,) = results.result(target).layers[1:]
        assert (yard.layers.directory(layer) / "fs/home/user/made").stat().st_uid == 1000
    lines = yard.log.splitlines()
    assert lines[:5] == ["user", "user extra", "/home/user", "/home/user /bin", "buildkitsandbox"]
    environment = [line for line in lines[5:] if not line.startswith(("PWD=", "SHLVL=", "OLDPWD="))]
    assert environment == ["A=1", "HOME=/home/user", "HTTP_PROXY=http://proxy", "PATH=/bin"]


async def test_pid_one_and_its_children(yard: Yard) -> None:
    """What the command leaves running ends with it, and nobody waits for its output."""
    await yard.build(sh(BUSYBOX, "(trap '' TERM HUP; sleep 1000) & test $$ = 1; echo done"))
    assert yard.log == "done\n"


async def test_standard_input_is_empty(yard: Yard) -> None:
    await yard.build(sh(BUSYBOX, "cat; test ! -t 0"))


async def test_rights_are_those_of_a_container(yard: Yard) -> None:
    script = (
        "grep CapBnd /proc/self/status; grep Seccomp: /proc/self/status;"
        " ! mount -t tmpfs none /tmp 2>/dev/null; ! cat /proc/kcore 2>/dev/null | read x; ! touch /proc/sys/x"
    )
    await yard.build(sh(BUSYBOX, script))
    assert yard.log.split()[:4] == ["CapBnd:", "00000000a80425fb", "Seccomp:", "2"]


async def test_insecure_is_only_for_who_may(yard: Yard) -> None:
    target = sh(BUSYBOX, "mount -t tmpfs none /tmp && touch /tmp/x && test -e /tmp/x", security="insecure")
    with pytest.raises(BuildFailed, match=r"--security=insecure is not allowed .* --allow security.insecure"):
        await yard.build(target)
    assert await yard.build(target, allowed=frozenset({"security.insecure"})) == {}


async def test_networks(yard: Yard) -> None:
    count = "ls /sys/class/net | sort | tr '\\n' ' '"
    await yard.build(sh(BUSYBOX, count, network="none"))
    assert yard.log == "lo "
    await yard.build(sh(BUSYBOX, f"{count}; ip route | grep -c default", network="default"))
    assert yard.log == "eth0 lo 1\n"
    with pytest.raises(BuildFailed, match=r"--network=host is not allowed"):
        await yard.build(sh(BUSYBOX, count, network="host"))
    await yard.build(sh(BUSYBOX, count, network="host"), allowed=frozenset({"network.host"}))
    assert "lo" in yard.log.split()
    assert not yard.engine._core.network.endpoints(yard.engine._core.network.get("bridge").id)


async def test_hosts_and_names(yard: Yard) -> None:
    script = "cat /etc/hosts; cat /etc/hostname; grep -c nameserver /etc/resolv.conf; echo x >> /etc/hosts"
    found = await yard.build(sh(BUSYBOX, script, extra_hosts=(("db", "10.0.0.9"),), hostname="own"))
    assert found == {}
    assert "10.0.0.9\tdb\n" in yard.log
    assert "127.0.0.1\town\n" in yard.log
    assert "\nown\n" in yard.log


async def test_times_are_the_epoch(yard: Yard) -> None:
    target = sh(BUSYBOX, "mkdir /d; echo x > /d/f; ln -s f /d/l; touch /etc", epoch=86400)
    with await yard.solve(target) as results:
        (layer,) = results.result(target).layers[1:]
        top = yard.layers.directory(layer) / "fs"
        assert {path.lstat().st_mtime for path in top.rglob("*")} == {86400.0}
    await yard.build(sh(target, "stat -c %Y /d/f"))
    assert yard.log == "86400\n"


async def test_the_root_keeps_what_it_is(yard: Yard) -> None:
    first = sh(BUSYBOX, "stat -c '%a %u' /; chmod 711 /")
    await yard.build(first)
    seen = yard.log
    await yard.build(sh(first, "stat -c '%a %u' /"))
    assert yard.log == seen


async def test_an_empty_layer_is_a_layer(yard: Yard) -> None:
    target = sh(BUSYBOX, "true")
    with await yard.solve(target) as results:
        assert len(results.result(target).layers) == 2


async def test_files_of_every_kind(yard: Yard) -> None:
    script = (
        "mkfifo /fifo; mknod /null c 1 3; ln /bin/busybox /hard; chmod 4755 /hard;"
        " rm -r /home; mkdir /home; touch /home/new; mv /data /moved"
    )
    first = sh(BUSYBOX, script)
    await yard.build(first)
    await yard.build(
        sh(
            first,
            "test -p /fifo; test -c /null; stat -c %a /hard; stat -c %h /bin/busybox; ls /home;"
            " cat /moved/seed; test ! -e /data; stat -c '%a %u' /moved",
        )
    )
    assert yard.log == "4755\n2\nnew\nseed\n750 1000\n"


async def test_on_nothing_at_all(yard: Yard) -> None:
    target = Vertex(Exec(("/bin/sh",), (), "/", network="none"), (None,), name="RUN sh")
    with pytest.raises(BuildFailed, match='process "/bin/sh" did not complete successfully: exit code: 127'):
        await yard.build(target)


async def test_a_long_output_is_bounded(yard: Yard) -> None:
    await yard.build(sh(BUSYBOX, "yes 0123456789 | head -c 12000000; echo the end"))
    assert len(yard.log) < 9_000_000
    assert "are left out here" in yard.log
    assert yard.log.endswith("the end\n")
