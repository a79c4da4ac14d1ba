"""Starts `program.py` for one task, gives it the layer, and waits; ends it when it takes too long."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator

import msgspec

from corten.errors import CortenError, LimitError, Unavailable
from corten.registry.page.layers.program import FAILED, UNAVAILABLE, Task

_START = "import sys; sys.path[:] = {path!r}; from corten.registry.page.layers.program import main; main()"
MOST_OUTPUT = 4096


async def run(task: Task, source: str | AsyncIterator[bytes] | None = None) -> None:
    """Runs a task to its end. `source` is the path of the layer, or its bytes.

    Raises the CortenError that the program tells (Unavailable: nothing is wrong with the layer), or
    LimitError when it took too much.
    """
    start = _START.format(path=[entry for entry in sys.path if entry])
    arguments = [sys.executable, "-I", "-S", "-c", start, msgspec.json.encode(task).decode()]
    with contextlib.ExitStack() as stack:
        if isinstance(source, str):
            stdin = stack.enter_context(open(source, "rb")).fileno()
        else:
            stdin = asyncio.subprocess.DEVNULL if source is None else asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *arguments,
            stdin=stdin,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={"LANG": "C.UTF-8"},
            start_new_session=True,
        )
    try:
        async with asyncio.timeout(task.seconds):
            output = await _follow(process, source)
    except TimeoutError:
        raise LimitError(f"it takes longer than the limit of {task.seconds} seconds") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode == UNAVAILABLE:
        raise Unavailable(output.decode("utf-8", "replace"))
    if process.returncode == FAILED:
        raise CortenError(output.decode("utf-8", "replace"))
    if process.returncode:
        raise LimitError("it needs more time or memory than the page may take")


async def _follow(process: asyncio.subprocess.Process, source: str | AsyncIterator[bytes] | None) -> bytes:
    assert process.stdout is not None
    if process.stdin is not None and source is not None and not isinstance(source, str):
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            async for piece in source:
                process.stdin.write(piece)
                await process.stdin.drain()
        process.stdin.close()
    output = await process.stdout.read(MOST_OUTPUT)
    await process.wait()
    return output
