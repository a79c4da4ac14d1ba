"""Runs commands and times them, in a mount namespace of its own if asked; one JSON object a line in and out.

Every command of every peer is spawned by such a worker, so that what spawning costs is the same for all.
Requests: {"argv": [...], "env": {...}, "capture": bool}; answers: {"ns": int, "status": int, "stderr": str,
"stdout": str}. Without `capture` stdout is /dev/null.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from typing import Any


class Worker:
    """The parent's end. `without_unified` hides cgroup v2's mount: crun refuses the hybrid layout."""

    def __init__(self, *, without_unified: bool = False) -> None:
        command = [sys.executable, "-m", "bench.worker"]
        if without_unified and os.path.ismount("/sys/fs/cgroup/unified"):
            script = 'umount /sys/fs/cgroup/unified && exec "$@"'
            command = ["unshare", "--mount", "--", "sh", "-c", script, "sh", *command]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, argv: list[str], env: dict[str, str] | None = None) -> float:
        """Milliseconds of one run; RuntimeError when it exits with anything but 0."""
        return float(self._ask(argv, env, capture=False)["ns"]) / 1e6

    def output(self, argv: list[str], env: dict[str, str] | None = None) -> str:
        """What one run writes to stdout; RuntimeError as in `run`."""
        return str(self._ask(argv, env, capture=True)["stdout"])

    def _ask(self, argv: list[str], env: dict[str, str] | None, *, capture: bool) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        request = {"argv": argv, "env": env or {}, "capture": capture}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{' '.join(argv)}: the worker has ended")
        answer: dict[str, Any] = json.loads(line)
        if answer["status"] != 0:
            raise RuntimeError(
                f"{' '.join(argv)}: exit status {answer['status']}: {answer['stderr'].strip()}"
            )
        return answer

    def close(self) -> None:
        if self.process.stdin:
            self.process.stdin.close()
        self.process.wait()


def serve() -> None:
    null_in, null_out = os.open("/dev/null", os.O_RDONLY), os.open("/dev/null", os.O_WRONLY)
    for line in sys.stdin:
        request = json.loads(line)
        environment = {**os.environ, **request["env"]}
        with tempfile.TemporaryFile() as errors, tempfile.TemporaryFile() as output:
            actions = [
                (os.POSIX_SPAWN_DUP2, null_in, 0),
                (os.POSIX_SPAWN_DUP2, output.fileno() if request["capture"] else null_out, 1),
                (os.POSIX_SPAWN_DUP2, errors.fileno(), 2),
            ]
            begin = time.monotonic_ns()
            pid = os.posix_spawnp(request["argv"][0], request["argv"], environment, file_actions=actions)
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            end = time.monotonic_ns()
            errors.seek(0)
            output.seek(0)
            answer = {
                "ns": end - begin,
                "status": status,
                "stderr": errors.read().decode(errors="replace")[-2000:],
                "stdout": output.read().decode(errors="replace"),
            }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve()
