# Generated from corten/client/aio by scripts/generate_sync_client: change it there.
"""A build, from the request to its end: the engine's events, and what it asks the client for."""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Iterable, Iterator

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
from corten.client.build_options import encode
from corten.client.build_results import AnyLine, BuildFailed, BuildReport, decode_line
from corten.client.files import take_file, unpack_file
from corten.client.transport import Response, Transport
from corten.errors import InvalidArgument, Unavailable


def run_build(
    transport: Transport,
    request: BuildRequest,
    archive: bytes | Iterable[bytes] | None,
    report: BuildReport | None,
) -> BuildResult:
    """Builds; BuildFailed. Whoever gives up (an exception, a cancelled task) cancels the build."""
    line = encode(request)
    body: bytes | Iterable[bytes]
    if archive is None:
        body = line
    else:
        body = line + archive if isinstance(archive, bytes) else _after(line, archive)
    answer = transport.request("POST", "/corten/build", body=body)
    try:
        for event in _lines(answer):
            if isinstance(event, BuildResult):
                return event
            if isinstance(event, BuildFailure):
                raise BuildFailed(event)
            if isinstance(event, CredentialQuery):
                _tell_credential(transport, event)
            elif isinstance(event, FileOffer):
                _receive(transport, event)
            elif not isinstance(event, ShellOffer | BuildAnswer) and report is not None:
                report(event)
    finally:
        answer.close()
    raise Unavailable("the engine went away in the middle of the build")


def _after(line: bytes, archive: Iterable[bytes]) -> Iterator[bytes]:
    yield line
    for piece in archive:
        yield piece


def _lines(answer: Response) -> Iterator[AnyLine]:
    rest = b""
    for piece in answer.stream():
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            if line:
                yield decode_line(line)


def _receive(transport: Transport, offer: FileOffer) -> None:
    """Writes what an output has for the client."""
    if offer.destination == "-":
        raise InvalidArgument("the destination - is for the command line: give a path")
    answer = transport.request("GET", f"/corten/build/{offer.id}/files/{offer.index}")
    with tempfile.NamedTemporaryFile(prefix=".corten-", dir=os.path.dirname(offer.destination)) as file:
        for piece in answer.stream():
            file.write(piece)
        file.flush()
        if offer.unpack:
            transport.aside(functools.partial(unpack_file, file.name, mirror=offer.delete), offer.destination)
        else:
            transport.aside(functools.partial(take_file, file.name), offer.destination)


def _tell_credential(transport: Transport, query: CredentialQuery) -> None:
    header = transport.aside(credentials.header_for, f"{query.domain}/any")
    answer = transport.request(
        "POST",
        f"/corten/build/{query.id}/credential",
        query={"domain": query.domain},
        headers={credentials.HEADER: header},
    )
    answer.read()
