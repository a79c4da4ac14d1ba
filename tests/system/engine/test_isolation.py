"""What a container sees when it looks around."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.system.engine.conftest import Boat

pytestmark = pytest.mark.root


async def test_it_is_alone(boat: Boat) -> None:
    ran = await boat.sh("echo $$; ls -d /proc/[0-9]* | wc -l; hostname; ls /sys/class/net")
    lines = ran.out.split()
    assert lines[0] == "1"
    assert int(lines[1]) <= 4
    assert lines[2] == ran.id[:12]
    assert lines[3:] == ["lo"]


async def test_no_descriptor_leaks_in(boat: Boat) -> None:
    ran = await boat.sh("for f in /proc/self/fd/*; do readlink $f; done; exit 0")
    targets = [line for line in ran.out.split() if not line.startswith("/proc/")]
    assert len(targets) == 3, ran.out
    assert targets[0] == "/dev/null"
    assert all(target.startswith("pipe:") for target in targets[1:])


async def test_its_environment_is_its_own(boat: Boat) -> None:
    ran = await boat.run("env", env=["A=b", "PATH=/bin:/own"])
    found = dict(line.split("=", 1) for line in ran.out.splitlines())
    assert found == {"PATH": "/bin:/own", "HOSTNAME": ran.id[:12], "A": "b", "HOME": "/root"}


async def test_capabilities_are_dockers(boat: Boat) -> None:
    ran = await boat.sh("grep Cap /proc/self/status")
    sets = dict(line.split(":\t") for line in ran.out.splitlines())
    assert sets["CapEff"] == sets["CapBnd"] == "00000000a80425fb"
    assert sets["CapAmb"] == sets["CapInh"] == "0000000000000000"
    ran = await boat.sh("grep CapEff /proc/self/status", host={"cap_drop": ["ALL"], "cap_add": ["NET_RAW"]})
    assert ran.out.split()[1] == f"{1 << 13:016x}"


async def test_what_is_denied(boat: Boat) -> None:
    ran = await boat.sh(
        "mount -t tmpfs none /tmp; echo mount=$?; unshare -U true; echo unshare=$?; "
        "echo 1 > /proc/sys/kernel/panic; echo sysctl=$?; head -c1 /proc/kcore | wc -c; "
        "echo x > /sys/kernel/profiling; echo sys=$?; grep Seccomp: /proc/self/status"
    )
    assert "mount=0" not in ran.out
    assert "unshare=0" not in ran.out
    assert "sysctl=0" not in ran.out
    assert "sys=0" not in ran.out
    assert "Seccomp:\t2" in ran.out
    assert "\n0\n" in ran.out


async def test_a_read_only_root(boat: Boat) -> None:
    ran = await boat.sh(
        "touch /x; echo $?; touch /tmp/y; echo $?; touch /run-here/z; echo $?",
        host={"readonly_rootfs": True, "tmpfs": {"/run-here": ""}},
    )
    assert ran.out.split() == ["1", "1", "0"]


async def test_users_by_name_and_number(boat: Boat) -> None:
    ran = await boat.sh("id -u; id -g; id -G; echo $HOME", user="user")
    assert ran.out.split() == ["1000", "1000", "1000", "2000", "/home/user"]
    ran = await boat.sh("id -u; id -g", user="1234:77")
    assert ran.out.split() == ["1234", "77"]
    ran = await boat.sh("id -G", user="user", host={"group_add": ["55"]})
    assert "55" in ran.out.split()


async def test_a_working_directory_is_made(boat: Boat) -> None:
    ran = await boat.sh("pwd", working_dir="/made/just/now")
    assert ran.out == "/made/just/now\n"


async def test_an_init_reaps_and_passes_the_exit_code_on(boat: Boat) -> None:
    ran = await boat.sh("echo $$; (sleep 0.01 &) ; exit 6", host={"init": True})
    assert ran.code == 6
    assert ran.out != "1\n"


async def test_a_terminal(boat: Boat) -> None:
    ran = await boat.sh("test -t 0 && test -t 1 && tty && echo $TERM", tty=True)
    assert ran.out.split() == ["/dev/pts/0", "xterm"]


async def test_the_pid_namespace_of_another(boat: Boat) -> None:
    first = await boat.start("sleep", "61", name="first")
    second = await boat.sh("ps | grep -c 'sleep 61'", host={"pid_mode": "container:first"})
    assert int(second.out) >= 1
    await boat.containers.stop(first, timeout=0)


async def test_shared_memory_of_a_shareable_container(boat: Boat) -> None:
    await boat.start(
        "sh", "-c", "echo shared > /dev/shm/note; sleep 60", name="donor", host={"ipc_mode": "shareable"}
    )
    for _ in range(50):
        second = await boat.sh("cat /dev/shm/note", host={"ipc_mode": "container:donor"})
        if second.code == 0:
            break
    assert second.out == "shared\n"


async def test_shared_memory_has_the_size_that_the_donor_was_given(boat: Boat) -> None:
    donor = await boat.start("sleep", "60", name="donor", host={"ipc_mode": "shareable", "shm_size": 2 << 20})
    command = "df -k /dev/shm | tail -n 1 | awk '{print $2}'; dd if=/dev/zero of=/dev/shm/big bs=1M count=3"
    second = await boat.sh(command, host={"ipc_mode": "container:donor"})
    assert second.out.splitlines()[0] == "2048"
    assert "No space left on device" in second.err
    await boat.containers.stop(donor, timeout=0)
    await boat.containers.start(donor)
    again = await boat.sh("ls /dev/shm", host={"ipc_mode": "container:donor"})
    assert again.out == ""


async def test_no_mount_is_visible_on_the_host(boat: Boat) -> None:
    identity = await boat.start("sleep", "60")
    assert identity not in Path("/proc/self/mountinfo").read_text()
    pid = (await boat.containers.inspect(identity)).state.pid
    for name in ("mnt", "pid", "net", "ipc", "uts", "cgroup"):
        assert os.readlink(f"/proc/{pid}/ns/{name}") != os.readlink(f"/proc/self/ns/{name}")


async def test_its_dev_is_the_same_however_it_is_made(boat: Boat) -> None:
    """A spare of the launcher has the usual one ready; another size of /dev/shm is not the usual one."""
    look = (
        "ls -lan /dev /dev/pts /dev/shm /dev/mqueue | sed '/^total/d; s/ [A-Z][a-z][a-z] .*:[0-9][0-9]//';"
        " stat -c '%n %a %u %g %F' /dev /dev/pts /dev/shm /dev/mqueue;"
        " sed 's/^[0-9]* [0-9]* [0-9]*:[0-9]* //' /proc/self/mountinfo | grep '^[^ ]* /dev'; : > /dev/null;"
        " head -c 3 /dev/zero | wc -c; cat /dev/full | head -c 1 | wc -c; echo x > /dev/shm/x; touch /dev/x"
    )
    usual = await boat.sh(look)
    other = await boat.sh(look, host={"shm_size": 65 << 20})
    assert "size=65536k" in usual.out and " /dev/mqueue " in usual.out and "ptmx -> pts/ptmx" in usual.out
    assert usual.out == other.out.replace("size=66560k", "size=65536k")
    assert (usual.err, other.err) == ("", "")


async def test_its_sys_is_the_same_however_it_is_made(boat: Boat) -> None:
    """A spare of the launcher has sysfs, the cgroup's directory and the network's settings ready; one that is
    to have another cgroup, or the host's network, gets them made."""
    look = (
        "sed 's/^[0-9]* [0-9]* [0-9]*:[0-9]* //' /proc/self/mountinfo | grep '^[^ ]* /sys' | grep -v cpuset;"
        " ls -l /sys/fs/cgroup | sed '/^total/d; /cpuset/d; s/ [A-Z].*//';"
        " cat /proc/sys/net/ipv4/ip_unprivileged_port_start; cat /sys/class/net/lo/flags; ls /sys/firmware"
    )
    usual = await boat.sh(look)
    other = await boat.sh(look, host={"cpuset_cpus": "0"})
    strip = usual.id, other.id
    assert usual.err == other.err == ""
    assert usual.out.replace(strip[0], "ID") == other.out.replace(strip[1], "ID")
    assert " /sys ro,nosuid,nodev,noexec" in usual.out and " /sys/fs/cgroup" in usual.out
    assert usual.out.splitlines()[-2:] == ["0", "0x9"]
    host = await boat.sh("ls /sys/class/net", host={"network_mode": "host"})
    assert set(host.out.split()) == set(os.listdir("/sys/class/net"))
    anew = await boat.sh(look, host={"ipc_mode": "host"})  # nothing of a spare fits
    (made,) = (line for line in anew.out.splitlines() if line.startswith("/ /sys "))
    assert made in usual.out.splitlines()
    port = await boat.sh(
        "cat /proc/sys/net/ipv4/ip_unprivileged_port_start",
        host={"sysctls": {"net.ipv4.ip_unprivileged_port_start": "80"}},
    )
    assert port.out == "80\n"


async def test_what_it_mounts_is_not_mounted_on_the_host(boat: Boat) -> None:
    identity = await boat.start("sleep", "60")
    pid = (await boat.containers.inspect(identity)).state.pid
    mounts = Path(f"/proc/{pid}/mountinfo").read_text()
    assert "/sys/fs/cgroup" in mounts and "shared:" not in mounts and "master:" not in mounts
