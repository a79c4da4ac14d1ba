"""An engine in a process of its own that builds until it is killed. Says what it has come to on stdout."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from corten.engine.engine import Engine
from corten.engine.paths import Paths
from tests.system.build.run.yard import BUSYBOX, Yard, context, copy, sh


async def main(place: Path) -> None:
    yard = Yard(await Engine.start(Paths(place / "root", place / "run")))
    await yard.solver.recover()
    yard.contexts.paths["context"] = place / "context"
    print("ready", flush=True)
    for number in range(1000):
        stage = sh(BUSYBOX, f"echo {number} > /stage; : {place}")
        target = copy(sh(BUSYBOX, f"echo {number} > /a"), context(), "file", f"/copied-{number}")
        target = sh(target, f"echo {number} > /b; : {place}", network="default")
        target = copy(target, stage, "stage", f"/staged-{number}")
        with await yard.solve(target):
            print(number, flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
