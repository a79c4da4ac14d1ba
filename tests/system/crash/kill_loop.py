"""Kills engine, launcher, monitors and workers at random moments while clients work; tells what is left.

Usage: kill_loop.py DIRECTORY ARCHIVE ROUNDS SEED, in a network namespace of its own. Prints the problems, one
a line.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

PLACE, ARCHIVE = Path(sys.argv[1]), Path(sys.argv[2]).read_bytes()
ROUNDS, SEED = int(sys.argv[3]), int(sys.argv[4])
ROOT, RUN = PLACE / "root", PLACE / "run"
PATIENCE = 45
IDS: set[str] = set()


class Connection(http.client.HTTPConnection):
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(str(RUN / "engine.sock"))


def call(method: str, path: str, body: Any = None) -> tuple[int, bytes]:
    connection = Connection("engine")
    tar = isinstance(body, bytes)
    data = body if tar or body is None else json.dumps(body)
    try:
        connection.request(
            method, path, data, {"Content-Type": "application/x-tar" if tar else "application/json"}
        )
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def start() -> subprocess.Popen[bytes]:
    reader, writer = os.pipe()
    environment = {**os.environ, "CORTEN_ROOT": str(ROOT), "CORTEN_RUN": str(RUN)}
    environment["CORTEN_READY_FD"] = str(writer)
    with open(PLACE / "engine.log", "ab") as log:
        engine = subprocess.Popen(
            [sys.executable, "-m", "corten.daemon"],
            env=environment,
            pass_fds=(writer,),
            stdout=log,
            stderr=log,
        )
    os.close(writer)
    with open(reader, "rb") as ready:
        if ready.read(1) != b"1":
            engine.kill()
            print("an engine did not come up:", (PLACE / "engine.log").read_text()[-800:])
            sys.exit(1)
    return engine


def processes() -> dict[int, str]:
    """Launchers, monitors, workers and containers by pid: what has our directory in its environment."""
    found = {}
    mark = f"CORTEN_RUN={RUN}".encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found[int(entry.name)] = (entry / "comm").read_text().strip()
            except OSError:
                continue
    return found


class Client(threading.Thread):
    """Does what users do, one thing after another."""

    def __init__(self, number: int, problems: list[str]) -> None:
        super().__init__(daemon=True)
        self.chance = random.Random(SEED * 100 + number)
        self.number, self.problems, self.stop, self.started = number, problems, False, 0

    def run(self) -> None:
        tasks = [self.once, self.once, self.long, self.load, self.commit, self.volume]
        while not self.stop:
            try:
                self.chance.choice(tasks)()
            except (OSError, http.client.HTTPException, ValueError, KeyError):
                time.sleep(0.02)  # the engine is just being killed

    def make(self, *command: str, **host: Any) -> str:
        network = self.chance.choice(["none", "bridge"])
        body = {"Image": "busybox", "Cmd": command, "HostConfig": {"NetworkMode": network, **host}}
        identity: str = json.loads(call("POST", "/containers/create", body)[1])["Id"]
        IDS.add(identity)
        return identity

    def once(self) -> None:
        identity = self.make("sh", "-c", "echo hello; exit 7")
        if call("POST", f"/containers/{identity}/start")[0] == 204:
            self.started += 1
            status, answer = call("POST", f"/containers/{identity}/wait")
            if status == 200 and json.loads(answer)["StatusCode"] not in (7, 137):
                self.problems.append(f"exit status of {identity}: {answer!r}")
            status, answer = call("GET", f"/containers/{identity}/logs?stdout=1")
            if status == 200 and answer[8:] not in (b"hello\n", b""):
                self.problems.append(f"log of {identity}: {answer!r}")
        if self.chance.random() < 0.8:
            call("DELETE", f"/containers/{identity}")

    def long(self) -> None:
        identity = self.make("sleep", "1000")
        if call("POST", f"/containers/{identity}/start")[0] == 204:
            process = json.loads(call("POST", f"/containers/{identity}/exec", {"Cmd": ["true"]})[1])["Id"]
            call("POST", f"/exec/{process}/start", {"Detach": True})
            call("POST", f"/containers/{identity}/{self.chance.choice(['stop', 'restart'])}?t=0")
        if self.chance.random() < 0.7:
            call("DELETE", f"/containers/{identity}?force=1")

    def load(self) -> None:
        call("POST", "/images/load", ARCHIVE)
        call("POST", f"/images/create?fromSrc=-&repo=imported{self.number}", ARCHIVE)

    def commit(self) -> None:
        identity = self.make("true")
        call("POST", f"/containers/{identity}/start")
        call("POST", f"/commit?container={identity}&repo=committed{self.number}")
        call("DELETE", f"/containers/{identity}?force=1")

    def volume(self) -> None:
        name = f"volume{self.number}"
        call("POST", "/volumes/create", {"Name": name})
        identity = self.make("true", Binds=[f"{name}:/v"])
        call("POST", f"/containers/{identity}/start")
        call("DELETE", f"/containers/{identity}?force=1")
        call("DELETE", f"/volumes/{name}")


def strike(engine: subprocess.Popen[bytes], chance: random.Random) -> subprocess.Popen[bytes]:
    """SIGKILL to one; a new engine when it was that."""
    kind = chance.choice(["engine", "engine", "corten-launcher", "corten-monitor", "any"])
    victims = [engine.pid] if kind == "engine" else []
    victims = victims or [pid for pid, name in processes().items() if kind in (name, "any")]
    victim = chance.choice(victims or [engine.pid])
    try:
        os.kill(victim, signal.SIGKILL)
    except ProcessLookupError:
        return engine
    if victim == engine.pid:
        engine.wait()
        engine = start()
    return engine


def clear(problems: list[str]) -> None:
    """Removes everything through the API."""
    for container in json.loads(call("GET", "/containers/json?all=1")[1]):
        state = json.loads(call("GET", f"/containers/{container['Id']}/json")[1])["State"]
        if state["Running"] and not Path(f"/proc/{state['Pid']}").exists():
            problems.append(f"{container['Id']} runs without a process")
        status, answer = call("DELETE", f"/containers/{container['Id']}?force=1&v=1")
        if status != 204:
            problems.append(f"removal: {status} {answer!r}")
    for volume in json.loads(call("GET", "/volumes")[1])["Volumes"]:
        call("DELETE", "/volumes/" + volume["Name"])
    for image in json.loads(call("GET", "/images/json?all=1")[1]):
        call("DELETE", f"/images/{image['Id']}?force=1")


def left() -> list[str]:
    found = [f"process {pid} {name}" for pid, name in processes().items()]
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    found += [f"mount {line}" for line in mounts if str(PLACE) in line]
    for place in ("root/containers", "root/volumes", "root/trash", "root/content/ingest", "run/containers"):
        found += [f"{place}/{name}" for name in os.listdir(PLACE / place)]
    found += [f"blob {path}" for path in (ROOT / "content/blobs").glob("*/*")]
    found += [f"layer {path}" for path in (ROOT / "snapshots").glob("[!.]*")]
    found += [f"staging {path}" for path in (ROOT / "snapshots/.staging").iterdir()]
    cgroups = Path("/sys/fs/cgroup")
    found += [
        f"cgroup {path}"
        for path in (*cgroups.glob("*/corten/*"), *cgroups.glob("corten/*"))
        if path.name in IDS
    ]
    found += [f"link {name}" for _, name in socket.if_nameindex() if name != "lo"]
    rules = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True).stdout
    return found + ([f"rules {rules}"] if rules.strip() else [])


def main() -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    chance = random.Random(SEED)
    problems: list[str] = []
    engine = start()
    call("POST", "/images/load", ARCHIVE)
    clients = [Client(number, problems) for number in range(3)]
    for client in clients:
        client.start()
    for _ in range(ROUNDS):
        time.sleep(chance.uniform(0.01, 0.6))
        engine = strike(engine, chance)
        if engine.poll() is not None:
            problems.append("an engine ended by itself")
            engine = start()
        if (status := call("GET", "/containers/json?all=1")[0]) != 200:
            problems.append(f"ps: {status}")
    for client in clients:
        client.stop = True
    for client in clients:
        client.join(PATIENCE)
        if client.is_alive():
            problems.append("a client waits for ever")
    if sum(client.started for client in clients) < ROUNDS:
        problems.append("hardly anything was started")
    engine.kill()
    engine.wait()
    engine = start()
    clear(problems)
    engine.send_signal(signal.SIGTERM)
    if engine.wait(30) != 0:
        problems.append("an engine did not end well")
    deadline = time.monotonic() + 5
    while (found := left()) and time.monotonic() < deadline:
        time.sleep(0.1)
    log = (PLACE / "engine.log").read_text()
    problems += [*found, *([log[log.index("Traceback") :][:2000]] if "Traceback" in log else [])]
    for problem in problems:
        print(problem)


main()
