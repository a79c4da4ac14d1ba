"""/networks."""

from __future__ import annotations

from corten.api.network import NetworkPruned
from corten.daemon.call import Call
from corten.daemon.message import Answer
from corten.daemon.routing import Routes

routes = Routes()


@routes.get("/networks")
async def list_(call: Call) -> Answer:
    return call.json(await call.engine.networks.list(call.filters()))


@routes.get("/networks/{id}")
async def inspect(call: Call) -> Answer:
    return call.json(await call.engine.networks.inspect(call["id"]))


@routes.post("/networks/prune")
async def prune(call: Call) -> Answer:
    pruned = await call.engine.networks.prune(call.filters())
    return call.json(NetworkPruned(networks_deleted=list(pruned.removed) or None))


@routes.delete("/networks/{id}")
async def remove(call: Call) -> Answer:
    await call.engine.networks.remove(call["id"])
    return call.empty()
