"""Attacks of the past."""

from __future__ import annotations

import os
import subprocess

import pytest

pytestmark = pytest.mark.root


def test_cve_2019_5736_the_interpreter_cannot_be_written(bundle, corten_only, wait_until):
    """While a container runs in the foreground, its parent's /proc/<pid>/exe is on a read-only mount."""
    bundle.process["args"] = ["sleep", "1000"]
    bundle.write()
    process = bundle.popen("run", "-b", str(bundle.directory), bundle.id)
    wait_until(lambda: bundle.command("state", bundle.id).stdout.find('"running"') > 0)
    assert os.statvfs(f"/proc/{process.pid}/exe").f_flag & os.ST_RDONLY
    with pytest.raises(OSError) as caught:
        os.open(f"/proc/{process.pid}/exe", os.O_WRONLY)
    assert caught.value.errno in (26, 30)
    bundle.command("kill", bundle.id, "KILL")
    process.wait(20)


def test_cve_2019_5736_memory_copy_is_sealed():
    from corten.linux.sealed import is_sealed, sealed_copy

    with open("/bin/true", "rb") as source:
        fd = sealed_copy("copy", source.fileno())
    assert is_sealed(fd)
    with pytest.raises(OSError):
        os.pwrite(fd, b"x", 0)
    with pytest.raises(OSError):
        writable = os.open(f"/proc/self/fd/{fd}", os.O_RDWR)
        os.pwrite(writable, b"x", 0)
    os.close(fd)


@pytest.mark.parametrize("number", [3, 5, 7, 8, 9, 10, 12])
def test_cve_2024_21626_cwd_by_a_leaked_descriptor(bundle, number):
    bundle.process["cwd"] = f"/proc/self/fd/{number}"
    done = bundle.run("pwd; ls ../../../etc/shadow", timeout=60)
    assert done.returncode != 0
    assert "shadow" not in done.stdout


def test_cve_2024_21626_exec(bundle):
    bundle.start()
    for number in range(3, 16):
        done = bundle.command(
            "exec", "--cwd", f"/proc/self/fd/{number}", bundle.id, "cat", "../../../etc/hostname"
        )
        assert done.returncode != 0
        assert not done.stdout


def test_cve_2021_30465_a_link_in_a_mount_s_way(bundle, corten_only, tmp_path):
    """A destination below a symbolic link out of the root stays below the root."""
    outside = tmp_path / "outside"
    outside.mkdir()
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").touch()
    (bundle.rootfs / "link").symlink_to("../" * 20 + str(outside).lstrip("/"))
    (bundle.rootfs / "absolute").symlink_to(outside)
    bundle.mount("/link/a", type="bind", source=str(source), options=["bind"])
    bundle.mount("/absolute/b", type="bind", source=str(source), options=["bind"])
    assert bundle.run("ls /link/a /absolute/b").stdout.count("file") == 2
    assert os.listdir(outside) == []


def test_proc_and_sys_do_not_go_through_links(bundle, corten_only):
    (bundle.rootfs / "elsewhere").mkdir()
    (bundle.rootfs / "proc").rmdir()
    (bundle.rootfs / "proc").symlink_to("elsewhere")
    done = bundle.run("true")
    assert done.returncode != 0
    assert "proc" in done.stderr


def test_cve_2025_31133_null_device_swapped(bundle):
    """The image's own /dev/null, a link to a file of its choice, is not what masks."""
    bundle.config["mounts"] = [
        mount for mount in bundle.config["mounts"] if not mount["destination"].startswith("/dev")
    ]
    (bundle.rootfs / "dev/null").symlink_to("/proc/sysrq-trigger")
    (bundle.rootfs / "masked").write_text("secret")
    bundle.linux["maskedPaths"] = ["/masked"]
    done = bundle.run("stat -c %t:%T /masked")
    if done.returncode == 0:
        assert done.stdout.strip() == "1:3"
    assert "secret" not in done.stdout


def test_cve_2025_52565_console_swapped(bundle, corten_only, short_tmp):
    """A /dev/console that is a link does not lead the terminal's mount astray."""
    import socket

    bundle.config["mounts"] = [mount for mount in bundle.config["mounts"] if mount["destination"] != "/dev"]
    (bundle.rootfs / "target").write_text("untouched")
    (bundle.rootfs / "dev/console").symlink_to("/target")
    bundle.process["terminal"] = True
    bundle.script("cat /proc/self/mountinfo > /tmp/seen")
    bundle.write()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(short_tmp / "s"))
        listener.listen()
        done = bundle.command(
            "run", "-d", "-b", str(bundle.directory), "--console-socket", str(short_tmp / "s"), bundle.id
        )
    seen = bundle.rootfs / "tmp/seen"
    assert done.returncode != 0 or " /target " not in seen.read_text()
    bundle.process["terminal"] = False


def test_cve_2025_52881_proc_is_not_what_it_seems(bundle):
    """Writes to /proc do not go to what the image has there."""
    bundle.config["mounts"] = [mount for mount in bundle.config["mounts"] if mount["destination"] != "/proc"]
    fake = bundle.rootfs / "proc/sys/net/ipv4"
    fake.mkdir(parents=True)
    (fake / "ip_forward").write_text("untouched")
    (bundle.rootfs / "proc/self").mkdir()
    (bundle.rootfs / "proc/self/oom_score_adj").write_text("untouched")
    bundle.linux["sysctl"] = {"net.ipv4.ip_forward": "1"}
    bundle.process["oomScoreAdj"] = 7
    bundle.linux["maskedPaths"] = bundle.linux["readonlyPaths"] = []
    assert bundle.output("cat /proc/sys/net/ipv4/ip_forward /proc/self/oom_score_adj") == "untouched" * 2


def test_host_devices_keep_their_owner(bundle, corten_only):
    """Never pointed at a peer: an old crun does change the owner of the host's /dev/null.

    Devices that are bound (in a user namespace) are not chowned: that would change the host's."""
    before = os.stat("/dev/null")
    mapping = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    bundle.linux.update(uidMappings=mapping, gidMappings=mapping)
    bundle.linux["namespaces"].append({"type": "user"})
    subprocess.run(["chown", "-R", "100000:100000", bundle.rootfs], check=True)
    for directory in (bundle.directory, *bundle.directory.parents[:3]):
        directory.chmod(directory.stat().st_mode | 0o111)
    bundle.process["capabilities"] = {}
    assert bundle.output("echo x > /dev/null; echo ok").strip() == "ok"
    after = os.stat("/dev/null")
    assert (before.st_uid, before.st_gid, before.st_mode) == (after.st_uid, after.st_gid, after.st_mode)
