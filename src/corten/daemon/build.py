"""/build: Docker's classic builder, pruning, cancelling; /corten/build: Corten's own; /corten/builds: those
that have ended."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec

from corten import errors
from corten.api.build import BuildFailure, BuildRequest, BuildResult
from corten.api.message import decode
from corten.daemon.build_query import build_request
from corten.daemon.call import Call
from corten.daemon.classic_stream import ClassicStream
from corten.daemon.hijack import Connection
from corten.daemon.message import STANDARD_HEADERS, Answer, Hijacked, Response
from corten.daemon.routing import Routes
from corten.errors import CortenError, InvalidArgument

routes = Routes()

_MAX_REQUEST = 32 << 20


@routes.post("/build")
async def build(call: Call) -> Answer:
    """Docker's classic builder: a tar of the context (or `remote`), and its lines of text as JSON."""
    request = build_request(call)
    upload = None if call.text("remote") else call.upload()
    return await call.send_lines(_classic(call, request, upload))


async def _classic(
    call: Call, request: BuildRequest, upload: AsyncIterator[bytes] | None
) -> AsyncIterator[dict[str, Any]]:
    quiet = call.flag("q")
    stream = ClassicStream()
    held: list[dict[str, Any]] = []
    events = call.engine.builds.run(request, upload, classic=True)
    begun = False
    try:
        async for event in events:
            if isinstance(event, BuildFailure):
                if not begun and not held and not event.step:
                    raise getattr(errors, event.error, CortenError)(event.message)
                for line in (*held, *stream.fail(event)):
                    yield line
            elif isinstance(event, BuildResult):
                if quiet:
                    yield {"stream": f"{event.image_id}\n"}
                else:
                    for line in stream.end(event, event.names):
                        yield line
            else:
                for line in stream.event(event):
                    if quiet:
                        held.append(line)
                    else:
                        begun = True
                        yield line
    finally:
        await events.aclose()  # type: ignore[attr-defined]


@routes.post("/build/prune")
async def prune(call: Call) -> Answer:
    return call.json(
        await call.engine.builds.prune(
            all=call.flag("all"),
            filters=call.filters(),
            reserved_space=call.number("reserved-space") or call.number("keep-storage") or 0,
            max_used_space=call.number("max-used-space") or 0,
            min_free_space=call.number("min-free-space") or 0,
        )
    )


@routes.post("/build/cancel")
async def cancel(call: Call) -> Answer:
    if not call.text("id"):
        raise InvalidArgument("build id is missing")
    call.engine.builds.cancel(call.text("id"))
    return call.empty()


@routes.post("/corten/build")
async def run(call: Call) -> Answer:
    """The body begins with a line of JSON (BuildRequest); a context that is uploaded follows. The answer is
    a line of JSON for each event, and the last tells how it ended."""
    line, rest = await _first_line(call)
    request = decode(line, BuildRequest)
    return await _send_events(call, call.engine.builds.run(request, rest))


async def _first_line(call: Call) -> tuple[bytes, AsyncIterator[bytes]]:
    pieces = call.upload()
    line = bytearray()
    async for piece in pieces:
        head, newline, tail = piece.partition(b"\n")
        line += head
        if len(line) > _MAX_REQUEST:
            raise InvalidArgument(f"the build's request has more than {_MAX_REQUEST} bytes")
        if newline:
            return bytes(line), _from(tail, pieces)
    return bytes(line), _from(b"", pieces)


async def _from(first: bytes, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if first:
        yield first
    async for piece in pieces:
        yield piece


async def _send_events(call: Call, events: AsyncIterator[object]) -> Answer:
    encoder = msgspec.json.Encoder()
    response = await call.open_stream("application/x-ndjson")
    try:
        async for event in events:
            await response.write(encoder.encode(event) + b"\n")
    except CortenError as error:
        await response.write(encoder.encode(BuildFailure(message=error.message)) + b"\n")
    finally:
        await events.aclose()  # type: ignore[attr-defined]
    await response.write_eof()
    return response


@routes.post("/corten/build/{id}/credential")
async def credential(call: Call) -> Answer:
    """The answer to a CredentialQuery."""
    build = call.engine.builds.find(call["id"])
    build.answer_credential(call.text("domain"), call.header("X-Registry-Auth"))
    return call.empty()


@routes.get("/corten/build/{id}/files/{index}")
async def file(call: Call) -> Answer:
    """What a FileOffer offers."""
    build = call.engine.builds.find(call["id"])
    if not call["index"].isdecimal():
        raise InvalidArgument(f"invalid number of a file: {call['index']!r}")
    return await call.send_bytes(build.file(int(call["index"])), "application/octet-stream")


@routes.post("/corten/build/{id}/shell")
async def shell(call: Call) -> Answer:
    """The shell of a ShellOffer: the connection becomes its terminal, of `h` rows and `w` columns."""
    stand = call.engine.builds.find(call["id"]).shell
    stand.check()
    connection = Connection(call, multiplexed=False)
    connection.answer()
    fd = connection.duplicate()
    connection.release()
    await stand.open(fd, call.number("h") or 0, call.number("w") or 0)
    return Hijacked()


@routes.post("/corten/build/{id}/shell/resize")
async def resize(call: Call) -> Answer:
    """The terminal has another size."""
    stand = call.engine.builds.find(call["id"]).shell
    await stand.resize(call.required_number("h"), call.required_number("w"))
    return call.empty(200)


@routes.delete("/corten/build/{id}/shell")
async def no_shell(call: Call) -> Answer:
    """The client wants none."""
    call.engine.builds.find(call["id"]).shell.decline()
    return call.empty()


@routes.get("/corten/builds")
async def history(call: Call) -> Answer:
    """The records, the last build first."""
    return call.json(await call.engine.builds.history.records())


@routes.delete("/corten/builds")
async def clear_history(call: Call) -> Answer:
    """Removes all records."""
    await call.engine.builds.history.clear()
    return call.empty()


@routes.get("/corten/builds/{ref}")
async def record(call: Call) -> Answer:
    """One record: `ref` is an id or its beginning, or ^N for the Nth before the last."""
    return call.json(await call.engine.builds.history.find(call["ref"]))


@routes.get("/corten/builds/{ref}/events")
async def record_events(call: Call) -> Answer:
    """What its client was told, as POST /corten/build answers; a status has the time `at`, too."""
    body = await call.engine.builds.history.events(call["ref"])
    return Response(body=body, headers={**STANDARD_HEADERS, "Content-Type": "application/x-ndjson"})


@routes.delete("/corten/builds/{ref}")
async def remove_record(call: Call) -> Answer:
    """Removes one record."""
    await call.engine.builds.history.remove(call["ref"])
    return call.empty()
