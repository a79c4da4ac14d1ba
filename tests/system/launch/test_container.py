"""Real containers by `runtime.execute`: what the monitor and the kernel do together."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from pathlib import Path

import msgspec
import pytest

from corten.launch.client import Launcher, LaunchRequest, read_exit
from corten.launch.log import LogQuery, LogReader
from corten.oci.runtime_spec import Process, Resources, Spec
from corten.runtime.cgroup.compile import compile_cgroup
from corten.runtime.cgroup.layout import detect
from corten.runtime.plan import Overlay, compile_exec, compile_plan
from tests.system.launch.harness import is_alive, state_of, until

pytestmark = pytest.mark.root
MEBIBYTE = 1 << 20
MOUNTS = [
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
    {
        "destination": "/dev/pts",
        "type": "devpts",
        "source": "devpts",
        "options": ["newinstance", "ptmxmode=0666"],
    },
]


class Containers:
    """Containers of busybox with an overlay of their own."""

    def __init__(self, directory: Path, launcher: Launcher) -> None:
        self.directory = directory
        self.launcher = launcher
        self.root = directory / "root"
        self.monitors = []
        for name in ("bin", "proc", "dev", "tmp", "etc"):
            (self.root / name).mkdir(parents=True)
        shutil.copy(shutil.which("busybox"), self.root / "bin/busybox")
        for name in ("sh", "sleep", "true", "cat", "tail", "id"):
            (self.root / "bin" / name).symlink_to("busybox")

    def spec(self, argv, uid=0):
        document = {
            "ociVersion": "1.2.0",
            "root": {"path": str(self.root)},
            "process": {
                "args": list(argv),
                "env": ["PATH=/bin"],
                "cwd": "/",
                "user": {"uid": uid, "gid": uid},
            },
            "mounts": MOUNTS,
            "linux": {"namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts", "network")]},
        }
        return msgspec.convert(document, Spec)

    async def start(self, name, *argv, uid=0, memory=0, hold=False, **options):
        layers = self.directory / "layers" / name
        for part in ("upper", "work"):
            (layers / part).mkdir(parents=True, exist_ok=True)
        cgroup = None
        if memory:
            resources = msgspec.convert({"memory": {"limit": memory, "swap": memory}}, Resources)
            cgroup = compile_cgroup(f"/corten-test-{os.getpid()}-{name}", resources, layout=detect())
        plan = compile_plan(
            self.spec(argv, uid),
            root=Overlay(lowers=(str(self.root),), upper=str(layers / "upper"), work=str(layers / "work")),
            cgroup=cgroup,
            container_id=name,
            bundle=str(layers),
            hold=hold,
        )
        return await self.run(name, plan, hold=hold, **options)

    async def exec(self, name, container, *argv, **options):
        process = msgspec.convert(
            {"args": list(argv), "env": ["PATH=/bin"], "cwd": "/", "user": {"uid": 0, "gid": 0}}, Process
        )
        plan = compile_exec(process, container_pid=container.pid, spec=self.spec(argv))
        return await self.run(name, plan, **options)

    async def run(self, name, plan, **options):
        request = LaunchRequest(
            container_id=name,
            plan=plan,
            run_dir=self.run_dir(name),
            log_path=self.directory / f"{name}.log",
            **options,
        )
        monitor = await self.launcher.launch(request)
        self.monitors.append(monitor)
        await monitor.start()
        return monitor

    def run_dir(self, name):
        return self.directory / "run/containers" / name

    def log(self, name):
        return b"".join(LogReader(self.directory / f"{name}.log").read(LogQuery(mux=False)))


@pytest.fixture
def containers(tmp_path):
    """`containers(scenario)` runs the coroutine function `scenario` with Containers."""

    def run(scenario):
        async def main():
            launcher = await Launcher.start(run_dir=tmp_path / "run")
            made = Containers(tmp_path, launcher)
            try:
                await asyncio.wait_for(scenario(made), 60)
            finally:
                for monitor in made.monitors:
                    if monitor.pidfd >= 0 and is_alive(monitor.pid):
                        signal.pidfd_send_signal(monitor.pidfd, signal.SIGKILL)
                    await asyncio.wait_for(monitor.gone(), 15)
                    monitor.close()
                await launcher.close()

        asyncio.run(main())

    return run


def test_a_container_runs_and_ends(containers):
    async def scenario(made):
        monitor = await made.start("one", "sh", "-c", "echo I am $$; cat /proc/self/status | tail -1; exit 3")
        assert (await monitor.wait()).code == 3
        assert made.log("one").startswith(b"I am 1\n")

    containers(scenario)


def test_a_held_container(containers):
    async def scenario(made):
        monitor = await made.start("one", "sh", "-c", "exit 4", hold=True)
        assert (await monitor.wait()).code == 4

    containers(scenario)


def test_out_of_memory_is_told_from_a_kill(containers):
    async def scenario(made):
        hungry = await made.start("hungry", "tail", "/dev/zero", memory=16 * MEBIBYTE)
        status = await hungry.wait()
        assert (status.code, status.signal, status.oom_killed) == (137, 9, True)
        killed = await made.start("killed", "sleep", "100", memory=16 * MEBIBYTE)
        await killed.kill(signal.SIGKILL)
        status = await killed.wait()
        assert (status.code, status.signal, status.oom_killed) == (137, 9, False)
        await hungry.gone()
        await killed.gone()
        mine = f"corten-test-{os.getpid()}-"
        # Others' cgroups come and go during the walk, which os.walk does not mind.
        left = [
            name for _top, names, _ in os.walk("/sys/fs/cgroup") for name in names if name.startswith(mine)
        ]
        assert left == []
        assert read_exit(made.run_dir("hungry")).oom_killed

    containers(scenario)


def test_everything_in_the_container_ends_with_its_first_process(containers):
    async def scenario(made):
        monitor = await made.start("one", "sh", "-c", "sleep 100 & sleep 100 & echo up; exit 0")
        assert (await asyncio.wait_for(monitor.wait(), 10)).code == 0
        assert made.log("one") == b"up\n"

    containers(scenario)


@pytest.mark.parametrize("uid", [0, 1000])
def test_a_monitor_that_is_killed_takes_its_container_along(containers, uid):
    async def scenario(made):
        monitor = await made.start("one", "sleep", "100", uid=uid)
        os.kill((await state_of(made.run_dir("one"))).monitor_pid, signal.SIGKILL)
        await until(lambda: not is_alive(monitor.pid))

    containers(scenario)


def test_exec_joins_and_reports_its_own_end(containers):
    async def scenario(made):
        container = await made.start("one", "sleep", "100")
        process = await made.exec("exec", container, "sh", "-c", "cat /proc/1/cmdline; exit 6")
        assert (await process.wait()).code == 6
        assert made.log("exec") == b"sleep\x00100\x00"
        assert is_alive(container.pid)
        await process.gone()
        left = await made.exec("left", container, "sleep", "100")
        await container.kill(signal.SIGKILL)
        assert (await asyncio.wait_for(left.wait(), 10)).signal == 9

    containers(scenario)


def test_an_idle_container_with_its_monitor_costs_at_most_1228_kib(containers):
    """Proportional memory (PSS) as the kernel counts it, twenty of them running."""

    async def scenario(made):
        monitors = [await made.start(f"c{n}", "sleep", "1000") for n in range(20)]
        await asyncio.sleep(0.3)
        total = 0
        for n, monitor in enumerate(monitors):
            total += pss(monitor.pid) + pss((await state_of(made.run_dir(f"c{n}"))).monitor_pid)
        assert total / 20 <= 1.2 * 1024, f"{total / 20:.0f} KiB"

    containers(scenario)


def pss(pid):
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Pss:"))
