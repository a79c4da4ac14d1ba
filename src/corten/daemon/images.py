"""/images: list, inspect, history, tag, remove, prune, search; /distribution: what a registry has."""

from __future__ import annotations

from corten.api.image import ImageDeleteItem, ImagesPruned
from corten.daemon.call import Call
from corten.daemon.message import Answer
from corten.daemon.routing import Routes

routes = Routes()


@routes.get("/images/json")
async def list_(call: Call) -> Answer:
    found = await call.engine.images.list(
        all=call.flag("all"),
        filters=call.filters(),
        digests=call.flag("digests"),
        shared_size=call.flag("shared-size"),
        manifests=call.flag("manifests"),
    )
    if call.version < (1, 44):
        for summary in found:
            summary.virtual_size = summary.size
    return call.json(found)


@routes.get("/images/{name*}/json")
async def inspect(call: Call) -> Answer:
    found = await call.engine.images.inspect(call["name"], manifests=call.flag("manifests"))
    if call.version < (1, 44):
        found.virtual_size = found.size
    return call.json(found)


@routes.get("/images/{name*}/history")
async def history(call: Call) -> Answer:
    return call.json(await call.engine.images.history(call["name"]))


@routes.post("/images/{name*}/tag")
async def tag(call: Call) -> Answer:
    await call.engine.images.tag(call["name"], *call.repository())
    return call.empty(201)


@routes.delete("/images/{name*}")
async def remove(call: Call) -> Answer:
    removed = await call.engine.images.remove(
        call["name"], force=call.flag("force"), prune=not call.flag("noprune")
    )
    return call.json(removed)


@routes.post("/images/prune")
async def prune(call: Call) -> Answer:
    pruned = await call.engine.images.prune(call.filters())
    # Names that went away were untagged; digests were deleted.
    items = [
        ImageDeleteItem(deleted=name) if name.startswith("sha256:") else ImageDeleteItem(untagged=name)
        for name in pruned.removed
    ]
    return call.json(ImagesPruned(images_deleted=items or None, space_reclaimed=pruned.space_reclaimed))


@routes.get("/images/search")
async def search(call: Call) -> Answer:
    found = await call.engine.images.registry.search(
        call.text("term"), limit=call.number("limit") or 0, filters=call.filters(), access=call.access()
    )
    return call.json(found)


@routes.get("/distribution/{name*}/json")
async def distribution(call: Call) -> Answer:
    return call.json(await call.engine.images.registry.distribution(call["name"], access=call.access()))
