"""A build, from the request to its end: the engine's events, and what it asks the client for."""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import AsyncIterable, AsyncIterator

from corten.api.build import (
    BuildAnswer,
    BuildFailure,
    BuildRequest,
    BuildResult,
    CredentialQuery,
    FileOffer,
    ShellOffer,
)
from corten.client import credentials
from corten.client.async_transport import AsyncResponse, AsyncTransport
from corten.client.build_options import encode
from corten.client.build_results import AnyLine, BuildFailed, BuildReport, decode_line
from corten.client.files import take_file, unpack_file
from corten.errors import InvalidArgument, Unavailable


async def run_build(
    transport: AsyncTransport,
    request: BuildRequest,
    archive: bytes | AsyncIterable[bytes] | None,
    report: BuildReport | None,
) -> BuildResult:
    """Builds; BuildFailed. Whoever gives up (an exception, a cancelled task) cancels the build."""
    line = encode(request)
    body: bytes | AsyncIterable[bytes]
    if archive is None:
        body = line
    else:
        body = line + archive if isinstance(archive, bytes) else _after(line, archive)
    answer = await transport.request("POST", "/corten/build", body=body)
    try:
        async for event in _lines(answer):
            if isinstance(event, BuildResult):
                return event
            if isinstance(event, BuildFailure):
                raise BuildFailed(event)
            if isinstance(event, CredentialQuery):
                await _tell_credential(transport, event)
            elif isinstance(event, FileOffer):
                await _receive(transport, event)
            elif not isinstance(event, ShellOffer | BuildAnswer) and report is not None:
                report(event)
    finally:
        await answer.aclose()
    raise Unavailable("the engine went away in the middle of the build")


async def _after(line: bytes, archive: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    yield line
    async for piece in archive:
        yield piece


async def _lines(answer: AsyncResponse) -> AsyncIterator[AnyLine]:
    rest = b""
    async for piece in answer.stream():
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            if line:
                yield decode_line(line)


async def _receive(transport: AsyncTransport, offer: FileOffer) -> None:
    """Writes what an output has for the client."""
    if offer.destination == "-":
        raise InvalidArgument("the destination - is for the command line: give a path")
    answer = await transport.request("GET", f"/corten/build/{offer.id}/files/{offer.index}")
    with tempfile.NamedTemporaryFile(prefix=".corten-", dir=os.path.dirname(offer.destination)) as file:
        async for piece in answer.stream():
            file.write(piece)
        file.flush()
        if offer.unpack:
            await transport.aside(
                functools.partial(unpack_file, file.name, mirror=offer.delete), offer.destination
            )
        else:
            await transport.aside(functools.partial(take_file, file.name), offer.destination)


async def _tell_credential(transport: AsyncTransport, query: CredentialQuery) -> None:
    header = await transport.aside(credentials.header_for, f"{query.domain}/any")
    answer = await transport.request(
        "POST",
        f"/corten/build/{query.id}/credential",
        query={"domain": query.domain},
        headers={credentials.HEADER: header},
    )
    await answer.read()
