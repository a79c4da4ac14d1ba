"""Which upstream a repository comes from, and what it is called there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from corten.registry.errors import Code, RegistryError
from corten.registry.routing import Route
from corten.registry.upstream.settings import Upstream, is_hub, namespace_of, prefix_of, url_of


class Place(NamedTuple):
    """A repository of an upstream: the section's name, and the repository there."""

    upstream: str
    repository: str


class Naming:
    """The prefixes of all upstreams. Where several fit, the longest counts."""

    def __init__(self, upstreams: Mapping[str, Upstream]) -> None:
        self._by_prefix = {prefix_of(name, found): name for name, found in upstreams.items()}
        self._prefixes = {namespace_of(n, u): prefix_of(n, u) for n, u in upstreams.items()}
        self._library = {
            name: is_hub(url_of(name, found)) if found.library is None else found.library
            for name, found in upstreams.items()
        }

    def place(self, repository: str) -> Place | None:
        """Where `repository` comes from; None when it is only here.

        >>> Naming({"docker.io": Upstream()}).place("docker.io/busybox")
        Place(upstream='docker.io', repository='library/busybox')
        """
        prefix = repository
        while prefix:
            prefix = prefix.rpartition("/")[0]
            name = self._by_prefix.get(prefix)
            if name is not None:
                rest = repository[len(prefix) + 1 :] if prefix else repository
                if self._library[name] and "/" not in rest:
                    rest = f"library/{rest}"
                return Place(name, rest)
        return None

    def in_namespace(self, route: Route, namespace: str) -> Route:
        """The route that a request with `?ns=` means: containerd asks a mirror for the repositories of
        another registry by that registry's names.

        RegistryError: NAME_UNKNOWN for a registry that this one does not stand for, where another's
        repository of the same name would be handed out.
        """
        if not namespace or not route.repository:
            return route
        prefix = self._prefixes.get(namespace)
        if prefix is None:
            if self.place(route.repository) is None:
                return route
            raise RegistryError(
                Code.NAME_UNKNOWN,
                f"this registry does not stand for {namespace[:200]!r}: it is no upstream of it",
            )
        return route._replace(repository=f"{prefix}/{route.repository}") if prefix else route
