"""Images: pull, push, load, save, import, bootstrap, names."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping, Sequence
from typing import Unpack

from corten.api.build import BuildResult
from corten.api.image import (
    DistributionInspect,
    ImageDeleteItem,
    ImageHistoryItem,
    ImageInspect,
    ImagesPruned,
    ImageSummary,
    SearchResult,
)
from corten.api.message import decode
from corten.api.system import AuthResult
from corten.client import credentials
from corten.client.aio.building import run_build
from corten.client.aio.query import filters as encode_filters
from corten.client.async_transport import AsyncResponse, AsyncTransport
from corten.client.build_options import BuildOptions, build_request
from corten.client.build_results import BuildReport
from corten.client.results import Progress
from corten.errors import CortenError

Report = Callable[[Progress], None]


class AsyncImages:
    """The images of an engine."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def build(
        self,
        context: str | None = None,
        *,
        archive: bytes | AsyncIterable[bytes] | None = None,
        report: BuildReport | None = None,
        **options: Unpack[BuildOptions],
    ) -> BuildResult:
        """Builds an image from a Dockerfile, and returns its id and names.

        `context` is a directory, which is read in place, or a URL; `archive` is a tar of one instead. Without
        both, `dockerfile_text` is all there is. `report` is called with each event. BuildFailed.
        """
        local = bool(self._transport.address.path)
        request = build_request(context, options, archive=archive is not None, local=local)
        return await run_build(self._transport, request, archive, report)

    async def list(
        self, *, all: bool = False, filters: Mapping[str, str | Sequence[str]] | None = None
    ) -> Sequence[ImageSummary]:
        """The images; `filters` as in {"dangling": "true", "reference": "busybox"}."""
        query = encode_filters(filters)
        if all:
            query["all"] = "1"
        answer = await self._transport.request("GET", "/images/json", query=query)
        return decode(await answer.read(), list[ImageSummary])

    async def inspect(self, name: str) -> ImageInspect:
        """Everything about one."""
        answer = await self._transport.request("GET", f"/images/{name}/json")
        return decode(await answer.read(), ImageInspect)

    async def history(self, name: str) -> Sequence[ImageHistoryItem]:
        """Its layers, the newest first."""
        answer = await self._transport.request("GET", f"/images/{name}/history")
        return decode(await answer.read(), list[ImageHistoryItem])

    async def pull(
        self,
        name: str,
        *,
        platform: str = "",
        all_tags: bool = False,
        all_platforms: bool = False,
        tls_verify: bool = True,
        report: Report | None = None,
    ) -> str:
        """Pulls an image from its registry, with the credentials of `login` (or of `docker login`); returns
        its digest, with `all_tags` that of the last tag."""
        repository, tag = credentials.split(name)
        query = {"fromImage": repository}
        if not all_tags:
            query["tag"] = tag or "latest"
        if platform:
            query["platform"] = platform
        if all_platforms:
            query["allPlatforms"] = "1"
        answer = await self._transport.request(
            "POST", "/images/create", query=_verified(query, tls_verify), headers=await self._who(name)
        )
        said = await _follow(answer, report)
        return [line for line in said.splitlines() if line.startswith("Digest: ")][-1].removeprefix(
            "Digest: "
        )

    async def push(
        self,
        name: str,
        *,
        platform: str = "",
        all_tags: bool = False,
        tls_verify: bool = True,
        report: Report | None = None,
    ) -> str:
        """Pushes an image to the registry that its name begins with; returns the digest it has there."""
        repository, tag = credentials.split(name)
        query = {} if all_tags else {"tag": tag or "latest"}
        if platform:
            query["platform"] = platform
        answer = await self._transport.request(
            "POST",
            f"/images/{repository}/push",
            query=_verified(query, tls_verify),
            headers=await self._who(name),
        )
        said = await _follow(answer, report)
        return [line for line in said.splitlines() if ": digest: " in line][-1].split()[2]

    async def login(
        self,
        username: str,
        password: str,
        registry: str = "docker.io",
        *,
        store: bool = True,
        tls_verify: bool = True,
    ) -> None:
        """Asks a registry whether it knows these credentials (Denied), and keeps them for pulls and pushes:
        in Docker's config.json or its credential helper."""
        account = {"username": username, "password": password, "serveraddress": registry}
        answer = await self._transport.request("POST", "/auth", query=_verified({}, tls_verify), json=account)
        token = decode(await answer.read(), AuthResult).identity_token
        if store:
            credentials.store(registry, username, password, token)

    async def logout(self, registry: str = "docker.io") -> bool:
        """Forgets what `login` kept; False when there was nothing."""
        return credentials.erase(registry)

    async def search(
        self,
        term: str,
        *,
        limit: int = 25,
        filters: Mapping[str, str | Sequence[str]] | None = None,
    ) -> Sequence[SearchResult]:
        """Repositories by name; `term` may begin with a registry, as in localhost:5000/app."""
        query = {"term": term, "limit": str(limit), **encode_filters(filters)}
        answer = await self._transport.request(
            "GET", "/images/search", query=query, headers=await self._who(term)
        )
        return decode(await answer.read(), list[SearchResult])

    async def distribution(self, name: str) -> DistributionInspect:
        """What the registry has under a name: its descriptor and platforms; nothing is pulled."""
        answer = await self._transport.request(
            "GET", f"/distribution/{name}/json", headers=await self._who(name)
        )
        return decode(await answer.read(), DistributionInspect)

    async def _who(self, name: str) -> dict[str, str]:
        return {credentials.HEADER: await self._transport.aside(credentials.header_for, name)}

    async def bootstrap(self, kind: str, *, tag: str = "", report: Report | None = None) -> None:
        """Makes `busybox` or `debian` from the distribution's packages."""
        query = {"image": kind, "tag": tag}
        answer = await self._transport.request("POST", "/corten/bootstrap", query=query)
        await _follow(answer, report)

    async def load(
        self, archive: bytes | AsyncIterable[bytes], *, report: Report | None = None
    ) -> Sequence[str]:
        """Loads a docker-archive or OCI archive; returns the names or ids of its images."""
        answer = await self._transport.request("POST", "/images/load", body=archive)
        loaded = []
        for line in (await _follow(answer, report)).splitlines():
            head, _, name = line.partition(": ")
            if head in ("Loaded image", "Loaded image ID"):
                loaded.append(name.strip())
        return loaded

    async def import_(
        self,
        archive: bytes | AsyncIterable[bytes],
        repository: str = "",
        tag: str = "",
        *,
        changes: Sequence[str] = (),
        message: str = "",
        report: Report | None = None,
    ) -> str:
        """Makes an image from the tar of a root file system; returns its id."""
        query: dict[str, str | Sequence[str]] = {"fromSrc": "-", "repo": repository, "tag": tag}
        if changes:
            query["changes"] = changes
        if message:
            query["message"] = message
        answer = await self._transport.request("POST", "/images/create", query=query, body=archive)
        return (await _follow(answer, report)).strip().splitlines()[-1]

    async def save(self, *names: str) -> AsyncIterator[bytes]:
        """An archive of images."""
        answer = await self._transport.request("GET", "/images/get", query={"names": names})
        try:
            async for data in answer.stream():
                yield data
        finally:
            await answer.aclose()

    async def tag(self, name: str, repository: str, tag: str = "") -> None:
        """Gives an image another name."""
        query = {"repo": repository, "tag": tag}
        await (await self._transport.request("POST", f"/images/{name}/tag", query=query)).read()

    async def remove(self, name: str, *, force: bool = False) -> Sequence[ImageDeleteItem]:
        """Removes a name, and with its last name the image."""
        query = {"force": "1"} if force else None
        answer = await self._transport.request("DELETE", f"/images/{name}", query=query)
        return decode(await answer.read(), list[ImageDeleteItem])

    async def prune(self, filters: Mapping[str, str | Sequence[str]] | None = None) -> ImagesPruned:
        """Removes nameless images; {"dangling": "false"} all that no container uses."""
        answer = await self._transport.request("POST", "/images/prune", query=encode_filters(filters))
        return decode(await answer.read(), ImagesPruned)


def _verified(query: dict[str, str], tls_verify: bool) -> dict[str, str]:
    return query if tls_verify else {**query, "tlsVerify": "0"}


async def _follow(answer: AsyncResponse, report: Report | None) -> str:
    """Reads a stream of progress to its end; what it says as a result. An error in it is raised."""
    said: list[str] = []
    async for message in answer.json_stream():
        if message.get("error"):
            raise CortenError(str(message["error"]).strip())
        text = message.get("stream") or message.get("status") or ""
        detail = message.get("progressDetail") or {}
        if not detail:
            said.append(text if text.endswith("\n") else f"{text}\n")
        if report is not None and text:
            report(
                Progress(
                    text=text.strip(),
                    id=message.get("id") or "",
                    current=detail.get("current") or 0,
                    total=detail.get("total") or 0,
                )
            )
    return "".join(said)
