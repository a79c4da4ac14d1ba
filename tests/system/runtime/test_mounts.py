"""Mount options, seen from the inside."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.root

idmapped_mounts = pytest.mark.skipif(
    "tmpfs" in subprocess.run(["stat", "-fc", "%T", "/tmp"], capture_output=True, text=True).stdout
    and tuple(int(part) for part in os.uname().release.split(".")[:2]) < (6, 3),
    reason="/tmp is a tmpfs, which has idmapped mounts since Linux 6.3",
)


def options_of(bundle, target: str) -> set[str]:
    text = bundle.output(f"grep ' {target} ' /proc/mounts")
    return set(text.split()[3].split(","))


@pytest.fixture
def host(tmp_path):
    directory = tmp_path / "host"
    directory.mkdir()
    (directory / "file").write_text("content")
    return directory


def test_bind_directory(bundle, host):
    bundle.mount("/data", type="bind", source=str(host), options=["rbind"])
    assert bundle.output("cat /data/file; echo new > /data/other") == "content"
    assert (host / "other").read_text() == "new\n"


def test_bind_file_and_missing_target(bundle, host):
    bundle.mount("/a/b/file", type="bind", source=str(host / "file"), options=["bind", "ro"])
    done = bundle.run("cat /a/b/file; echo x > /a/b/file")
    assert done.stdout == "content"
    assert "ead-only" in done.stderr


def test_bind_flags(bundle, host):
    bundle.mount(
        "/data", type="bind", source=str(host), options=["bind", "ro", "nosuid", "nodev", "noexec", "noatime"]
    )
    assert {"ro", "nosuid", "nodev", "noexec", "noatime"} <= options_of(bundle, "/data")


def test_bind_missing_source(bundle, tmp_path):
    bundle.mount("/data", type="bind", source=str(tmp_path / "none"), options=["bind"])
    done = bundle.run("true")
    assert done.returncode != 0
    assert "none" in done.stderr or "No such file" in done.stderr


def test_recursive_read_only(bundle, host):
    below = host / "below"
    below.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", below], check=True)
    try:
        bundle.mount("/plain", type="bind", source=str(host), options=["rbind", "ro"])
        bundle.mount("/deep", type="bind", source=str(host), options=["rbind", "rro"])
        done = bundle.run("touch /plain/below/a && echo written; touch /deep/below/b || echo refused")
        assert done.stdout.split() == ["written", "refused"]
    finally:
        subprocess.run(["umount", below], check=True)


def test_tmpfs_options(bundle):
    bundle.mount("/scratch", type="tmpfs", source="tmpfs", options=["nosuid", "size=1m", "mode=700"])
    assert {"rw", "nosuid", "size=1024k", "mode=700"} <= options_of(bundle, "/scratch")


def test_tmpcopyup(bundle):
    (bundle.rootfs / "etc/sub").mkdir(mode=0o750)
    (bundle.rootfs / "etc/sub/x").write_text("x")
    os.chown(bundle.rootfs / "etc/sub/x", 12, 13)
    (bundle.rootfs / "etc/link").symlink_to("passwd")
    bundle.mount("/etc", type="tmpfs", source="tmpfs", options=["tmpcopyup"])
    text = bundle.output(
        "stat -c %a /etc/sub; stat -c %u:%g /etc/sub/x; readlink /etc/link; rm /etc/passwd; cat /etc/sub/x"
    )
    assert text.split() == ["750", "12:13", "passwd", "x"]
    assert (bundle.rootfs / "etc/passwd").exists()


def test_private_by_default(bundle, host):
    bundle.mount("/data", type="bind", source=str(host), options=["rbind"])
    text = bundle.output("grep ' /data ' /proc/self/mountinfo")
    assert "shared:" not in text
    assert "master:" not in text


@pytest.mark.parametrize(("option", "tag"), [("rslave", "master:"), ("rshared", "shared:")])
def test_propagation(bundle, host, option, tag, corten_only):
    subprocess.run(["mount", "--bind", host, host], check=True)
    try:
        subprocess.run(["mount", "--make-shared", host], check=True)
        bundle.mount("/data", type="bind", source=str(host), options=["rbind", option])
        assert tag in bundle.output("grep ' /data ' /proc/self/mountinfo")
    finally:
        subprocess.run(["umount", host], check=True)


@idmapped_mounts
def test_idmapped_bind(bundle, host):
    os.chown(host / "file", 1000, 1000)
    os.chown(host, 1000, 1000)
    mapping = [{"containerID": 1000, "hostID": 0, "size": 1}]
    bundle.mount(
        "/data", type="bind", source=str(host), options=["bind"], uidMappings=mapping, gidMappings=mapping
    )
    text = bundle.output("stat -c %u:%g /data/file; touch /data/new")
    assert text.strip() == "0:0"
    found = (host / "new").stat()
    assert (found.st_uid, found.st_gid) == (1000, 1000)


@idmapped_mounts
def test_idmap_option_gives_files_to_their_owner(bundle, host, corten_only):
    os.chown(host, 1234, 1235)
    bundle.mount("/data", type="bind", source=str(host), options=["bind", "idmap"])
    assert bundle.output("touch /data/new; stat -c %u:%g /data/new").strip() == "0:0"
    found = (host / "new").stat()
    assert (found.st_uid, found.st_gid) == (1234, 1235)


@pytest.mark.parametrize("times", [(), ("relatime",), ("strictatime",)])
def test_cgroup_mount_shows_the_own_cgroup(bundle, times):
    options = ["ro", "nosuid", "nodev", "noexec", *times]
    bundle.mount("/sys/fs/cgroup", type="cgroup", source="cgroup", options=options)
    bundle.linux["resources"] = {"pids": {"limit": 33}}
    text = bundle.output(
        "cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null; cat /proc/self/cgroup; true"
    )
    assert text.split()[0] == "33"
    assert bundle.id not in text


def test_root_propagation_of_the_host_is_untouched(bundle):
    before = Path("/proc/self/mountinfo").read_text()
    bundle.output("true")
    assert Path("/proc/self/mountinfo").read_text() == before


def test_unknown_file_system_is_named(bundle):
    bundle.mount("/x", type="nosuchfs", source="x")
    done = bundle.run("true")
    assert done.returncode != 0
    assert "nosuchfs" in done.stderr or "No such device" in done.stderr
