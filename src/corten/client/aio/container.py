"""One container: its life, its output, commands in it, its files."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from typing import Any

from corten.api.container import Change, CommitResult, ContainerInspect, Top, WaitResult
from corten.api.exec import ExecCreated, ExecInspect
from corten.api.message import decode
from corten.api.stats import ContainerStats
from corten.client import container_options
from corten.client.async_transport import AsyncHijacked, AsyncTransport
from corten.client.muxstream import STDERR, Demultiplexer
from corten.client.results import Result
from corten.errors import NotFound, NotModified


class AsyncContainer:
    """A container by its id (or name). `warnings` is what the engine said at its creation."""

    def __init__(self, transport: AsyncTransport, id: str, warnings: tuple[str, ...] = ()) -> None:
        self._transport = transport
        self.id = id
        self.warnings = warnings

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id[:12]}>"

    async def _post(self, verb: str, query: Mapping[str, str] | None = None, json: object = None) -> bytes:
        answer = await self._transport.request(
            "POST", f"/containers/{self.id}/{verb}", query=query, json=json
        )
        return await answer.read()

    # Life.

    async def start(self) -> None:
        """Starts it; nothing happens when it runs."""
        try:
            await self._post("start")
        except NotModified:
            pass

    async def stop(self, timeout: int | None = None, signal: str | None = None) -> None:
        """Asks it to stop, kills it after `timeout` seconds (10 by default)."""
        query = {} if timeout is None else {"t": str(timeout)}
        if signal is not None:
            query["signal"] = signal
        try:
            await self._post("stop", query)
        except NotModified:
            pass

    async def restart(self, timeout: int | None = None) -> None:
        """Stops and starts it."""
        await self._post("restart", {} if timeout is None else {"t": str(timeout)})

    async def kill(self, signal: str | int = "SIGKILL") -> None:
        """Sends a signal to its process 1."""
        await self._post("kill", {"signal": str(signal)})

    async def pause(self) -> None:
        """Freezes every process of it."""
        await self._post("pause")

    async def unpause(self) -> None:
        """Thaws it."""
        await self._post("unpause")

    async def wait(self, condition: str = "not-running") -> int:
        """Waits for `not-running`, `next-exit` or `removed`; returns the exit code."""
        return decode(await self._post("wait", {"condition": condition}), WaitResult).status_code

    async def remove(self, *, force: bool = False, volumes: bool = False, missing_ok: bool = False) -> None:
        """Removes it; `force` kills it first, `volumes` removes its anonymous volumes."""
        query = {key: "1" for key, wanted in (("force", force), ("v", volumes)) if wanted}
        try:
            answer = await self._transport.request("DELETE", f"/containers/{self.id}", query=query)
            await answer.read()
        except NotFound:
            if not missing_ok:
                raise

    async def rename(self, name: str) -> None:
        """Gives it another name."""
        await self._post("rename", {"name": name})

    async def update(
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
        await self._post("update", json=body)

    # What it is and does.

    async def _get(self, what: str, query: Mapping[str, str] | None = None) -> bytes:
        answer = await self._transport.request("GET", f"/containers/{self.id}/{what}", query=query)
        return await answer.read()

    async def inspect(self) -> ContainerInspect:
        """Everything about it."""
        return decode(await self._get("json"), ContainerInspect)

    async def top(self, ps_args: str = "") -> Top:
        """Its processes."""
        return decode(await self._get("top", {"ps_args": ps_args} if ps_args else None), Top)

    async def changes(self) -> Sequence[Change]:
        """What it changed in its file system."""
        return decode(await self._get("changes"), list[Change])

    async def stats(self) -> ContainerStats:
        """What it uses now; two samples a second apart are in it, for the CPU's percentage."""
        return decode(await self._get("stats", {"stream": "0"}), ContainerStats)

    async def logs(
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
        data = b"".join([piece async for _stream, piece in pieces])
        return data.decode("utf-8", "surrogateescape")

    async def follow_logs(
        self,
        *,
        stdout: bool = True,
        stderr: bool = True,
        tail: int | None = None,
        since: float | None = None,
        until: float | None = None,
        timestamps: bool = False,
        follow: bool = True,
    ) -> AsyncIterator[tuple[int, bytes]]:
        """Its output as (1 or 2, bytes), until it ends."""
        query = {key: "1" for key, wanted in (("stdout", stdout), ("stderr", stderr)) if wanted}
        query |= {key: "1" for key, wanted in (("timestamps", timestamps), ("follow", follow)) if wanted}
        for name, value in (("tail", tail), ("since", since), ("until", until)):
            if value is not None:
                query[name] = str(value)
        tty = (await self.inspect()).config.tty
        demultiplexer = Demultiplexer()
        answer = await self._transport.request("GET", f"/containers/{self.id}/logs", query=query)
        try:
            async for data in answer.stream():
                for piece in [(1, data)] if tty else demultiplexer.feed(data):
                    yield piece
        finally:
            await answer.aclose()

    # Commands in it.

    async def exec(
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
        exec_id = decode(await self._post("exec", json=body), ExecCreated).id
        answer = await self._transport.request(
            "POST", f"/exec/{exec_id}/start", json={"Detach": False, "Tty": tty}, upgrade=True
        )
        stdout, stderr = await _collect(answer.hijack(), data, timeout, tty)
        inspected = await self._transport.request("GET", f"/exec/{exec_id}/json")
        code = decode(await inspected.read(), ExecInspect).exit_code
        result = Result(exit_code=-1 if code is None else code, stdout_bytes=stdout, stderr_bytes=stderr)
        return result.check() if check else result

    async def attach(self, *, stdin: bool = True, logs: bool = False, detach_keys: str = "") -> AsyncHijacked:
        """Its raw stream: multiplexed (`corten.client.muxstream`) unless it has a terminal. The caller closes
        it."""
        query = {"stream": "1", "stdout": "1", "stderr": "1"}
        query |= {key: "1" for key, wanted in (("stdin", stdin), ("logs", logs)) if wanted}
        if detach_keys:
            query["detachKeys"] = detach_keys
        answer = await self._transport.request(
            "POST", f"/containers/{self.id}/attach", query=query, upgrade=True
        )
        return answer.hijack()

    async def resize(self, rows: int, columns: int) -> None:
        """Tells its terminal another size."""
        await self._post("resize", {"h": str(rows), "w": str(columns)})

    async def _run(self, data: bytes, timeout: float | None, removed: bool, *, tty: bool) -> Result:
        """Starts it with `data` as its stdin; waits for its end, or kills it after `timeout` seconds."""
        stream = await self.attach(stdin=bool(data))
        # The answer's head comes at once, its body at the end: asked for before the start, no exit is missed.
        waiting = await self._transport.request(
            "POST",
            f"/containers/{self.id}/wait",
            query={"condition": "removed" if removed else "next-exit"},
        )
        try:
            await self.start()
            stdout, stderr = await _collect(stream, data, timeout, tty)
            code = decode(await waiting.read(), WaitResult).status_code
        except TimeoutError:
            await self.kill()
            await waiting.read()
            raise
        finally:
            await stream.aclose()
            await waiting.aclose()
        return Result(exit_code=code, stdout_bytes=stdout, stderr_bytes=stderr)

    # Its files.

    async def get_archive(self, path: str) -> AsyncIterator[bytes]:
        """A tar of the file or directory at `path`."""
        answer = await self._transport.request("GET", f"/containers/{self.id}/archive", query={"path": path})
        try:
            async for data in answer.stream():
                yield data
        finally:
            await answer.aclose()

    async def put_archive(self, path: str, archive: bytes | AsyncIterable[bytes]) -> None:
        """Unpacks a tar in the directory at `path`."""
        answer = await self._transport.request(
            "PUT", f"/containers/{self.id}/archive", query={"path": path}, body=archive
        )
        await answer.read()

    async def read_file(self, path: str) -> bytes:
        """The content of one file."""
        from corten.client import files

        archive = b""
        async for data in self.get_archive(path):
            archive += data
        return files.only_file(archive, path)

    async def write_file(self, path: str, content: str | bytes, *, mode: int = 0o644) -> None:
        """Writes one file, whose directory exists."""
        from corten.client import files

        data = content.encode() if isinstance(content, str) else content
        directory, name = os.path.split(path)
        await self.put_archive(directory or "/", files.one_file(name, data, mode))

    async def export(self) -> AsyncIterator[bytes]:
        """Its whole file system as a tar."""
        answer = await self._transport.request("GET", f"/containers/{self.id}/export")
        try:
            async for data in answer.stream():
                yield data
        finally:
            await answer.aclose()

    async def commit(
        self, repository: str = "", tag: str = "", *, message: str = "", changes: Sequence[str] = ()
    ) -> str:
        """Makes an image of what it changed; returns the image's id."""
        query = {"container": self.id, "repo": repository, "tag": tag, "comment": message}
        if changes:
            query["changes"] = "\n".join(changes)
        answer = await self._transport.request("POST", "/commit", query=query)
        return decode(await answer.read(), CommitResult).id


async def _collect(
    stream: AsyncHijacked, data: bytes, timeout: float | None, tty: bool
) -> tuple[bytes, bytes]:
    """(stdout, stderr) of a hijacked stream until its end."""
    demultiplexer = Demultiplexer()
    stdout: list[bytes] = []
    stderr: list[bytes] = []
    try:
        async for received in stream.communicate(data, timeout):
            for source, piece in [(1, received)] if tty else demultiplexer.feed(received):
                (stderr if source == STDERR else stdout).append(piece)
    finally:
        await stream.aclose()
    return b"".join(stdout), b"".join(stderr)
