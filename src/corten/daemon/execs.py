"""/exec: commands in a running container."""

from __future__ import annotations

from corten.api.exec import ExecCreate, ExecCreated, ExecStart
from corten.api.message import encode
from corten.daemon.call import Call
from corten.daemon.hijack import Connection
from corten.daemon.message import Answer, Hijacked
from corten.daemon.routing import Routes
from corten.errors import CortenError, InvalidArgument

routes = Routes()


@routes.post("/containers/{id}/exec")
async def create(call: Call) -> Answer:
    request = await call.body(ExecCreate)
    if not request.cmd:
        raise InvalidArgument("No exec command specified")
    return call.json(ExecCreated(id=await call.engine.execs.create(call["id"], request)), status=201)


def _size(values: list[int]) -> tuple[int, int] | None:
    return (values[0], values[1]) if len(values) == 2 and any(values) else None


@routes.post("/exec/{id}/start")
async def start(call: Call) -> Answer:
    execs, exec_id = call.engine.execs, call["id"]
    request = await call.body(ExecStart)
    size = _size(request.console_size)
    tty = execs.check_start(exec_id)
    if token := call.header("X-Corten-Stdio"):
        return await run_with_stdio(call, exec_id, token, size)
    if request.detach:
        await execs.start(exec_id, detach=True, tty=request.tty, console_size=size)
        return call.empty(200)
    connection = Connection(call, multiplexed=not tty)
    try:
        fd = connection.duplicate()
        await execs.start(exec_id, tty=request.tty, console_size=size, fd=fd, on_launch=connection.answer)
    except CortenError as error:
        connection.fail(error.message)
    else:
        connection.release()
    return Hijacked()


async def run_with_stdio(call: Call, exec_id: str, token: str, size: tuple[int, int] | None = None) -> Answer:
    """Runs it on the client's own descriptors; the answer's body ({"ExitCode": n}) comes at its end."""
    stdio = await call.daemon.stdio.take(token)
    attachment = await call.engine.execs.start(exec_id, console_size=size, stdio=stdio)
    response = await call.open_stream("application/json", {"X-Corten-Exec": exec_id})
    if attachment is not None:
        await attachment.wait_closed()
    await response.write_eof(encode({"ExitCode": call.engine.execs.inspect(exec_id).exit_code}))
    return response


@routes.get("/exec/{id}/json")
async def inspect(call: Call) -> Answer:
    return call.json(call.engine.execs.inspect(call["id"]))


@routes.post("/exec/{id}/resize")
async def resize(call: Call) -> Answer:
    await call.engine.execs.resize(
        call["id"], height=call.required_number("h"), width=call.required_number("w")
    )
    return call.empty(200)
