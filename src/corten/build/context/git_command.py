"""Running git on repositories that nobody vouches for: no hooks, no configuration of the host's, no
questions, and only the protocols that fetch."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from corten.errors import CortenError, Unsupported

PROTOCOLS = ("http", "https", "ssh", "git")

_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy")
_CREDENTIALS = re.compile(r"(\w+://)[^/@\s]+@")
_MAX_OUTPUT = 16 << 20
# Event loops differ in whether they start programs with a umask.
_WITH_USUAL_MODES = ("/bin/sh", "-c", 'umask 022 && exec "$@"', "sh")
_SETTINGS = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.protectHFS": "true",
    "core.protectNTFS": "true",
    "credential.helper": "",
    "gc.auto": "0",
    "init.defaultBranch": "main",
    "advice.detachedHead": "false",
    "submodule.recurse": "false",
}


class GitFailed(CortenError):
    """git ended with an error: the message is what it said."""


class Git:
    """`home` is a directory of the build's own. `agent`: the socket of the client's ssh agent, or nothing.
    `authorization` is the header of that name for the server of `remote`, when that is http(s)."""

    def __init__(self, home: Path, *, agent: str = "", remote: str = "", authorization: str = "") -> None:
        program = shutil.which("git")
        if program is None:
            raise Unsupported(
                "sources from git repositories need the program git, which is not installed here: install it "
                "(apt install git)"
            )
        self._program = program
        self._environment = _environment(home, agent, remote, authorization)

    async def __call__(
        self,
        *args: str,
        directory: Path | None = None,
        protocols: Sequence[str] = PROTOCOLS,
        environment: Mapping[str, str] | None = None,
    ) -> str:
        """What `git args` says; GitFailed. A cancelled call ends the process, and all it has started."""
        process = await asyncio.create_subprocess_exec(
            *_WITH_USUAL_MODES,
            self._program,
            "--no-optional-locks",
            *args,
            cwd=directory,
            env={
                **self._environment,
                **(environment or {}),
                "GIT_ALLOW_PROTOCOL": ":".join(protocols),
            },
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            limit=_MAX_OUTPUT,
        )
        try:
            output, errors = await process.communicate()
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            raise
        if process.returncode:
            raise GitFailed(_reason(errors) or f"git {args[0]} failed with status {process.returncode}")
        return output.decode("utf-8", "surrogateescape")


def _environment(home: Path, agent: str, remote: str, authorization: str) -> dict[str, str]:
    settings = dict(_SETTINGS)
    url = urlsplit(remote) if "://" in remote else None
    if authorization and url is not None and url.scheme in ("http", "https"):
        # Not among the arguments, where everybody could see it.
        server = f"{url.scheme}://{url.netloc.rpartition('@')[2]}/"
        settings[f"http.{server}.extraheader"] = f"Authorization: {authorization}"
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "/bin/false",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_SSH_COMMAND": "ssh -o BatchMode=yes -o StrictHostKeyChecking=yes",
        "GIT_CONFIG_COUNT": str(len(settings)),
    }
    for number, (key, value) in enumerate(settings.items()):
        environment[f"GIT_CONFIG_KEY_{number}"] = key
        environment[f"GIT_CONFIG_VALUE_{number}"] = value
    if agent:
        environment["SSH_AUTH_SOCK"] = agent
    for name in _PROXIES:
        for spelling in (name, name.upper()):
            if spelling in os.environ:
                environment[spelling] = os.environ[spelling]
    return environment


def without_credentials(text: str) -> str:
    """URLs in it without what stands before an `@`."""
    return _CREDENTIALS.sub(r"\1", text)


def _reason(errors: bytes) -> str:
    """The first line that tells of an error: what follows is what came of it."""
    lines = [line.strip() for line in errors.decode("utf-8", "backslashreplace").splitlines()]
    for position, line in enumerate(lines):
        if line.startswith(("fatal:", "error:", "ERROR:", "ssh:")):
            said = line.partition(": ")[2] if line.startswith("fatal:") else line
            if said.endswith(":"):
                said = " ".join((said, *lines[position + 1 : position + 2]))
            return without_credentials(said)[:400]
    return without_credentials(lines[-1])[:400] if lines else ""
