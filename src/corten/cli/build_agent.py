"""`--ssh`: sockets of agents. For keys that are given as files an ssh-agent of this command's own is started,
which ends with it."""

from __future__ import annotations

import os

from corten.errors import InvalidArgument, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# An agent that outlives a killed command has no key any more after a day.
_LIFETIME = "1d"


class Agents:
    """A context: the agents of one build. `sockets` are (id, path)."""

    def __init__(self, specs: Sequence[str]) -> None:
        self._specs = specs
        self._started: list[int] = []
        self.sockets: list[tuple[str, str]] = []

    def __enter__(self) -> Agents:
        try:
            for spec in self._specs:
                self._add(spec)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for pid in self._started:
            try:
                os.kill(pid, 15)
            except ProcessLookupError:
                pass
        self._started = []

    def _add(self, spec: str) -> None:
        name, _equals, rest = spec.partition("=")
        if not name:
            raise InvalidArgument(f"invalid --ssh {spec!r}: write it as default or ID=SOCKET|KEY[,KEY]")
        paths = [os.path.abspath(os.path.expanduser(path)) for path in rest.split(",") if path]
        if not paths:
            path = os.environ.get("SSH_AUTH_SOCK", "")
            if not path:
                raise InvalidArgument(
                    f"--ssh {spec}: no agent runs ($SSH_AUTH_SOCK is empty): start one, or give a key by"
                    f" --ssh {name}=FILE"
                )
            paths = [path]
        kinds = []
        for path in paths:
            try:
                kinds.append(os.stat(path).st_mode & 0o170000)
            except OSError as error:
                raise InvalidArgument(f"--ssh {spec}: cannot use {path}: {error.strerror}") from error
        if kinds == [0o140000]:  # S_IFSOCK
            self.sockets.append((name, paths[0]))
        elif 0o140000 in kinds:
            raise InvalidArgument(f"--ssh {spec}: give one socket, or key files only")
        else:
            self.sockets.append((name, self._start(spec, paths)))

    def _start(self, spec: str, keys: list[str]) -> str:
        import subprocess

        try:
            said = subprocess.run(["ssh-agent", "-s"], capture_output=True, text=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError) as error:
            raise Unsupported(
                f"--ssh {spec}: keys in files need the program ssh-agent (package openssh-client):"
                " install it, or give an agent's socket"
            ) from error
        told = dict(part.strip().partition("=")[::2] for part in said.replace("\n", ";").split(";"))
        socket = told["SSH_AUTH_SOCK"]
        self._started.append(int(told["SSH_AGENT_PID"]))
        for key in keys:
            done = subprocess.run(
                ["ssh-add", "-q", "-t", _LIFETIME, key],
                env={**os.environ, "SSH_AUTH_SOCK": socket, "SSH_ASKPASS_REQUIRE": "never"},
                stdin=None if os.isatty(0) else subprocess.DEVNULL,
                capture_output=not os.isatty(0),
                text=True,
                check=False,
            )
            if done.returncode:
                why = (done.stderr or "").strip().splitlines()
                raise InvalidArgument(
                    f"--ssh {spec}: ssh-add refuses the key {key}{f': {why[-1]}' if why else ''}"
                )
        return socket
