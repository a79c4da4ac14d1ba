"""What Docker's API has and Corten has not (yet): each gets the sentence that a client can show."""

from __future__ import annotations

from corten.daemon.build_query import BUILDKIT
from corten.daemon.call import Call
from corten.daemon.message import Answer
from corten.daemon.routing import Handler, Routes
from corten.errors import NotFound, Unavailable, Unsupported

routes = Routes()

_NOT_A_MANAGER = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node '
    "to swarm and try again."
)


async def _swarm(call: Call) -> Answer:
    raise Unavailable(_NOT_A_MANAGER)


async def _no_swarm(call: Call) -> Answer:
    raise Unsupported("Corten has no swarm mode: use Kubernetes for more than one machine")


for _resource in ("services", "tasks", "nodes", "secrets", "configs"):
    for _pattern in (f"/{_resource}", f"/{_resource}/{{rest*}}"):
        for _method in ("GET", "POST", "DELETE"):
            routes.add(_method, _pattern)(_swarm)
for _method in ("GET", "POST"):
    for _pattern in ("/swarm", "/swarm/{rest*}"):
        routes.add(_method, _pattern)(_swarm if _method == "GET" else _no_swarm)


@routes.get("/plugins")
async def plugins(call: Call) -> Answer:
    return call.json([])


async def _plugin(call: Call) -> Answer:
    name = call["name"]
    raise NotFound(f'plugin "{name}" not found')


for _method in ("GET", "POST", "DELETE"):
    routes.add(_method, "/plugins/{name*}")(_plugin)


def _unsupported(sentence: str) -> Handler:
    async def handler(call: Call) -> Answer:
        raise Unsupported(sentence)

    return handler


for _pattern in ("/session", "/grpc"):
    routes.post(_pattern)(_unsupported(BUILDKIT))

_NETWORKS = "user-defined networks are not there yet: use bridge, host, none or container:<name>"
routes.post("/networks/create")(_unsupported(f"cannot create the network: {_NETWORKS}"))
routes.post("/networks/{id}/connect")(_unsupported(f"cannot connect the container: {_NETWORKS}"))
routes.post("/networks/{id}/disconnect")(_unsupported(f"cannot disconnect the container: {_NETWORKS}"))

_CHECKPOINT = "Corten has no checkpoints yet"
routes.get("/containers/{id}/checkpoints")(_unsupported(_CHECKPOINT))
routes.post("/containers/{id}/checkpoints")(_unsupported(_CHECKPOINT))
routes.delete("/containers/{id}/checkpoints/{checkpoint}")(_unsupported(_CHECKPOINT))
