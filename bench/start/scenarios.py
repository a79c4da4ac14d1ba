"""What is measured. Each function takes the peers and gives one Result or several."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from bench.engines import IMAGE, Corten, Docker, Engine, Podman
from bench.measure import Result, Series, Target, in_turns, timed
from bench.memory import descendants, parent, pss
from bench.start.kernel_limit import KernelLimit
from bench.start.peers import Bundle, lines_file
from bench.worker import Worker


@dataclass
class Peers:
    work: Path
    rootfs: Path
    corten: Corten
    docker: Docker | None
    podman: Podman | None
    bundles: list[Bundle]
    plain: Worker
    rounds: int
    kernel: KernelLimit | None
    notes: list[str] = field(default_factory=list)

    @property
    def engines(self) -> list[Engine]:
        return [engine for engine in (self.corten, self.docker) if engine is not None]


def targets(peers: Peers, *wanted: Target) -> list[Target]:
    present = {"": True, "docker": peers.docker, "podman": peers.podman, "kernel limit": peers.kernel}
    return [target for target in wanted if present.get(target.peer, True)]


def api(peers: Peers) -> list[Result]:
    samplers = {e.name: timed(lambda e=e: e.run_once(["true"])) for e in peers.engines}
    if peers.kernel:
        samplers["kernel limit"] = peers.kernel.alone
    series = in_turns(samplers, peers.rounds * 2, warmup=3)
    wanted = targets(peers, Target("docker", 1 / 30), Target("kernel limit", 2.5))
    return [
        Result("api", "API: create + start + wait + remove of `true`, network none", "ms", series, wanted)
    ]


def whole_command(peers: Peers) -> list[Result]:
    arguments = ("run", "--rm", "--network", "none", IMAGE, "true")
    samplers: dict[str, Callable[[], float]] = {}
    for engine in peers.engines:
        argv, env = engine.command(*arguments)
        samplers[engine.name] = lambda argv=argv, env=env: peers.plain.run(argv, env)
    if peers.podman:
        podman = peers.podman
        samplers["podman"] = lambda: podman.worker.run(podman.command("run", *podman.limits, *arguments[1:]))
    series = in_turns(samplers, peers.rounds)
    wanted = targets(peers, Target("docker", 1 / 7), Target("podman", 1 / 4))
    results = [Result("command", "`run --rm IMAGE true`, whole command, network none", "ms", series, wanted)]
    if peers.bundles:
        series = in_turns({b.name: b.run_once for b in peers.bundles}, peers.rounds)
        results.append(Result("bundle", "OCI runtime: `run` of a bundle, whole command", "ms", series, []))
    return results


def exec_(peers: Peers) -> list[Result]:
    running = {e.name: e.create(["sleep", "3600"]) for e in peers.engines}
    try:
        for engine in peers.engines:
            engine.expect(204, "POST", f"/containers/{running[engine.name]}/start")
        through_api = {
            e.name: timed(lambda e=e: e.exec_once(running[e.name], ["true"])) for e in peers.engines
        }
        whole: dict[str, Callable[[], float]] = {}
        for engine in peers.engines:
            argv, env = engine.command("exec", running[engine.name], "true")
            whole[engine.name] = lambda argv=argv, env=env: peers.plain.run(argv, env)
        return [
            Result(
                "exec-api",
                "exec of `true`, API",
                "ms",
                in_turns(through_api, peers.rounds * 2, warmup=3),
                targets(peers, Target("docker", 1 / 12)),
            ),
            Result(
                "exec-command",
                "exec of `true`, whole command",
                "ms",
                in_turns(whole, peers.rounds),
                targets(peers, Target("docker", 0.6)),
            ),
        ]
    finally:
        for engine in peers.engines:
            engine.remove(running[engine.name])


def side_by_side(peers: Peers) -> list[Result]:
    latencies: dict[str, list[float]] = {e.name: [] for e in peers.engines}

    def many(engine: Engine) -> float:
        connections = [engine.connect() for _ in range(16)]

        def client(connection_index: int) -> None:
            for _ in range(4):
                begin = time.monotonic_ns()
                engine.run_once(["true"], connections[connection_index])
                latencies[engine.name].append((time.monotonic_ns() - begin) / 1e6)

        begin = time.monotonic()
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(client, range(16)))
        for connection in connections:
            connection.close()
        return 64 / (time.monotonic() - begin)

    rates = in_turns({e.name: (lambda e=e: many(e)) for e in peers.engines}, max(2, peers.rounds // 4))
    alone = in_turns({"corten": timed(lambda: peers.corten.run_once(["true"]))}, peers.rounds)["corten"]
    crowd = {
        "corten at 16": Series("corten at 16", latencies["corten"]),
        "corten alone": Series("corten alone", alone.samples),
    }
    if peers.kernel:
        alone_too = in_turns({"": peers.kernel.alone}, peers.rounds)[""].samples
        crowd["kernel limit at 16"] = Series("kernel limit at 16", peers.kernel.at_once(16))
        crowd["kernel limit alone"] = Series("kernel limit alone", alone_too)
    return [
        Result(
            "parallel",
            "64 containers, 16 at a time",
            "per s",
            rates,
            targets(peers, Target("docker", 10, at_least=True)),
        ),
        Result(
            "crowd",
            "one of 16 at a time, beside one alone",
            "ms",
            crowd,
            [Target("corten alone", 8, ours="corten at 16")],
        ),
    ]


def memory(peers: Peers) -> list[Result]:
    idle: dict[str, Series] = {}
    engines: dict[str, Series] = {}
    for engine in peers.engines:
        time.sleep(2)
        pids = descendants(engine.process.pid)
        engines[engine.name] = Series(engine.name, [sum(map(pss, pids))])
        containers = [engine.create(["sleep", "3600"]) for _ in range(20)]
        try:
            for container in containers:
                engine.expect(204, "POST", f"/containers/{container}/start")
            time.sleep(1)
            mains = [engine.state_pid(container) for container in containers]
            idle[engine.name] = Series(engine.name, [pss(pid) + pss(parent(pid)) for pid in mains])
        finally:
            for container in containers:
                engine.remove(container)
    return [
        Result("idle", "an idle container with its monitor, 20 running, PSS", "MiB", idle, [Target("", 1.2)]),
        Result("engine", "engine and launcher, nothing running, PSS", "MiB", engines, [Target("", 80)]),
    ]


def logs(peers: Peers) -> list[Result]:
    lines = lines_file(peers.work / "lines")
    size = lines.stat().st_size
    written: dict[str, Callable[[], float]] = {}
    read: dict[str, Callable[[], float]] = {}
    last: dict[str, str] = {}

    def write(engine: Engine) -> float:
        if engine.name in last:
            engine.remove(last.pop(engine.name))
        last[engine.name] = container = engine.create(
            ["cat", "/data/lines"], Binds=[f"{lines}:/data/lines:ro"]
        )
        begin = time.monotonic_ns()
        engine.expect(204, "POST", f"/containers/{container}/start")
        if engine.expect(200, "POST", f"/containers/{container}/wait")["StatusCode"] != 0:
            raise RuntimeError(f"{engine.name}: cat failed")
        return (time.monotonic_ns() - begin) / 1e6

    def read_back(engine: Engine) -> float:
        begin = time.monotonic_ns()
        engine.api.send("GET", f"/containers/{last[engine.name]}/logs?stdout=1&stderr=1")
        status, total = engine.api.drain()
        if status != 200 or total < size:
            raise RuntimeError(f"{engine.name}: logs: {status}, {total} of {size} bytes")
        return (time.monotonic_ns() - begin) / 1e6

    for engine in peers.engines:
        written[engine.name] = lambda e=engine: write(e)
        read[engine.name] = lambda e=engine: read_back(e)
    rounds = max(2, peers.rounds // 6)
    try:
        return [
            Result(
                "log-write",
                "100 MB to stdout in lines of 64 bytes",
                "ms",
                in_turns(written, rounds, warmup=0),
                targets(peers, Target("docker", 1 / 2)),
            ),
            Result(
                "log-read",
                "the same, read back through `logs`",
                "ms",
                in_turns(read, rounds, warmup=0),
                targets(peers, Target("docker", 1 / 5)),
            ),
        ]
    finally:
        for engine in peers.engines:
            if engine.name in last:
                engine.remove(last[engine.name])


SCENARIOS: dict[str, Callable[[Peers], list[Result]]] = {
    "api": api,
    "command": whole_command,
    "exec": exec_,
    "parallel": side_by_side,
    "memory": memory,
    "logs": logs,
}
