"""/corten: what Corten has and Docker's API has not."""

from __future__ import annotations

import asyncio

from corten.api.exec import ExecCreate
from corten.daemon.call import Call
from corten.daemon.execs import run_with_stdio
from corten.daemon.message import Answer
from corten.daemon.routing import Routes
from corten.errors import InvalidArgument

routes = Routes()


@routes.get("/corten/doctor")
async def doctor(call: Call) -> Answer:
    """[{"name", "ok", "detail", "remedy", "fatal"}, …]"""
    from corten.engine.doctor import checks

    return call.json(await asyncio.to_thread(checks))


@routes.post("/corten/bootstrap")
async def bootstrap(call: Call) -> Answer:
    """`image` is busybox or debian, `tag` its name; answers with Docker's progress lines."""
    image = call.text("image")
    if not image:
        raise InvalidArgument('which image? The parameter "image" is busybox or debian')
    return await call.send_lines(call.engine.images.bootstrap(image, tag=call.text("tag")))


@routes.post("/corten/fsck")
async def fsck(call: Call) -> Answer:
    """Checks the store; with `repair` mends it. JSON lines: see `engine.fsck.Fsck.run`."""
    return await call.send_lines(call.engine.system.fsck.run(repair=call.flag("repair")))


@routes.get("/corten/images/{name*}/browse")
async def browse(call: Call) -> Answer:
    """What the image has at `path` and below, with layers: see `engine.image_browsing.browse_image`."""
    pieces = call.engine.images.browse(call["name"], call.text("path") or "/", deleted=call.flag("deleted"))
    return await call.send_bytes(pieces, "application/json")


@routes.post("/corten/images/{name*}/mount")
async def mount(call: Call) -> Answer:
    """A read-only view of the image at `path`: {"Path", "Image", "Name", "Created"}."""
    return call.json(await call.engine.image_mounts.mount(call["name"], call.text("path")), 201)


@routes.get("/corten/mounts")
async def mounts(call: Call) -> Answer:
    """All such views."""
    return call.json(call.engine.image_mounts.list())


@routes.delete("/corten/mounts")
async def unmount(call: Call) -> Answer:
    """Takes the one at `path` away; with `force` also while it is used."""
    await call.engine.image_mounts.unmount(call.text("path"), force=call.flag("force"))
    return call.empty()


@routes.post("/corten/containers/{id}/exec")
async def run_exec(call: Call) -> Answer:
    """An exec in one round trip, on the descriptors of X-Corten-Stdio: create, start, and wait."""
    token = call.header("X-Corten-Stdio")
    if not token:
        raise InvalidArgument(
            "the header X-Corten-Stdio is missing: it names the descriptors for the command"
        )
    request = await call.body(ExecCreate)
    exec_id = await call.engine.execs.create(call["id"], request)
    return await run_with_stdio(call, exec_id, token)


@routes.post("/corten/engine/shutdown")
async def shutdown(call: Call) -> Answer:
    """Ends the engine; containers keep running."""
    asyncio.get_running_loop().call_later(0.01, call.daemon.shutdown)
    return call.empty()
