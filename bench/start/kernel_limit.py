"""The C program beside this file: the kernel work of a start, an end and a removal, without any engine."""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

ROUNDS = 5
ROUNDS_AT_ONCE = 20  # so that beginning and end, where fewer run, weigh little


class KernelLimit:
    """Runs the program over `rootfs`, with writable layers below `scratch`."""

    def __init__(self, program: Path, rootfs: Path, scratch: Path) -> None:
        self._program = program
        self._rootfs = rootfs
        self._scratch = scratch
        hierarchies = [
            line.split()[4]
            for line in Path("/proc/self/mountinfo").read_text().splitlines()
            if " - cgroup" in line
        ]
        self._hierarchies = list(dict.fromkeys(hierarchies))

    def alone(self) -> float:
        """Milliseconds of one: the median of a few."""
        return median(self._run(0, ROUNDS))

    def at_once(self, count: int) -> list[float]:
        """Milliseconds of each when `count` programs run, each of them one after the other."""
        with ThreadPoolExecutor(count) as pool:
            runs = pool.map(lambda number: self._run(number, ROUNDS_AT_ONCE), range(count))
            return [sample for samples in runs for sample in samples]

    def _run(self, number: int, rounds: int) -> list[float]:
        scratch = self._scratch / str(number)
        scratch.mkdir(parents=True, exist_ok=True)
        cgroups = [f"{path}/bench-kernel-limit-{os.getpid()}-{number}" for path in self._hierarchies]
        command = [str(self._program), str(self._rootfs), str(scratch), str(rounds), *cgroups]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return [int(line) / 1e6 for line in output.split()]


def kernel_limit(work: Path, rootfs: Path) -> KernelLimit | None:
    """Compiles the program; None where there is no C compiler."""
    program = work / "kernel_limit"
    try:
        source = Path(__file__).with_suffix(".c")
        subprocess.run(["cc", "-O2", "-o", str(program), str(source)], check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return KernelLimit(program, rootfs, work / "kernel")
