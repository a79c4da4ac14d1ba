"""/containers/{id}/archive and /export: files into and out of a container (`docker cp`)."""

from __future__ import annotations

import base64

from corten.api import container as api
from corten.api.message import encode
from corten.daemon.call import Call
from corten.daemon.message import STANDARD_HEADERS, Answer, Response
from corten.daemon.routing import Routes
from corten.engine.results import PathStat
from corten.errors import InvalidArgument

routes = Routes()


def _header(stat: PathStat) -> dict[str, str]:
    message = api.PathStat(
        name=stat.name, size=stat.size, mode=stat.mode, mtime=stat.mtime, link_target=stat.link_target
    )
    return {"X-Docker-Container-Path-Stat": base64.b64encode(encode(message)).decode()}


def _path(call: Call) -> str:
    path = call.text("path")
    if not path:
        raise InvalidArgument("bad parameter: path cannot be empty")
    return path


@routes.head("/containers/{id}/archive")
async def stat(call: Call) -> Answer:
    found = await call.engine.containers.archive_stat(call["id"], _path(call))
    return Response(headers={**STANDARD_HEADERS, **_header(found)})


@routes.get("/containers/{id}/archive")
async def get(call: Call) -> Answer:
    archive = await call.engine.containers.archive_get(call["id"], _path(call))
    return await call.send_bytes(archive.stream, "application/x-tar", _header(archive.stat))


@routes.put("/containers/{id}/archive")
async def put(call: Call) -> Answer:
    await call.engine.containers.archive_put(
        call["id"],
        _path(call),
        call.upload(),
        no_overwrite_dir_non_dir=call.flag("noOverwriteDirNonDir"),
        copy_uid_gid=call.flag("copyUIDGID"),
    )
    return call.empty(200)


@routes.get("/containers/{id}/export")
async def export(call: Call) -> Answer:
    return await call.send_bytes(await call.engine.containers.export(call["id"]), "application/octet-stream")
