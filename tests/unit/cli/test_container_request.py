"""The flags of run as the body that Docker's API takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from corten.cli import container_request, creation, mount_options, network_options, options, port_options
from corten.cli.container_options import CONTAINER_OPTIONS
from corten.errors import InvalidArgument


def body(text: str, *more: str) -> dict[str, Any]:
    tokens = [*text.split(), *more, "busybox"]
    return container_request.create_body(options.parse(tokens, CONTAINER_OPTIONS, interspersed=False))


def host(text: str, *more: str) -> dict[str, Any]:
    result: dict[str, Any] = body(text, *more)["HostConfig"]
    return result


def test_command_and_entrypoint() -> None:
    parsed = options.parse(
        ["--entrypoint", "sh", "busybox", "-c", "x"], CONTAINER_OPTIONS, interspersed=False
    )
    made = container_request.create_body(parsed)
    assert (made["Image"], made["Entrypoint"], made["Cmd"]) == ("busybox", ["sh"], ["-c", "x"])
    assert "Cmd" not in body("")


@pytest.mark.parametrize(
    ("flags", "field", "value"),
    [
        ("--memory 64m", "Memory", 64 << 20),
        ("--memory-swap -1", "MemorySwap", -1),
        ("--memory-swap 1g", "MemorySwap", 1 << 30),
        ("--cpus 1.5", "NanoCpus", 1_500_000_000),
        ("--cpuset-cpus 0-1", "CpusetCpus", "0-1"),
        ("-c 512", "CpuShares", 512),
        ("--pids-limit 10", "PidsLimit", 10),
        ("--shm-size 1m", "ShmSize", 1 << 20),
        ("--oom-score-adj -5", "OomScoreAdj", -5),
        ("--privileged", "Privileged", True),
        ("--read-only", "ReadonlyRootfs", True),
        ("--init", "Init", True),
        ("--rm", "AutoRemove", True),
        ("--volatile", "Volatile", True),
        ("-P", "PublishAllPorts", True),
        ("--cap-add NET_ADMIN --cap-add ALL", "CapAdd", ["NET_ADMIN", "ALL"]),
        ("--cap-drop ALL", "CapDrop", ["ALL"]),
        ("--dns 1.1.1.1", "Dns", ["1.1.1.1"]),
        ("--dns-opt ndots:2", "DnsOptions", ["ndots:2"]),
        ("--add-host db:10.0.0.1 --add-host v6=[::1]", "ExtraHosts", ["db:10.0.0.1", "v6:::1"]),
        ("--pid host", "PidMode", "host"),
        ("--ipc none", "IpcMode", "none"),
        ("--uts host", "UTSMode", "host"),
        ("--cgroupns private", "CgroupnsMode", "private"),
        ("--network container:x", "NetworkMode", "container:x"),
        ("--net none", "NetworkMode", "none"),
        ("--sysctl a.b=1", "Sysctls", {"a.b": "1"}),
        ("--tmpfs /t:size=1m --tmpfs /u", "Tmpfs", {"/t": "size=1m", "/u": ""}),
        ("--group-add 5", "GroupAdd", ["5"]),
        ("--volumes-from x:ro", "VolumesFrom", ["x:ro"]),
        ("--restart on-failure:3", "RestartPolicy", {"Name": "on-failure", "MaximumRetryCount": 3}),
        (
            "--ulimit nofile=1:2 --ulimit core=-1",
            "Ulimits",
            [{"Name": "nofile", "Soft": 1, "Hard": 2}, {"Name": "core", "Soft": -1, "Hard": -1}],
        ),
        (
            "--device /dev/null --device /dev/a:/dev/b:r --device /dev/c:rw",
            "Devices",
            [
                {"PathOnHost": "/dev/null", "PathInContainer": "/dev/null", "CgroupPermissions": "rwm"},
                {"PathOnHost": "/dev/a", "PathInContainer": "/dev/b", "CgroupPermissions": "r"},
                {"PathOnHost": "/dev/c", "PathInContainer": "/dev/c", "CgroupPermissions": "rw"},
            ],
        ),
        ("--device-read-bps /dev/sda:1m", "BlkioDeviceReadBps", [{"Path": "/dev/sda", "Rate": 1 << 20}]),
        ("--device-write-iops /dev/sda:10", "BlkioDeviceWriteIOps", [{"Path": "/dev/sda", "Rate": 10}]),
        ("--blkio-weight-device /dev/sda:10", "BlkioWeightDevice", [{"Path": "/dev/sda", "Weight": 10}]),
        ("--log-driver none", "LogConfig", {"Type": "none", "Config": {}}),
        ("--log-opt max-size=1m", "LogConfig", {"Type": "", "Config": {"max-size": "1m"}}),
        (
            "--security-opt no-new-privileges --security-opt seccomp=unconfined",
            "SecurityOpt",
            ["no-new-privileges", "seccomp=unconfined"],
        ),
        ("--security-opt systempaths=unconfined", "MaskedPaths", []),
        ("-v data:/data:ro -v /a:/b", "Binds", ["data:/data:ro", "/a:/b"]),
    ],
)
def test_host(flags: str, field: str, value: object) -> None:
    assert host(flags)[field] == value


@pytest.mark.parametrize(
    ("flags", "field", "value"),
    [
        ("-h name", "Hostname", "name"),
        ("-u 1:2", "User", "1:2"),
        ("-w /tmp", "WorkingDir", "/tmp"),
        ("--stop-signal INT", "StopSignal", "INT"),
        ("--stop-timeout 5", "StopTimeout", 5),
        ("-l a=b -l c", "Labels", {"a": "b", "c": ""}),
        ("-v /anonymous", "Volumes", {"/anonymous": {}}),
        ("--no-healthcheck", "Healthcheck", {"Test": ["NONE"]}),
        ("--expose 80 --expose 90-91/udp", "ExposedPorts", {"80/tcp": {}, "90/udp": {}, "91/udp": {}}),
    ],
)
def test_config(flags: str, field: str, value: object) -> None:
    assert body(flags)[field] == value


def test_health() -> None:
    made = body("--health-interval 5s --health-retries 2", "--health-cmd", "test -e /up")
    check = {"Test": ["CMD-SHELL", "test -e /up"], "Interval": 5 * 10**9, "Retries": 2}
    assert made["Healthcheck"] == check


def test_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FROM_CALLER", "yes")
    monkeypatch.delenv("NOT_SET", raising=False)
    file = tmp_path / "env"
    file.write_text("# comment\n\nA=from file\nFROM_CALLER\n  B=2\n")
    made = body(f"--env-file {file} -e A=1 -e NOT_SET")
    assert made["Env"] == ["A=from file", "FROM_CALLER=yes", "B=2", "A=1", "NOT_SET"]


def test_seccomp_profile_goes_along(tmp_path: Path) -> None:
    profile = tmp_path / "p.json"
    profile.write_text('{ "defaultAction": "SCMP_ACT_ALLOW" }')
    assert host(f"--security-opt seccomp={profile}")["SecurityOpt"] == [
        'seccomp={"defaultAction":"SCMP_ACT_ALLOW"}'
    ]


@pytest.mark.parametrize(
    "flags",
    [
        "--memory lots",
        "--cpus many",
        "--ulimit x",
        "--ulimit nofile=3:2",
        "--restart sometimes",
        "--restart always:3",
        "--rm --restart always",
        "--device null",
        "--device-read-bps sda:1m",
        "--device-read-iops /dev/sda:1m",
        "--add-host x",
        "-e =x",
        "--gpus all",
        "--pull often",
        "-v a:b",
        "-v a:b:c:d",
        "-v relative",
        "-p 0",
        "-p 80/xyz",
        "-p 1-3:1-2",
        "--env-file /nonexistent",
        "--security-opt seccomp=/nonexistent",
        "--network none --ip 10.0.0.2",
        "--no-healthcheck --health-retries 1",
        "--health-interval soon",
    ],
)
def test_mistakes_are_told(flags: str) -> None:
    with pytest.raises(InvalidArgument):
        body(flags)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("80", [("80/tcp", "", "")]),
        ("8080:80", [("80/tcp", "", "8080")]),
        ("127.0.0.1:8080:80/udp", [("80/udp", "127.0.0.1", "8080")]),
        ("127.0.0.1::80", [("80/tcp", "127.0.0.1", "")]),
        ("[::1]:8080:80", [("80/tcp", "::1", "8080")]),
        ("8000-8001:80-81", [("80/tcp", "", "8000"), ("81/tcp", "", "8001")]),
        ("8000-8010:80", [("80/tcp", "", "8000-8010")]),
        ("target=80,published=8080,protocol=udp", [("80/udp", "", "8080")]),
    ],
)
def test_published_ports(text: str, expected: list[tuple[str, str, str]]) -> None:
    found = [(port, bound["HostIp"], bound["HostPort"]) for port, bound in port_options.parse_publish(text)]
    assert found == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "type=bind,src=/a,dst=/b,readonly",
            {"Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": True},
        ),
        (
            "type=bind,source=/a,target=/b,bind-propagation=rslave,idmap",
            {
                "Type": "bind",
                "Source": "/a",
                "Target": "/b",
                "BindOptions": {"Propagation": "rslave", "IdMap": True},
            },
        ),
        (
            "source=data,target=/d,volume-nocopy,volume-opt=type=nfs,volume-opt=o=addr",
            {
                "Type": "volume",
                "Source": "data",
                "Target": "/d",
                "VolumeOptions": {"NoCopy": True, "DriverConfig": {"Options": {"type": "nfs", "o": "addr"}}},
            },
        ),
        (
            'type=volume,source=data,target=/d,"volume-opt=o=a,b"',
            {
                "Type": "volume",
                "Source": "data",
                "Target": "/d",
                "VolumeOptions": {"DriverConfig": {"Options": {"o": "a,b"}}},
            },
        ),
        (
            "type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1770",
            {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 1 << 20, "Mode": 0o1770}},
        ),
    ],
)
def test_mounts(text: str, expected: dict[str, Any]) -> None:
    assert mount_options.parse_mount(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "type=bind,target=/a",
        "source=a",
        "type=nfs,target=/a",
        "type=tmpfs,target=/a,bind-propagation=shared",
        "nonsense",
        "type=bind,source=/a,target=/b,readonly=maybe",
        "type=tmpfs,target=/a,tmpfs-mode=9",
    ],
)
def test_wrong_mounts(text: str) -> None:
    with pytest.raises(InvalidArgument):
        mount_options.parse_mount(text)


def test_relative_binds_are_those_of_the_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert mount_options.parse_volume("./site:/www:ro") == f"{tmp_path}/site:/www:ro"
    assert mount_options.parse_volume(".:/www") == f"{tmp_path}:/www"
    assert mount_options.parse_volume("site:/www") == "site:/www"


def test_networks() -> None:
    assert network_options.parse_network("name=a,alias=x,alias=y,ip=10.0.0.2") == (
        "a",
        {"Aliases": ["x", "y"], "IPAMConfig": {"IPv4Address": "10.0.0.2"}},
    )
    made = body("--network back --network-alias db --ip 10.0.0.2")
    assert made["HostConfig"]["NetworkMode"] == "back"
    assert made["NetworkingConfig"]["EndpointsConfig"] == {
        "back": {"Aliases": ["db"], "IPAMConfig": {"IPv4Address": "10.0.0.2"}}
    }


def test_every_flag_is_used_somewhere() -> None:
    """A flag that is accepted and ignored would be a lie. Those listed are acted upon elsewhere."""
    elsewhere = {
        "attach",
        "cidfile",
        "detach-keys",
        "disable-content-trust",
        "interactive",
        "kernel-memory",
        "name",
        "platform",
        "pull",
        "quiet",
        "tty",
        "gpus",
        "use-api-socket",
    }
    samples = {"str": "1", "int": "1", "list": "a=b"}
    special = {
        "mount": "target=/x",
        "volume": "a:/b",
        "publish": "80",
        "expose": "80",
        "network": "none",
        "net": "none",
        "tmpfs": "/t",
        "device": "/dev/null",
        "ulimit": "core=1",
        "restart": "always",
        "device-read-bps": "/dev/a:1",
        "device-write-bps": "/dev/a:1",
        "device-read-iops": "/dev/a:1",
        "device-write-iops": "/dev/a:1",
        "blkio-weight-device": "/dev/a:1",
        "health-interval": "1s",
        "health-timeout": "1s",
        "health-start-period": "1s",
        "health-start-interval": "1s",
        "env-file": "/dev/null",
        "label-file": "/dev/null",
        "add-host": "a:b",
    }
    silent = {"env-file", "label-file"}  # /dev/null has nothing in it
    plain = body("")
    for long, _short, kind, _metavar, _help in CONTAINER_OPTIONS:
        if long in elsewhere | silent or long == "mac-address":
            continue
        tokens = [f"--{long}"] if kind == "bool" else [f"--{long}={special.get(long, samples[kind])}"]
        assert body("", *tokens) != plain, long


def test_proxies_of_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text('{"proxies": {"default": {"noProxy": "here"}}}')
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    request = {"Env": ["NO_PROXY=mine", "A=1"]}
    creation.add_proxies(request, "unix:///x")
    assert request["Env"] == ["NO_PROXY=mine", "A=1", "no_proxy=here"]
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "nothing"))
    without: dict[str, list[str]] = {}
    creation.add_proxies(without, "unix:///x")
    assert without == {}
