"""/volumes."""

from __future__ import annotations

from corten.api.volume import VolumeCreate, VolumeList, VolumesPruned
from corten.daemon.call import Call
from corten.daemon.message import Answer
from corten.daemon.routing import Routes

routes = Routes()


@routes.get("/volumes")
async def list_(call: Call) -> Answer:
    return call.json(VolumeList(volumes=await call.engine.volumes.list(call.filters())))


@routes.post("/volumes/create")
async def create(call: Call) -> Answer:
    request = await call.body(VolumeCreate)
    return call.json(await call.engine.volumes.create(request), status=201)


@routes.get("/volumes/{name}")
async def inspect(call: Call) -> Answer:
    return call.json(await call.engine.volumes.inspect(call["name"]))


@routes.delete("/volumes/{name}")
async def remove(call: Call) -> Answer:
    await call.engine.volumes.remove(call["name"], force=call.flag("force"))
    return call.empty()


@routes.post("/volumes/prune")
async def prune(call: Call) -> Answer:
    filters = call.filters()
    if call.version < (1, 42):
        # Before, named volumes were pruned as well.
        filters.setdefault("all", ["true"])
    pruned = await call.engine.volumes.prune(filters)
    return call.json(
        VolumesPruned(volumes_deleted=list(pruned.removed) or None, space_reclaimed=pruned.space_reclaimed)
    )
