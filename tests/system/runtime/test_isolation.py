"""What a container is isolated from, seen from the inside."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytestmark = pytest.mark.root


def test_processes(bundle):
    lines = bundle.output("ps -o pid,comm").splitlines()
    assert next(line.split()[0] for line in lines[1:]) == "1"
    assert len(lines) <= 3


def test_hostname_and_uts(bundle):
    bundle.config["domainname"] = "example"
    assert bundle.output("hostname; cat /proc/sys/kernel/domainname").split() == ["inside", "example"]
    assert os.uname().nodename != "inside"


@pytest.mark.parametrize("kind", ["mnt", "pid", "net", "ipc", "uts", "cgroup"])
def test_namespaces_are_new(bundle, kind):
    assert bundle.output(f"readlink /proc/self/ns/{kind}").strip() != os.readlink(f"/proc/self/ns/{kind}")


def test_namespace_joined_by_path(bundle):
    other = bundle.linux["namespaces"]
    for item in other:
        if item["type"] in ("network", "ipc", "uts"):
            name = {"network": "net"}.get(item["type"], item["type"])
            item["path"] = f"/proc/self/ns/{name}"
    del bundle.config["hostname"]
    assert bundle.output("readlink /proc/self/ns/net").strip() == os.readlink("/proc/self/ns/net")


def test_loopback_is_up_and_nothing_else_is_there(bundle):
    text = bundle.output("ip addr")
    assert "127.0.0.1" in text
    assert "eth0" not in text


def test_ipc(bundle):
    assert bundle.output("cat /proc/sysvipc/shm | wc -l").strip() == "1"


def test_only_the_root_file_system_is_visible(bundle):
    assert set(bundle.output("ls /").split()) == {"bin", "proc", "sys", "dev", "etc", "tmp"}
    mounted = {line.split()[4] for line in bundle.output("cat /proc/self/mountinfo").splitlines()}
    ours = {"/", "/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys"}
    masked = {*bundle.linux["maskedPaths"], *bundle.linux["readonlyPaths"]}
    assert mounted - masked == ours


def test_mounts(bundle):
    rows = [line.split()[:3] for line in bundle.output("cat /proc/mounts").splitlines()]
    kinds = {target: kind for _source, target, kind in rows}
    assert kinds["/proc"] == "proc"
    assert kinds["/dev"] == "tmpfs"
    assert kinds["/dev/pts"] == "devpts"
    assert kinds["/dev/mqueue"] == "mqueue"
    assert kinds["/sys"] == "sysfs"


def test_devices(bundle):
    text = bundle.output(
        "stat -c '%n %t:%T %a' /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty"
    )
    assert text.splitlines() == [
        "/dev/null 1:3 666",
        "/dev/zero 1:5 666",
        "/dev/full 1:7 666",
        "/dev/random 1:8 666",
        "/dev/urandom 1:9 666",
        "/dev/tty 5:0 666",
    ]
    assert bundle.output("for n in fd ptmx stdin; do readlink /dev/$n; done").split() == [
        "/proc/self/fd",
        "pts/ptmx",
        "/proc/self/fd/0",
    ]


def test_more_devices(bundle):
    bundle.linux["devices"] = [
        {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o640, "uid": 3, "gid": 4},
        {"path": "/dev/net/tun", "type": "c", "major": 10, "minor": 200},
    ]
    text = bundle.output("stat -c '%t:%T %a %u:%g' /dev/fuse; stat -c %t:%T /dev/net/tun")
    assert text.split() == ["a:e5", "640", "3:4", "a:c8"]


def test_capabilities(bundle):
    bundle.process["capabilities"] = {
        "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"],
        "effective": ["CAP_CHOWN"],
        "permitted": ["CAP_CHOWN", "CAP_KILL"],
        "inheritable": ["CAP_CHOWN", "CAP_KILL"],
        "ambient": ["CAP_KILL"],
    }
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    text = bundle.output("grep ^Cap /proc/self/status")
    found = dict(line.split() for line in text.splitlines())
    # An unprivileged exec keeps what is ambient.
    assert int(found["CapBnd:"], 16) == 1 << 0 | 1 << 5 | 1 << 13
    assert int(found["CapAmb:"], 16) == 1 << 5
    assert int(found["CapPrm:"], 16) == 1 << 5
    assert int(found["CapEff:"], 16) == 1 << 5
    assert int(found["CapInh:"], 16) == 1 << 0 | 1 << 5


def test_capabilities_of_root(bundle):
    text = bundle.output("grep ^CapEff /proc/self/status; chown 1 /tmp; hostname x || echo denied")
    assert int(text.split()[1], 16) == 1 << 0 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 10
    assert text.endswith("denied\n")


@pytest.mark.parametrize("wanted", [True, False])
def test_no_new_privileges(bundle, wanted):
    bundle.process["noNewPrivileges"] = wanted
    assert bundle.output("grep NoNewPrivs /proc/self/status").split()[1] == str(int(wanted))


@pytest.mark.parametrize("no_new_privileges", [True, False])
def test_seccomp_denies(bundle, no_new_privileges):
    bundle.process["noNewPrivileges"] = no_new_privileges
    bundle.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"],
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}],
    }
    text = bundle.output("mkdir /tmp/x 2>&1; grep Seccomp: /proc/self/status")
    assert "Function not implemented" in text
    assert text.split()[-1] == "2"
    assert not (bundle.rootfs / "tmp/x").exists()


def test_rlimits(bundle):
    bundle.process["rlimits"] = [
        {"type": "RLIMIT_NOFILE", "soft": 77, "hard": 88},
        {"type": "RLIMIT_CORE", "soft": 0, "hard": 2**64 - 1},
    ]
    text = bundle.output("grep -e 'open files' -e core /proc/self/limits")
    assert text.split()[4:6] == ["0", "unlimited"] or "unlimited" in text
    assert [word for word in text.split() if word in ("77", "88")] == ["77", "88"]


def test_oom_score_adj(bundle):
    bundle.process["oomScoreAdj"] = 321
    assert bundle.output("cat /proc/self/oom_score_adj").strip() == "321"


def test_sysctl(bundle):
    bundle.linux["sysctl"] = {"net.ipv4.ip_forward": "1", "kernel.shmmax": "12345"}
    before = Path("/proc/sys/kernel/shmmax").read_text()
    assert bundle.output("cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmax").split() == [
        "1",
        "12345",
    ]
    assert Path("/proc/sys/kernel/shmmax").read_text() == before


def test_masked_paths(bundle):
    (bundle.rootfs / "secret").write_text("secret")
    bundle.linux["maskedPaths"] += ["/secret", "/etc", "/nowhere"]
    text = bundle.run("cat /secret /proc/keys; ls /etc /sys/firmware; stat -c %t:%T /secret; touch /etc/x")
    assert "secret" not in text.stdout
    assert "1:3" in text.stdout
    assert text.returncode != 0
    assert "passwd" not in text.stdout


def test_readonly_paths(bundle):
    bundle.linux["readonlyPaths"].append("/tmp")
    done = bundle.run("touch /tmp/x; echo 1 > /proc/sys/net/ipv4/ip_forward")
    assert done.returncode != 0
    assert done.stderr.count("ead-only") == 2


def test_readonly_root(bundle):
    bundle.config["root"]["readonly"] = True
    done = bundle.run("touch /x")
    assert "ead-only" in done.stderr
    assert bundle.output("touch /dev/shm/x && echo ok").strip() == "ok"


def test_no_leaked_descriptors(bundle):
    leaks = [os.open("/etc", os.O_RDONLY), os.open("/dev/null", os.O_RDWR)]
    try:
        text = bundle.output("ls -l /proc/1/fd", pass_fds=leaks)
    finally:
        for fd in leaks:
            os.close(fd)
    found = {line.split()[8] for line in text.splitlines() if "->" in line}
    assert found - {"10"} == {"0", "1", "2"}  # a shell may keep a script at 10
    assert "/etc" not in text


def test_preserved_descriptors(bundle):
    read_end, write_end = os.pipe()
    bundle.script("echo preserved >&3")
    bundle.write()
    try:
        done = bundle.command(
            "run",
            "--preserve-fds",
            "1",
            "--bundle",
            str(bundle.directory),
            bundle.id,
            pass_fds=(3,),
            preexec_fn=lambda: os.dup2(write_end, 3),
        )
        assert done.returncode == 0, done.stderr
    finally:
        os.close(write_end)
    assert os.read(read_end, 100) == b"preserved\n"
    os.close(read_end)


def test_environment_and_home(bundle):
    text = bundle.output("env")
    assert "A=b" in text.splitlines()
    assert "HOME=/root" in text.splitlines()
    assert "PYTHONPATH" not in text


def test_umask_and_additional_groups(bundle):
    bundle.process["user"] = {"uid": 5, "gid": 6, "umask": 0o77, "additionalGids": [7, 8]}
    assert bundle.output("umask; id").split() == ["0077", "uid=5", "gid=6", "groups=7,8"]


def test_working_directory_is_made(bundle):
    bundle.process["cwd"] = "/srv/deep/down"
    assert bundle.output("pwd").strip() == "/srv/deep/down"


def test_ignored_signals_are_not_inherited(bundle):
    import signal

    bundle.process["args"] = ["grep", "-e", "SigIgn", "-e", "SigBlk", "/proc/self/status"]
    done = bundle.run(preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    assert [int(line.split()[1], 16) for line in done.stdout.splitlines()] == [0, 0]
