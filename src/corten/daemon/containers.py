"""/containers: create, list, inspect, and the operations on one container that answer at once."""

from __future__ import annotations

from corten.api.container import (
    Change,
    CommitResult,
    ContainerConfig,
    ContainerCreate,
    ContainerCreated,
    ContainersPruned,
    Top,
)
from corten.api.host_config import ContainerUpdate, UpdateResult
from corten.daemon.call import Call
from corten.daemon.message import Answer
from corten.daemon.routing import Routes
from corten.engine.results import CommitOptions

routes = Routes()


@routes.post("/containers/create")
async def create(call: Call) -> Answer:
    request = await call.body(ContainerCreate)
    stdio = None
    token = call.header("X-Corten-Stdio")
    if token:
        stdio = await call.daemon.stdio.take(token)
    created = await call.engine.containers.create(request, name=call.text("name") or None, stdio=stdio)
    return call.json(ContainerCreated(id=created.id, warnings=list(created.warnings)), status=201)


@routes.get("/containers/json")
async def list_(call: Call) -> Answer:
    limit = call.number("limit")
    return call.json(
        await call.engine.containers.list(
            all=call.flag("all"),
            limit=limit if limit and limit > 0 else None,
            size=call.flag("size"),
            filters=call.filters(),
        )
    )


@routes.get("/containers/{id}/json")
async def inspect(call: Call) -> Answer:
    return call.json(await call.engine.containers.inspect(call["id"], size=call.flag("size")))


@routes.post("/containers/{id}/start")
async def start(call: Call) -> Answer:
    await call.engine.containers.start(call["id"])
    return call.empty()


@routes.post("/containers/{id}/stop")
async def stop(call: Call) -> Answer:
    await call.engine.containers.stop(
        call["id"], signal=call.text("signal") or None, timeout=call.number("t")
    )
    return call.empty()


@routes.post("/containers/{id}/restart")
async def restart(call: Call) -> Answer:
    await call.engine.containers.restart(
        call["id"], signal=call.text("signal") or None, timeout=call.number("t")
    )
    return call.empty()


@routes.post("/containers/{id}/kill")
async def kill(call: Call) -> Answer:
    await call.engine.containers.kill(call["id"], call.text("signal") or "SIGKILL")
    return call.empty()


@routes.post("/containers/{id}/pause")
async def pause(call: Call) -> Answer:
    await call.engine.containers.pause(call["id"])
    return call.empty()


@routes.post("/containers/{id}/unpause")
async def unpause(call: Call) -> Answer:
    await call.engine.containers.unpause(call["id"])
    return call.empty()


@routes.post("/containers/{id}/rename")
async def rename(call: Call) -> Answer:
    await call.engine.containers.rename(call["id"], call.text("name"))
    return call.empty()


@routes.post("/containers/{id}/update")
async def update(call: Call) -> Answer:
    request = await call.body(ContainerUpdate)
    return call.json(UpdateResult(warnings=await call.engine.containers.update(call["id"], request)))


@routes.post("/containers/{id}/resize")
async def resize(call: Call) -> Answer:
    await call.engine.containers.resize(
        call["id"], height=call.required_number("h"), width=call.required_number("w")
    )
    return call.empty(200)


@routes.delete("/containers/{id}")
async def remove(call: Call) -> Answer:
    await call.engine.containers.remove(
        call["id"], force=call.flag("force"), volumes=call.flag("v"), link=call.flag("link")
    )
    return call.empty()


@routes.post("/containers/prune")
async def prune(call: Call) -> Answer:
    pruned = await call.engine.containers.prune(call.filters())
    return call.json(
        ContainersPruned(
            containers_deleted=list(pruned.removed) or None, space_reclaimed=pruned.space_reclaimed
        )
    )


@routes.get("/containers/{id}/top")
async def top(call: Call) -> Answer:
    result = await call.engine.containers.top(call["id"], call.text("ps_args") or "-ef")
    return call.json(Top(titles=list(result.titles), processes=[list(row) for row in result.processes]))


@routes.get("/containers/{id}/changes")
async def changes(call: Call) -> Answer:
    found = await call.engine.containers.changes(call["id"])
    return call.json([Change(path=change.path, kind=change.kind) for change in found] or None)


@routes.post("/commit")
async def commit(call: Call) -> Answer:
    body = await call.http.read()
    config = await call.body(ContainerConfig) if body.strip() not in (b"", b"null") else None
    repository, tag = call.repository()
    options = CommitOptions(
        container=call.text("container"),
        repository=repository,
        tag=tag,
        comment=call.text("comment"),
        author=call.text("author"),
        pause=call.flag("pause", default=True),
        changes=tuple(call.many("changes")),
    )
    return call.json(CommitResult(id=await call.engine.containers.commit(options, config)), status=201)
