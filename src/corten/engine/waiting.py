"""Who waits for a container to end: registered at once, woken by the end or the removal."""

from __future__ import annotations

import asyncio

from corten.engine.record import Container
from corten.engine.results import Exit, Waiter
from corten.engine.state import Status
from corten.errors import InvalidArgument

CONDITIONS = frozenset({"not-running", "next-exit", "removed"})


def register(container: Container, condition: str) -> Waiter:
    """A waiter for `condition`; answered already when "not-running" is asked of one that does not run."""
    condition = condition or "not-running"
    if condition not in CONDITIONS:
        raise InvalidArgument(f'invalid condition: "{condition}"')
    future: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
    idle = not container.state.status.has_process and container.state.status is not Status.RESTARTING
    if condition == "not-running" and idle:
        future.set_result(exit_of(container))
        return Waiter(future)
    waiters = container.waiters.setdefault(condition, [])
    waiters.append(future)
    future.add_done_callback(lambda done: _forget(waiters, done))
    return Waiter(future)


def _forget(waiters: list[asyncio.Future[Exit]], future: asyncio.Future[Exit]) -> None:
    if future in waiters:
        waiters.remove(future)


def exit_of(container: Container, error: str = "") -> Exit:
    """How the container ended last."""
    return Exit(container.state.exit_code, error)


def wake(container: Container, *conditions: str, error: str = "") -> None:
    """Answers everybody who waits for one of `conditions`."""
    result = exit_of(container, error)
    for condition in conditions:
        for future in container.waiters.pop(condition, ()):
            if not future.done():
                future.set_result(result)
