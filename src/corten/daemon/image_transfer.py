"""/images: what moves whole images: load, save, import, pull and push."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

from corten.daemon.call import Call
from corten.daemon.message import PIECE, Answer
from corten.daemon.routing import Routes
from corten.errors import InvalidArgument, Unavailable

routes = Routes()


@routes.post("/images/load")
async def load(call: Call) -> Answer:
    """A local client may hand over its file (`daemon.stdio`) instead of sending what it holds."""
    token = call.header("X-Corten-Stdio")
    if token:
        fd = await call.daemon.stdio.take_file(token)
        try:
            loading = call.engine.images.load(fd, quiet=call.flag("quiet"), platform=call.platform())
            return await call.send_lines(loading)
        finally:
            os.close(fd)
    loading = call.engine.images.load(call.upload(), quiet=call.flag("quiet"), platform=call.platform())
    return await call.send_lines(loading)


@routes.get("/images/get")
async def save_many(call: Call) -> Answer:
    names = call.many("names")
    if not names:
        raise InvalidArgument("no image to save: give at least one name")
    saving = await call.engine.images.save(names, platform=call.platform())
    return await call.send_bytes(saving, "application/x-tar")


@routes.get("/images/{name*}/get")
async def save(call: Call) -> Answer:
    saving = await call.engine.images.save([call["name"]], platform=call.platform())
    return await call.send_bytes(saving, "application/x-tar")


@routes.post("/images/create")
async def create(call: Call) -> Answer:
    """Import a root file system (`fromSrc`), or pull (`fromImage`)."""
    name, source = call.text("fromImage"), call.text("fromSrc")
    if name:
        pulling = call.engine.images.registry.pull(
            name,
            call.text("tag"),
            platform=call.platform(),
            all_platforms=call.flag("allPlatforms"),
            access=call.access(),
        )
        return await call.send_lines(pulling)
    if not source:
        raise InvalidArgument("one of fromSrc and fromImage is needed")
    repository, tag = call.repository()
    progress = call.engine.images.import_(
        call.upload() if source == "-" else _download(source),
        repository=repository,
        tag=tag,
        message=call.text("message"),
        changes=call.many("changes"),
        platform=call.platform(),
    )
    return await call.send_lines(progress)


async def _download(url: str) -> AsyncIterator[bytes]:
    if "://" not in url:
        url = f"http://{url}"
    if not url.startswith(("http://", "https://")):
        raise InvalidArgument(f'cannot import from "{url}": only http and https are known')
    from aiohttp import ClientError, ClientSession

    try:
        async with ClientSession(auto_decompress=False) as session, session.get(url) as response:
            if response.status >= 400:
                raise Unavailable(f"cannot import from {url}: the server answers {response.status}")
            async for piece in response.content.iter_chunked(PIECE):
                yield piece
    except (ClientError, TimeoutError) as error:
        raise Unavailable(f"cannot import from {url}: {error}") from error


@routes.post("/images/{name*}/push")
async def push(call: Call) -> Answer:
    pushing = call.engine.images.registry.push(
        call["name"], call.text("tag"), platform=call.platform(), access=call.access()
    )
    return await call.send_lines(pushing)
