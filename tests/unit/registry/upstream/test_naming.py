from __future__ import annotations

import pytest

from corten.registry.errors import RegistryError
from corten.registry.routing import Resource, Route
from corten.registry.upstream.naming import Naming, Place
from corten.registry.upstream.settings import Upstream

NAMING = Naming(
    {
        "docker.io": Upstream(),
        "quay": Upstream(url="https://quay.io", prefix="mirror/quay"),
        "plain": Upstream(url="https://plain.example", prefix="mirror", library=True),
    }
)


@pytest.mark.parametrize(
    ("repository", "place"),
    [
        ("docker.io/busybox", Place("docker.io", "library/busybox")),
        ("docker.io/library/busybox", Place("docker.io", "library/busybox")),
        ("docker.io/grafana/loki", Place("docker.io", "grafana/loki")),
        ("mirror/quay/app", Place("quay", "app")),
        ("mirror/app", Place("plain", "library/app")),
        ("mirror/quay", Place("plain", "library/quay")),
        ("docker.io", None),
        ("docker.iox/app", None),
        ("own/app", None),
    ],
)
def test_places(repository: str, place: Place | None) -> None:
    assert NAMING.place(repository) == place


def test_everything() -> None:
    naming = Naming({"": Upstream(url="https://registry-1.docker.io"), "x": Upstream()})
    assert naming.place("busybox") == Place("", "library/busybox")
    assert naming.place("x/app") == Place("x", "app")
    route = Route(Resource.MANIFEST, "library/busybox", "1")
    assert naming.in_namespace(route, "docker.io") == route


def test_namespaces() -> None:
    route = Route(Resource.MANIFEST, "library/busybox", "1")
    assert NAMING.in_namespace(route, "docker.io").repository == "docker.io/library/busybox"
    assert NAMING.in_namespace(route, "quay").repository == "mirror/quay/library/busybox"
    assert NAMING.in_namespace(route, "") == route
    assert NAMING.in_namespace(route, "elsewhere.example") == route
    assert NAMING.in_namespace(Route(Resource.BASE), "docker.io") == Route(Resource.BASE)
    with pytest.raises(RegistryError, match=r"does not stand for 'elsewhere\.example'"):
        NAMING.in_namespace(Route(Resource.MANIFEST, "docker.io/busybox", "1"), "elsewhere.example")
