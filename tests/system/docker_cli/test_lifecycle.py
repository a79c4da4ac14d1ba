"""create, start, stop, kill, restart, rm, ps, wait, top, stats, pause, rename, update, inspect."""

from __future__ import annotations

import json
import time

import pytest

from tests.system.docker_cli.conftest import IMAGE, Docker

pytestmark = [pytest.mark.root, pytest.mark.docker_cli]


def test_create_start_wait_rm(docker: Docker) -> None:
    name = docker.name()
    created = docker("create", "--name", name, "--network", "none", IMAGE, "sh", "-c", "echo hi; exit 3")
    assert len(created.out.strip()) == 64
    assert docker.inspect(name, "{{.State.Status}}") == "created"
    assert docker("start", "-a", name, code=3).out == "hi\n"
    assert docker("wait", name).out == "3\n"
    assert docker.inspect(name, "{{.State.Status}} {{.State.ExitCode}}") == "exited 3"
    assert docker("rm", name).out.strip() == name
    assert "No such container" in docker("rm", name, code=1).err


def test_start_with_stdin(docker: Docker) -> None:
    name = docker.name()
    docker("create", "-i", "--name", name, "--network", "none", IMAGE, "cat")
    assert docker("start", "-ai", name, input=b"typed").out == "typed"


def test_stop_signal_and_timeout(docker: Docker) -> None:
    name = docker.name()
    script = "trap 'echo got; exit 5' TERM; echo ready; while true; do sleep 0.05; done"
    docker("run", "-d", "--name", name, "--network", "none", IMAGE, "sh", "-c", script)
    docker.until("logs", name, expect="ready")
    docker("stop", name)
    assert docker.inspect(name, "{{.State.ExitCode}}") == "5"
    assert docker("logs", name).out == "ready\ngot\n"
    stubborn = docker.name()
    docker("run", "-d", "--name", stubborn, "--network", "none", IMAGE, "sleep", "1000")
    begin = time.monotonic()
    docker("stop", "-t", "1", stubborn)
    assert 0.9 < time.monotonic() - begin < 8
    assert docker.inspect(stubborn, "{{.State.ExitCode}}") == "137"


def test_kill(docker: Docker) -> None:
    name = docker.running()
    docker("kill", name)
    assert docker("wait", name).out == "137\n"
    assert "is not running" in docker("kill", name, code=1).err
    other = docker.running("--init")
    docker("kill", "--signal", "USR1", other)
    assert docker("wait", other).out == "138\n"
    third = docker.running()
    assert "nvalid signal" in docker("kill", "--signal", "NONSENSE", third, code=1).err


def test_restart(docker: Docker) -> None:
    name = docker.running(command=("sh", "-c", "echo started; sleep 1000"))
    pid = docker.inspect(name, "{{.State.Pid}}")
    docker("restart", "-t", "1", name)
    assert docker.inspect(name, "{{.State.Running}}") == "true"
    assert docker.inspect(name, "{{.State.Pid}}") != pid
    docker.until("logs", name, expect="started\nstarted")


def test_restart_policy(docker: Docker) -> None:
    name = docker.name()
    docker("run", "-d", "--name", name, "--network", "none", "--restart", "on-failure:2", IMAGE, "false")
    docker.until("inspect", "-f", "{{.State.Status}} {{.RestartCount}}", name, expect="exited 2")


def test_rm_of_a_running_one(docker: Docker) -> None:
    name = docker.running()
    result = docker("rm", name, code=1)
    assert "running" in result.err
    assert docker("rm", "-f", name).out.strip() == name


def test_a_name_in_use(docker: Docker) -> None:
    name = docker.running()
    result = docker("create", "--name", name, IMAGE, code=None)
    assert result.code != 0
    assert f'The container name "/{name}" is already in use' in result.err


def test_names_and_prefixes(docker: Docker) -> None:
    name = docker.running("--label", "team=red")
    container_id = docker.inspect(name, "{{.Id}}")
    for ref in (container_id, container_id[:12], container_id[:8], name, f"/{name}"):
        assert docker.inspect(ref, "{{.Name}}") == f"/{name}"
    assert "No such" in docker("inspect", "no-such-thing", code=1).err
    new = docker.name()
    docker("rename", name, new)
    assert docker.inspect(container_id, "{{.Name}}") == f"/{new}"
    assert "No such container" in docker("stop", name, code=1).err


def test_ps(docker: Docker) -> None:
    label = docker.name()
    name = docker.running("--label", f"suite={label}", "--label", "team=red")
    gone = docker.name()
    docker(
        "run",
        "--name",
        gone,
        "--label",
        f"suite={label}",
        "--network",
        "none",
        IMAGE,
        "sh",
        "-c",
        "exit 4",
        code=4,
    )
    mine = ["--filter", f"label=suite={label}"]

    def ps(*arguments: str) -> list[str]:
        return docker("ps", *mine, *arguments).lines

    assert ps("--format", "{{.Names}}") == [name]
    assert ps("-a", "--format", "{{.Names}}") == [gone, name]
    assert ps("-q", "--no-trunc") == [docker.inspect(name, "{{.Id}}")]
    assert ps("-a", "--filter", "status=exited", "--format", "{{.Names}}") == [gone]
    assert ps("-a", "--filter", "exited=4", "--format", "{{.Names}}") == [gone]
    assert ps("-a", "--filter", "label=team=red", "--format", "{{.Names}}") == [name]
    assert ps("-a", "--filter", f"name={gone}", "--format", "{{.Names}}") == [gone]
    assert ps("-a", "--filter", f"ancestor={IMAGE}", "--format", "{{.Names}}") == [gone, name]
    assert ps("-l", "--format", "{{.Names}}") == [gone]
    assert ps("-n", "1", "-a", "--format", "{{.Names}}") == [gone]
    row = ps("-a", "--filter", f"name={gone}", "--format", "{{.Image}}|{{.Command}}|{{.Status}}|{{.State}}")[
        0
    ]
    image, command, status, state = row.split("|")
    assert (image, state) == (IMAGE, "exited") and status.startswith("Exited (4) ")
    assert command == "\"sh -c 'exit 4'\""
    assert ps("--format", "{{.Status}}")[0].startswith("Up ")
    assert "CONTAINER ID" in ps()[0]
    assert json.loads(ps("--format", "{{json .}}")[0])["Names"] == name
    assert ps("-s", "--format", "{{.Size}}")[0].endswith(")")
    assert docker("ps", "--filter", "nonsense=1", code=1).err


def test_wait_before_the_end(docker: Docker) -> None:
    name = docker.name()
    docker("run", "-d", "--name", name, "--network", "none", IMAGE, "sh", "-c", "sleep 0.5; exit 9")
    assert docker("wait", name).out == "9\n"


def test_pause(docker: Docker) -> None:
    name = docker.running()
    docker("pause", name)
    assert docker.inspect(name, "{{.State.Status}}") == "paused"
    assert (
        docker("ps", "--filter", f"name={name}", "--format", "{{.Status}}").out.strip().endswith("(Paused)")
    )
    assert "paused" in docker("exec", name, "true", code=1).err
    docker("unpause", name)
    docker("exec", name, "true")
    assert docker("unpause", name, code=1).err
    docker("pause", name)
    docker("rm", "-f", name)


def test_top(docker: Docker) -> None:
    name = docker.running()
    lines = docker("top", name).lines
    assert lines[0].split()[:2] == ["UID", "PID"] and lines[1].endswith("sleep 1000")
    assert docker("top", name, "-o", "pid,comm").lines[1].split()[1] == "sleep"
    docker("kill", name)
    assert "is not running" in docker("top", name, code=1).err


def test_stats(docker: Docker) -> None:
    name = docker.running("--memory", "64m")
    row = docker(
        "stats", "--no-stream", "--format", "{{.Name}}|{{.MemUsage}}|{{.PIDs}}|{{.CPUPerc}}", name
    ).out
    shown, memory, pids, cpu = row.strip().split("|")
    assert shown == name and memory.endswith("/ 64MiB") and pids == "1" and cpu.endswith("%")


def test_update(docker: Docker) -> None:
    name = docker.running("--memory", "64m", "--memory-swap", "64m")
    docker(
        "update", "--memory", "32m", "--memory-swap", "32m", "--pids-limit", "44", "--restart", "always", name
    )
    assert docker.inspect(name, "{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}}") == f"{32 << 20} 44"
    assert docker.inspect(name, "{{.HostConfig.RestartPolicy.Name}}") == "always"
    script = "cat /sys/fs/cgroup/pids/pids.max 2>/dev/null || cat /sys/fs/cgroup/pids.max"
    assert docker("exec", name, "sh", "-c", script).out == "44\n"
    docker("update", "--restart", "no", name)


def test_inspect(docker: Docker) -> None:
    name = docker.running("-e", "A=b", "--label", "x=y", "-w", "/tmp", "--memory", "32m")
    (found,) = json.loads(docker("inspect", name).out)
    assert found["Path"] == "sleep" and found["Args"] == ["1000"]
    assert found["State"]["Status"] == "running" and found["State"]["Pid"] > 1
    assert found["Config"]["Image"] == IMAGE and found["Config"]["Labels"] == {"x": "y"}
    assert "A=b" in found["Config"]["Env"] and found["Config"]["WorkingDir"] == "/tmp"
    assert found["HostConfig"]["Memory"] == 32 << 20
    assert found["HostConfig"]["NetworkMode"] == "none"
    assert found["Image"].startswith("sha256:")
    assert "SizeRw" not in found
    (found,) = json.loads(docker("inspect", "-s", "--type", "container", name).out)
    assert found["SizeRootFs"] >= found["SizeRw"] >= 0
    assert docker("inspect", "--type", "image", IMAGE).out


def test_health(docker: Docker) -> None:
    name = docker.running(
        "--health-cmd", "test -e /tmp/ok", "--health-interval", "200ms", "--health-retries", "1"
    )
    docker.until("inspect", "-f", "{{.State.Health.Status}}", name, expect="unhealthy")
    docker("exec", name, "touch", "/tmp/ok")
    docker.until("inspect", "-f", "{{.State.Health.Status}}", name, expect="healthy")
    assert docker("ps", "--filter", f"name={name}", "--filter", "health=healthy", "-q").out


def test_prune(docker: Docker) -> None:
    name, label = docker.name(), docker.name()
    docker("run", "--name", name, "--label", f"prune={label}", "--network", "none", IMAGE, "true")
    container_id = docker.inspect(name, "{{.Id}}")
    pruned = docker("container", "prune", "-f", "--filter", f"label=prune={label}").out
    assert container_id in pruned and "Total reclaimed space" in pruned
    assert docker("inspect", name, code=1).err
