"""The Python API: what it asks for, and that its two forms are one."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import corten
from corten import errors
from corten.client import AsyncClient, Client, CommandFailed, Result, container_options
from corten.client.address import resolve

ROOT = Path(__file__).parents[3]


def test_the_blocking_form_is_up_to_date() -> None:
    script = [sys.executable, str(ROOT / "scripts" / "generate_sync_client"), "--check"]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_both_forms_have_the_same_methods() -> None:
    with Client("unix:///nowhere") as blocking:
        asynchronous = AsyncClient("unix:///nowhere")
        for facet in ("containers", "images", "volumes", "networks", "system"):
            one, other = type(getattr(blocking, facet)), type(getattr(asynchronous, facet))
            methods = {name for name, _ in inspect.getmembers(one, inspect.isfunction)}
            assert methods == {name for name, _ in inspect.getmembers(other, inspect.isfunction)}


def test_body_of_a_container() -> None:
    body = container_options.body(
        "busybox",
        "sh -c 'echo a b'",
        {
            "memory": "64m",
            "cpus": 0.5,
            "volumes": {"data": "/data", "/srv": ("/srv", "ro")},
            "ports": {80: 8080, "53/udp": ("127.0.0.1", 5353), 443: None},
            "environment": {"A": "1"},
            "network": "none",
            "ulimits": {"nofile": 10},
            "restart": "on-failure:3",
        },
    )
    assert body["Cmd"] == ["sh", "-c", "echo a b"]
    assert body["Env"] == ["A=1"]
    host = body["HostConfig"]
    assert host["Memory"] == 64 << 20
    assert host["NanoCpus"] == 500_000_000
    assert host["Binds"] == ["data:/data", "/srv:/srv:ro"]
    assert host["PortBindings"] == {
        "80/tcp": [{"HostIp": "", "HostPort": "8080"}],
        "53/udp": [{"HostIp": "127.0.0.1", "HostPort": "5353"}],
        "443/tcp": [{"HostIp": "", "HostPort": ""}],
    }
    assert host["Ulimits"] == [{"Name": "nofile", "Soft": 10, "Hard": 10}]
    assert host["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 3}


def test_every_option_reaches_the_body() -> None:
    values: dict[str, object] = {
        "environment": {"a": "b"},
        "labels": {"a": "b"},
        "entrypoint": "sh",
        "volumes": {"a": "/b"},
        "tmpfs": {"/t": ""},
        "ports": {1: 2},
        "extra_hosts": {"a": "::1"},
        "cpus": 1,
        "ulimits": {"core": 0},
        "devices": ["/dev/null"],
        "sysctls": {"a": "1"},
        "restart": "always",
        "memory": 1,
        "memory_swap": 1,
        "memory_reservation": 1,
        "shm_size": 1,
        "health_command": "true",
        "dns": ["1.1.1.1"],
        "cap_add": ["ALL"],
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
    }
    for name in container_options.ContainerOptions.__annotations__:
        if name in ("name", "health_interval"):  # a query parameter; a part of health_command's
            continue
        options = {name: values.get(name, 1)}
        assert container_options.body("i", None, options) != container_options.body("i", None, {}), name  # type: ignore[arg-type]


def test_an_unknown_option_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="memroy"):
        container_options.body("busybox", None, {"memroy": 1})  # type: ignore[typeddict-unknown-key]


def test_results() -> None:
    assert Result(exit_code=0, stdout_bytes=b"a\xff").check().stdout == "a\udcff"
    with pytest.raises(CommandFailed, match="exit code 3: last line") as caught:
        Result(exit_code=3, stderr_bytes=b"first\nlast line\n").check()
    assert caught.value.result.exit_code == 3


def test_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CORTEN_HOST", raising=False)
    monkeypatch.setenv("CORTEN_RUN", "/tmp/x")
    assert (str(resolve()), resolve().managed) == ("unix:///tmp/x/engine.sock", True)
    assert resolve().stdio_path == "/tmp/x/stdio.sock"
    monkeypatch.setenv("CORTEN_HOST", "tcp://[::1]:2375")
    assert (resolve().host, resolve().port, resolve().managed) == ("::1", 2375, False)
    assert resolve("unix:///a").path == "/a"
    for wrong in ("ftp://x:1", "tcp://x", "host"):
        with pytest.raises(errors.InvalidArgument):
            resolve(wrong)


def test_connect_is_a_client() -> None:
    assert isinstance(corten.connect("unix:///nowhere"), Client)
    assert isinstance(corten.connect_async("unix:///nowhere"), AsyncClient)
    with pytest.raises(AttributeError):
        corten.client.Nothing  # noqa: B018
