"""/containers: what stays open: attach, logs, wait, stats."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from corten.api.container import WaitError, WaitResult
from corten.api.message import encode
from corten.daemon.call import MULTIPLEXED_STREAM, RAW_STREAM, Call
from corten.daemon.hijack import Connection
from corten.daemon.message import Answer, Hijacked
from corten.daemon.routing import Routes
from corten.engine.results import LogQuery
from corten.engine.timestamp import parse_time
from corten.errors import CortenError, InvalidArgument

if TYPE_CHECKING:
    from aiohttp import web

routes = Routes()

_CONDITIONS = ("", "not-running", "next-exit", "removed")


@routes.post("/containers/{id}/attach")
async def attach(call: Call) -> Answer:
    containers, ref = call.engine.containers, call["id"]
    tty = await containers.check_attach(ref)
    connection = Connection(call, multiplexed=not tty)
    connection.answer()
    try:
        await containers.attach(
            ref,
            connection.duplicate(),
            stdin=call.flag("stdin"),
            stdout=call.flag("stdout"),
            stderr=call.flag("stderr"),
            logs=call.flag("logs"),
            stream=call.flag("stream"),
            detach_keys=call.text("detachKeys") or None,
        )
    except CortenError as error:
        connection.fail(error.message)
    else:
        connection.release()
    return Hijacked()


@routes.get("/containers/{id}/attach/ws")
async def attach_websocket(call: Call) -> Answer:
    """The same stream in the messages of a websocket, raw: what a web page's terminal wants."""
    from aiohttp import web

    from corten.daemon.aiohttp_server import FullRequest

    containers, ref = call.engine.containers, call["id"]
    await containers.check_attach(ref)
    if not isinstance(call.http, FullRequest):
        raise InvalidArgument("this address is a websocket's: the header Upgrade: websocket is missing")
    call.ends_with_client()
    response = web.WebSocketResponse()
    await response.prepare(call.http.http)
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    try:
        await containers.attach(
            ref,
            theirs.detach(),
            stdin=call.flag("stdin"),
            stdout=call.flag("stdout"),
            stderr=call.flag("stderr"),
            logs=call.flag("logs"),
            stream=call.flag("stream", default=True),
            detach_keys=call.text("detachKeys") or None,
        )
        reader = asyncio.create_task(_socket_to_websocket(ours, response))
        try:
            await _websocket_to_socket(response, ours)
        finally:
            reader.cancel()
    except CortenError as error:
        await response.send_str(error.message)
    finally:
        ours.close()
        await response.close()
    return response


async def _socket_to_websocket(source: socket.socket, target: web.WebSocketResponse) -> None:
    loop = asyncio.get_running_loop()
    while piece := await loop.sock_recv(source, 1 << 16):
        await target.send_bytes(piece)
    await target.close()


async def _websocket_to_socket(source: web.WebSocketResponse, target: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    async for message in source:
        if isinstance(message.data, (str, bytes)):
            data = message.data.encode() if isinstance(message.data, str) else message.data
            await loop.sock_sendall(target, data)


def _moment(call: Call, name: str) -> int | None:
    text = call.text(name)
    return parse_time(text) if text and text != "0" else None


@routes.get("/containers/{id}/logs")
async def logs(call: Call) -> Answer:
    stdout, stderr = call.flag("stdout"), call.flag("stderr")
    if not stdout and not stderr:
        raise InvalidArgument("Bad parameters: you must choose at least one stream")
    tail = call.text("tail") or "all"
    query = LogQuery(
        stdout=stdout,
        stderr=stderr,
        since=_moment(call, "since"),
        until=_moment(call, "until"),
        # Docker takes what is no number for "all".
        tail=int(tail) if tail.isdigit() else None,
        follow=call.flag("follow"),
        timestamps=call.flag("timestamps"),
        details=call.flag("details"),
    )
    stream = await call.engine.containers.logs(call["id"], query)
    multiplexed = not stream.tty and call.version >= (1, 42)
    response = await call.open_stream(MULTIPLEXED_STREAM if multiplexed else RAW_STREAM)
    try:
        async for piece in stream.chunks:
            await response.write(piece)
    finally:
        close = getattr(stream.chunks, "aclose", None)
        if close is not None:
            await close()
    await response.write_eof()
    return response


@routes.post("/containers/{id}/wait")
async def wait(call: Call) -> Answer:
    condition = call.text("condition")
    if condition not in _CONDITIONS:
        raise InvalidArgument(f'invalid condition: "{condition}"')
    waiter = call.engine.containers.wait(call["id"], condition or "not-running")
    try:
        # The headers go first: `docker run` starts the container only after it has seen them.
        response = await call.open_stream("application/json")
        result = await waiter.result()
    except BaseException:
        waiter.cancel()
        raise
    answer = WaitResult(status_code=result.status_code)
    if result.error:
        answer.error = WaitError(message=result.error)
    await response.write_eof(encode(answer) + b"\n")
    return response


@routes.get("/containers/{id}/stats")
async def stats(call: Call) -> Answer:
    stream = call.flag("stream", default=True)
    one_shot = call.flag("one-shot")
    if stream and one_shot:
        raise InvalidArgument("cannot have stream=true and one-shot=true")
    samples = await call.engine.containers.stats(call["id"], stream=stream, one_shot=one_shot)
    return await call.send_lines(samples)
