"""What all tests share: coroutine tests, skips by privilege, and directories of their own."""

from __future__ import annotations

import asyncio
import inspect
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import guardian


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("root") is not None and os.geteuid() != 0:
            item.add_marker(pytest.mark.skip("needs root"))
        if item.get_closest_marker("rootless") is not None and os.geteuid() == 0:
            item.add_marker(pytest.mark.skip("is for an ordinary user"))


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """
    Bytes do not name a test: they may hold the time that they were made at (gzip does), and the workers of
    one session refuse to begin when they collect different names.
    """
    return argname if isinstance(val, bytes) and (len(val) > 64 or not val.isascii()) else None


def _on_this_host() -> set[str]:
    """Cgroups and links that have corten's name; those in namespaces that tests made go with these."""
    links = _matches("/sys/class/net", "corten*")
    places = _matches("/sys/fs/cgroup", "corten*/*/") | _matches("/sys/fs/cgroup", "*/corten*/*/")
    return {f"link {link.name}" for link in links} | {f"cgroup {place}" for place in places}


def _matches(directory: str, pattern: str) -> set[Path]:
    """What matches; what others remove at the same moment does not count."""
    while True:
        try:
            return set(Path(directory).glob(pattern))
        except FileNotFoundError:
            continue


_BEFORE = pytest.StashKey[set[str]]()
_LEFT = pytest.StashKey[set[str]]()
_GUARDIAN = pytest.StashKey[subprocess.Popen[bytes]]()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        # A shell's background jobs, and nohup, ignore them, and what is started inherits that: commands that
        # tests interrupt must not.
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    if hasattr(session.config, "workerinput"):
        return
    session.config.stash[_BEFORE] = _on_this_host()
    mark = secrets.token_hex(8)
    session.config.stash[_GUARDIAN] = subprocess.Popen(
        [sys.executable, guardian.__file__, mark], stdin=subprocess.PIPE, start_new_session=True
    )
    os.environ[guardian.VARIABLE] = mark


def _left(before: set[str]) -> set[str]:
    processes = guardian.marked(os.environ[guardian.VARIABLE])
    return (_on_this_host() - before) | {f"process {pid} {name}" for pid, name in processes.items()}


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """The suite fails when it leaves something on the host, whichever test it was."""
    before = session.config.stash.get(_BEFORE, None)
    if before is None:
        return
    deadline = time.monotonic() + 5
    while (left := _left(before)) and time.monotonic() < deadline:
        time.sleep(0.1)
    session.config.stash[_LEFT] = left
    keeper = session.config.stash[_GUARDIAN]
    keeper.communicate(b"" if left else b".")
    if left:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for left in sorted(config.stash.get(_LEFT, ())):
        terminalreporter.write_line(f"LEFT on this host: {left}", red=True)


@pytest.fixture
def loop_runner() -> Iterator[asyncio.Runner]:
    """The event loop of one test: its asynchronous fixtures and its body run in it."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """`async def test_…` runs in the loop of `loop_runner`."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    runner = pyfuncitem.funcargs.get("loop_runner")
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    if isinstance(runner, asyncio.Runner):
        runner.run(pyfuncitem.obj(**arguments))
    else:
        asyncio.run(pyfuncitem.obj(**arguments))
    return True


@pytest.fixture
def short_tmp() -> Iterator[Path]:
    """A directory with a short path (a unix socket's name holds 107 bytes)."""
    path = Path(tempfile.mkdtemp(prefix="ct-", dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)
