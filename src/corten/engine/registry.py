"""The registry facet: pull, push, login, search, and what a registry says of an image."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from corten.api.image import DistributionInspect, SearchResult
from corten.api.system import AuthConfig, AuthResult
from corten.engine.core import Core
from corten.engine.progress_line import progress_line
from corten.engine.registry_access import ANYBODY, Access, credential_of, domain_of
from corten.engine.results import Filters
from corten.engine.shared_pull import SharedWork
from corten.errors import InvalidArgument
from corten.image.model import Progress, Report
from corten.image.pull import PulledImage, pull
from corten.image.push import Pushed, push
from corten.image.registry.client import Registries, RegistryClient
from corten.image.registry.search import SearchHit, search
from corten.oci.digest import is_digest, parse_digest
from corten.oci.image_config import decode_config
from corten.oci.manifest import CONFIG_TYPES, INDEX_TYPES, MAX_CONFIG_BYTES, decode_index, decode_manifest
from corten.oci.platform import Platform
from corten.oci.reference import Reference

_MOST_HITS = 100
_FILTERS = frozenset({"is-official", "is-automated", "stars"})


class RegistryService:
    """Between the store and registries. Connections last as long as one operation, so that every operation
    sees the configuration and the credentials as they are."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._pulls: dict[tuple[object, ...], SharedWork[list[PulledImage]]] = {}

    async def pull(
        self,
        name: str,
        tag: str = "",
        *,
        platform: str = "",
        all_platforms: bool = False,
        access: Access = ANYBODY,
    ) -> AsyncIterator[dict[str, Any]]:
        """Docker's progress objects. A name with neither tag nor digest means all its tags, as in Docker.
        Two pulls of the same are one, whose progress both see."""
        reference = _reference(name, tag)
        chosen = Platform.parse(platform) if platform else None
        key = (reference, chosen, all_platforms, access)
        work = self._pulls.get(key)
        if work is None:
            credential = access.credential(reference.domain)

            async def run(report: Report) -> list[PulledImage]:
                async with Registries() as registries:
                    client = registries.client(reference.domain, auth=credential, insecure=access.insecure)
                    done = await pull(
                        self._core.images,
                        client,
                        reference,
                        platform=chosen,
                        all_platforms=all_platforms,
                        all_tags=reference.tag is None and reference.digest is None,
                        report=report,
                    )
                for image in done:
                    self._tell("pull", image.reference)
                return done

            def ended() -> None:
                self._pulls.pop(key, None)

            work = self._pulls[key] = SharedWork(run, ended)
        async for line in _lines(work):
            yield line

    async def push(
        self, name: str, tag: str = "", *, platform: str = "", access: Access = ANYBODY
    ) -> AsyncIterator[dict[str, Any]]:
        """Docker's progress objects, and for every tag one with `aux`: Tag, Digest, Size. A name with neither
        tag nor digest means all its tags."""
        reference = _reference(name, tag)
        chosen = Platform.parse(platform) if platform else None
        credential = access.credential(reference.domain)

        async def run(report: Report) -> list[Pushed]:
            async with Registries() as registries:
                client = registries.client(reference.domain, auth=credential, insecure=access.insecure)
                return await push(
                    self._core.images,
                    client,
                    reference,
                    platform=chosen,
                    all_tags=reference.tag is None and reference.digest is None,
                    report=report,
                )

        work = SharedWork(run, lambda: None)
        async for line in _lines(work):
            yield line
        for pushed in work.result():
            self._tell("push", pushed.reference)
            tag = pushed.reference.tag or ""
            aux = {"Tag": tag, "Digest": pushed.digest, "Size": pushed.size}
            yield {"progressDetail": {}, "aux": aux}

    def _tell(self, action: str, reference: Reference) -> None:
        attributes = {"name": reference.familiar_name}
        self._core.events.publish("image", action, reference.familiar, attributes)

    async def login(self, request: AuthConfig, *, access: Access = ANYBODY) -> AuthResult:
        """Asks the registry whether it knows these credentials. Denied when it does not."""
        credential = credential_of(request)
        domain = domain_of(request.serveraddress)
        if credential is None:
            raise InvalidArgument(f"cannot log in to {domain}: a user name and a password are needed")
        async with Registries() as registries:
            token = await registries.client(domain, auth=credential, insecure=access.insecure).login()
        return AuthResult(status="Login Succeeded", identity_token=token)

    async def search(
        self, term: str, *, limit: int = 0, filters: Filters | None = None, access: Access = ANYBODY
    ) -> list[SearchResult]:
        """Repositories by name. `term` may begin with a registry's domain. Filters: stars, is-official,
        is-automated."""
        if not 0 <= limit <= _MOST_HITS:
            raise InvalidArgument(f"invalid limit {limit}: it lies between 1 and {_MOST_HITS}")
        check = _Filter(filters or {})
        domain, wanted = _split_term(term)
        async with Registries() as registries:
            client = registries.client(domain, auth=access.credential(domain), insecure=access.insecure)
            hits = await search(client, wanted, limit=_MOST_HITS if filters else limit or 25)
        prefix = "" if domain == "docker.io" else f"{domain}/"
        return [
            SearchResult(
                name=prefix + hit.name,
                description=hit.description or "",
                star_count=hit.star_count,
                is_official=hit.is_official,
                is_automated=hit.is_automated,
            )
            for hit in hits
            if check.accepts(hit)
        ][: limit or 25]

    async def distribution(self, name: str, *, access: Access = ANYBODY) -> DistributionInspect:
        """What the registry has under a name, without pulling it. NotFound, Denied."""
        reference = Reference.parse(name)
        async with Registries() as registries:
            client = registries.client(
                reference.domain, auth=access.credential(reference.domain), insecure=access.insecure
            )
            found = await client.manifest(reference.path, reference.digest or reference.tag or "latest")
            if found.descriptor.media_type in INDEX_TYPES:
                children = decode_index(found.data).manifests
                platforms = [child.platform for child in children if child.platform is not None]
            else:
                platforms = await _platform(client, reference.path, found.data)
        return DistributionInspect(descriptor=found.descriptor, platforms=platforms)


async def _platform(client: RegistryClient, repository: str, manifest: bytes) -> list[Platform]:
    config = decode_manifest(manifest).config
    if config.media_type not in CONFIG_TYPES:
        return []  # an artifact
    data = await client.read_blob(repository, config, limit=MAX_CONFIG_BYTES)
    return [decode_config(data).platform]


async def _lines(work: SharedWork[Any]) -> AsyncIterator[dict[str, Any]]:
    """The progress as lines. The first line waits for the second: until then an error has a status of its
    own, as in Docker."""
    first: Progress | None = None
    begun = False
    watch = work.watch()
    try:
        async for progress in watch:
            if not begun and first is None:
                first = progress
                continue
            if first is not None:
                yield progress_line(first)
                first, begun = None, True
            yield progress_line(progress)
        if first is not None:
            yield progress_line(first)
    finally:
        await watch.aclose()  # type: ignore[attr-defined]


def _reference(name: str, tag: str) -> Reference:
    """`tag` may be a digest; without one, `name` stands as it is."""
    reference = Reference.parse(name, default_tag=False)
    if is_digest(tag):
        return reference.with_digest(parse_digest(tag))
    return reference.with_tag(tag) if tag else reference


def _split_term(term: str) -> tuple[str, str]:
    """`localhost:5000/app` in registry and term."""
    term = term.strip()
    if not term:
        raise InvalidArgument("cannot search for nothing: give a term")
    if "://" in term:
        raise InvalidArgument(f"invalid term {term!r}: leave out the scheme")
    first, slash, rest = term.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        domain, wanted = domain_of(first), rest
    else:
        domain, wanted = "docker.io", term
    if not wanted:
        raise InvalidArgument(f"cannot search {domain} for nothing: give a term")
    return domain, wanted.removeprefix("library/") if domain == "docker.io" else wanted


class _Filter:
    """Docker's filters of a search."""

    def __init__(self, filters: Filters) -> None:
        for key in filters:
            if key not in _FILTERS:
                raise InvalidArgument(f"invalid filter '{key}'")
        self._official = _truth(filters, "is-official")
        self._automated = _truth(filters, "is-automated")
        try:
            self._stars = max((int(value) for value in filters.get("stars", ())), default=0)
        except ValueError as error:
            raise InvalidArgument(f"invalid filter 'stars': {error}") from error

    def accepts(self, hit: SearchHit) -> bool:
        if self._official is not None and hit.is_official != self._official:
            return False
        if self._automated is not None and hit.is_automated != self._automated:
            return False
        return hit.star_count >= self._stars


def _truth(filters: Filters, key: str) -> bool | None:
    values = [value.lower() for value in filters.get(key, ())]
    if not values:
        return None
    if values[-1] not in ("true", "1", "false", "0"):
        raise InvalidArgument(f"invalid filter '{key}={values[-1]}': it is either true or false")
    return values[-1] in ("true", "1")
