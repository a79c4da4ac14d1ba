"""/_ping, /version, /info, /system/df, /auth."""

from __future__ import annotations

from corten.api.system import AuthConfig, ErrorMessage
from corten.daemon.call import Call
from corten.daemon.message import STANDARD_HEADERS, Answer, Response
from corten.daemon.routing import Routes
from corten.errors import Denied

routes = Routes()

_PING_HEADERS = {
    **STANDARD_HEADERS,
    "Builder-Version": "1",
    "Swarm": "inactive",
    "Cache-Control": "no-cache, no-store, must-revalidate",
    "Pragma": "no-cache",
    "Content-Type": "text/plain; charset=utf-8",
}


@routes.get("/_ping")
async def ping(call: Call) -> Answer:
    return Response(body=b"OK", headers=_PING_HEADERS)


@routes.head("/_ping")
async def ping_head(call: Call) -> Answer:
    return Response(headers=_PING_HEADERS)


@routes.get("/version")
async def version(call: Call) -> Answer:
    return call.json(call.engine.system.version())


@routes.get("/info")
async def info(call: Call) -> Answer:
    return call.json(await call.engine.system.info())


@routes.get("/system/df")
async def df(call: Call) -> Answer:
    usage = await call.engine.system.df(tuple(call.many("type")))
    if call.version < (1, 44):
        for image in usage.images or ():
            image.virtual_size = image.size
    return call.json(usage)


@routes.post("/auth")
async def auth(call: Call) -> Answer:
    request = await call.body(AuthConfig)
    try:
        return call.json(await call.engine.images.registry.login(request, access=call.access()))
    except Denied as error:
        # 403 would mean a registry that knows who asks, and refuses.
        return call.json(ErrorMessage(message=error.message), status=401)
