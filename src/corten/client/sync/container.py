# Generated from corten/client/aio by scripts/generate_sync_client: change it there.
"""One container: its life, its output, commands in it, its files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from corten.api.container import Change, CommitResult, ContainerInspect, Top, WaitResult
from corten.api.exec import ExecCreated, ExecInspect
from corten.api.message import decode
from corten.api.stats import ContainerStats
from corten.client import container_options
from corten.client.muxstream import STDERR, Demultiplexer
from corten.client.results import Result
from corten.client.transport import Hijacked, Transport
from corten.errors import NotFound, NotModified


class Container:
    """A container by its id (or name). `warnings` is what the engine said at its creation."""

    def __init__(self, transport: Transport, id: str, warnings: tuple[str, ...] = ()) -> None:
        self._transport = transport
        self.id = id
        self.warnings = warnings

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id[:12]}>"

    def _post(self, verb: str, query: Mapping[str, str] | None = None, json: object = None) -> bytes:
        answer = self._transport.request("POST", f"/containers/{self.id}/{verb}", query=query, json=json)
        return answer.read()

    # Life.

    def start(self) -> None:
        """Starts it; nothing happens when it runs."""
        try:
            self._post("start")
        except NotModified:
            pass

    def stop(self, timeout: int | None = None, signal: str | None = None) -> None:
        """Asks it to stop, kills it after `timeout` seconds (10 by default)."""
        query = {} if timeout is None else {"t": str(timeout)}
        if signal is not None:
            query["signal"] = signal
        try:
            self._post("stop", query)
        except NotModified:
            pass

    def restart(self, timeout: int | None = None) -> None:
        """Stops and starts it."""
        self._post("restart", {} if timeout is None else {"t": str(timeout)})

    def kill(self, signal: str | int = "SIGKILL") -> None:
        """Sends a signal to its process 1."""
        self._post("kill", {"signal": str(signal)})

    def pause(self) -> None:
        """Freezes every process of it."""
        self._post("pause")

    def unpause(self) -> None:
        """Thaws it."""
        self._post("unpause")

    def wait(self, condition: str = "not-running") -> int:
        """Waits for `not-running`, `next-exit` or `removed`; returns the exit code."""
        return decode(self._post("wait", {"condition": condition}), WaitResult).status_code

    def remove(self, *, force: bool = False, volumes: bool = False, missing_ok: bool = False) -> None:
        """Removes it; `force` kills it first, `volumes` removes its anonymous volumes."""
        query = {key: "1" for key, wanted in (("force", force), ("v", volumes)) if wanted}
        try:
            answer = self._transport.request("DELETE", f"/containers/{self.id}", query=query)
            answer.read()
        except NotFound:
            if not missing_ok:
                raise

    def rename(self, name: str) -> None:
        """Gives it another name."""
        self._post("rename", {"name": name})

    def update(
        self,
        *,
        memory: int | str | None = None,
        memory_swap: int | str | None = None,
        cpus: float | None = None,
        pids_limit: int | None = None,
        restart: str | None = None,
    ) -> None:
        """Changes its limits, while it runs as well."""
        body: dict[str, Any] = {}
        if memory is not None:
            body["Memory"] = container_options.size(memory, "memory")
        if memory_swap is not None:
            body["MemorySwap"] = container_options.size(memory_swap, "memory_swap")
        if cpus is not None:
            body["NanoCpus"] = round(cpus * 1e9)
        if pids_limit is not None:
            body["PidsLimit"] = pids_limit
        if restart is not None:
            name, _, count = restart.partition(":")
            body["RestartPolicy"] = {"Name": name, "MaximumRetryCount": int(count or 0)}
        self._post("update", json=body)

    # What it is and does.

    def _get(self, what: str, query: Mapping[str, str] | None = None) -> bytes:
        answer = self._transport.request("GET", f"/containers/{self.id}/{what}", query=query)
        return answer.read()

    def inspect(self) -> ContainerInspect:
        """Everything about it."""
        return decode(self._get("json"), ContainerInspect)

    def top(self, ps_args: str = "") -> Top:
        """Its processes."""
        return decode(self._get("top", {"ps_args": ps_args} if ps_args else None), Top)

    def changes(self) -> Sequence[Change]:
        """What it changed in its file system."""
        return decode(self._get("changes"), list[Change])

    def stats(self) -> ContainerStats:
        """What it uses now; two samples a second apart are in it, for the CPU's percentage."""
        return decode(self._get("stats", {"stream": "0"}), ContainerStats)

    def logs(
        self,
        *,
        stdout: bool = True,
        stderr: bool = True,
        tail: int | None = None,
        since: float | None = None,
        until: float | None = None,
        timestamps: bool = False,
    ) -> str:
        """Its output so far, both streams in the order in which it came; times are seconds since 1970."""
        pieces = self.follow_logs(
            stdout=stdout,
            stderr=stderr,
            tail=tail,
            since=since,
            until=until,
            timestamps=timestamps,
            follow=False,
        )
        data = b"".join([piece for _stream, piece in pieces])
        return data.decode("utf-8", "surrogateescape")

    def follow_logs(
        self,
        *,
        stdout: bool = True,
        stderr: bool = True,
        tail: int | None = None,
        since: float | None = None,
        until: float | None = None,
        timestamps: bool = False,
        follow: bool = True,
    ) -> Iterator[tuple[int, bytes]]:
        """Its output as (1 or 2, bytes), until it ends."""
        query = {key: "1" for key, wanted in (("stdout", stdout), ("stderr", stderr)) if wanted}
        query |= {key: "1" for key, wanted in (("timestamps", timestamps), ("follow", follow)) if wanted}
        for name, value in (("tail", tail), ("since", since), ("until", until)):
            if value is not None:
                query[name] = str(value)
        tty = (self.inspect()).config.tty
        demultiplexer = Demultiplexer()
        answer = self._transport.request("GET", f"/containers/{self.id}/logs", query=query)
        try:
            for data in answer.stream():
                for piece in [(1, data)] if tty else demultiplexer.feed(data):
                    yield piece
        finally:
            answer.close()

    # Commands in it.

    def exec(
        self,
        command: str | Sequence[str],
        *,
        input: str | bytes = b"",
        environment: Mapping[str, str] | None = None,
        user: str = "",
        workdir: str = "",
        privileged: bool = False,
        tty: bool = False,
        timeout: float | None = None,
        check: bool = False,
    ) -> Result:
        """Runs a command in it and returns how it ended, with its output.

        After `timeout` seconds TimeoutError is raised; the command goes on, for Docker's API cannot kill it.
        """
        data = input.encode() if isinstance(input, str) else input
        body = {
            "Cmd": container_options.command_list(command),
            "AttachStdin": bool(data),
            "AttachStdout": True,
            "AttachStderr": True,
            "Env": [f"{key}={value}" for key, value in (environment or {}).items()],
            "User": user,
            "WorkingDir": workdir,
            "Privileged": privileged,
            "Tty": tty,
        }
        exec_id = decode(self._post("exec", json=body), ExecCreated).id
        answer = self._transport.request(
            "POST", f"/exec/{exec_id}/start", json={"Detach": False, "Tty": tty}, upgrade=True
        )
        stdout, stderr = _collect(answer.hijack(), data, timeout, tty)
        inspected = self._transport.request("GET", f"/exec/{exec_id}/json")
        code = decode(inspected.read(), ExecInspect).exit_code
        result = Result(exit_code=-1 if code is None else code, stdout_bytes=stdout, stderr_bytes=stderr)
        return result.check() if check else result

    def attach(self, *, stdin: bool = True, logs: bool = False, detach_keys: str = "") -> Hijacked:
        """Its raw stream: multiplexed (`corten.client.muxstream`) unless it has a terminal. The caller closes
        it."""
        query = {"stream": "1", "stdout": "1", "stderr": "1"}
        query |= {key: "1" for key, wanted in (("stdin", stdin), ("logs", logs)) if wanted}
        if detach_keys:
            query["detachKeys"] = detach_keys
        answer = self._transport.request("POST", f"/containers/{self.id}/attach", query=query, upgrade=True)
        return answer.hijack()

    def resize(self, rows: int, columns: int) -> None:
        """Tells its terminal another size."""
        self._post("resize", {"h": str(rows), "w": str(columns)})

    def _run(self, data: bytes, timeout: float | None, removed: bool, *, tty: bool) -> Result:
        """Starts it with `data` as its stdin; waits for its end, or kills it after `timeout` seconds."""
        stream = self.attach(stdin=bool(data))
        # The answer's head comes at once, its body at the end: asked for before the start, no exit is missed.
        waiting = self._transport.request(
            "POST",
            f"/containers/{self.id}/wait",
            query={"condition": "removed" if removed else "next-exit"},
        )
        try:
            self.start()
            stdout, stderr = _collect(stream, data, timeout, tty)
            code = decode(waiting.read(), WaitResult).status_code
        except TimeoutError:
            self.kill()
            waiting.read()
            raise
        finally:
            stream.close()
            waiting.close()
        return Result(exit_code=code, stdout_bytes=stdout, stderr_bytes=stderr)

    # Its files.

    def get_archive(self, path: str) -> Iterator[bytes]:
        """A tar of the file or directory at `path`."""
        answer = self._transport.request("GET", f"/containers/{self.id}/archive", query={"path": path})
        try:
            for data in answer.stream():
                yield data
        finally:
            answer.close()

    def put_archive(self, path: str, archive: bytes | Iterable[bytes]) -> None:
        """Unpacks a tar in the directory at `path`."""
        answer = self._transport.request(
            "PUT", f"/containers/{self.id}/archive", query={"path": path}, body=archive
        )
        answer.read()

    def read_file(self, path: str) -> bytes:
        """The content of one file."""
        from corten.client import files

        archive = b""
        for data in self.get_archive(path):
            archive += data
        return files.only_file(archive, path)

    def write_file(self, path: str, content: str | bytes, *, mode: int = 0o644) -> None:
        """Writes one file, whose directory exists."""
        from corten.client import files

        data = content.encode() if isinstance(content, str) else content
        directory, name = os.path.split(path)
        self.put_archive(directory or "/", files.one_file(name, data, mode))

    def export(self) -> Iterator[bytes]:
        """Its whole file system as a tar."""
        answer = self._transport.request("GET", f"/containers/{self.id}/export")
        try:
            for data in answer.stream():
                yield data
        finally:
            answer.close()

    def commit(
        self, repository: str = "", tag: str = "", *, message: str = "", changes: Sequence[str] = ()
    ) -> str:
        """Makes an image of what it changed; returns the image's id."""
        query = {"container": self.id, "repo": repository, "tag": tag, "comment": message}
        if changes:
            query["changes"] = "\n".join(changes)
        answer = self._transport.request("POST", "/commit", query=query)
        return decode(answer.read(), CommitResult).id


def _collect(stream: Hijacked, data: bytes, timeout: float | None, tty: bool) -> tuple[bytes, bytes]:
    """(stdout, stderr) of a hijacked stream until its end."""
    demultiplexer = Demultiplexer()
    stdout: list[bytes] = []
    stderr: list[bytes] = []
    try:
        for received in stream.communicate(data, timeout):
            for source, piece in [(1, received)] if tty else demultiplexer.feed(received):
                (stderr if source == STDERR else stdout).append(piece)
    finally:
        stream.close()
    return b"".join(stdout), b"".join(stderr)
