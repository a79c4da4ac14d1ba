from __future__ import annotations

import json
from typing import Any

import pytest

pytest.importorskip("sqlalchemy")

from corten.errors import NotFound
from corten.oci.manifest import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST
from corten.registry.metadata.browsing_records import Facts, Payload
from corten.registry.page.document import Descriptor
from corten.registry.page.facts import SUMMARY, WORDS, facts_of

CONFIG = {
    "os": "linux",
    "architecture": "arm64",
    "variant": "v8",
    "created": "2026-01-02T03:04:05Z",
    "config": {"Labels": {"Team": "Payments", "org.opencontainers.image.description": "Takes\n orders"}},
}


def payload(digest: str = "sha256:m", **document: Any) -> Payload:
    media_type = document.get("mediaType", OCI_MANIFEST)
    return Payload(digest, media_type, json.dumps({"schemaVersion": 2, **document}).encode())


def blob(name: str, size: int, media_type: str = OCI_CONFIG) -> dict[str, Any]:
    return {"digest": f"sha256:{name}", "size": size, "mediaType": media_type}


def facts(found: Payload, config: object = CONFIG, **children: Payload) -> Facts:
    data = config if isinstance(config, bytes) else json.dumps(config).encode()
    return facts_of(found, {f"sha256:{name}": child for name, child in children.items()}, lambda _d: data)


def test_an_image() -> None:
    layer = blob("l", 1000, "application/vnd.oci.image.layer.v1.tar+gzip")
    found = facts(payload(config=blob("c", 10), layers=[layer, layer], annotations={"Stage": "Production"}))
    assert found == Facts(
        "sha256:m",
        "image",
        "linux/arm64/v8",
        1010,
        "2026-01-02T03:04:05Z",
        "Takes orders",
        "team=payments\norg.opencontainers.image.description=takes orders\nstage=production",
    )


def test_an_index_counts_what_its_children_share_once() -> None:
    children = {
        name: payload(
            f"sha256:{name}", config=blob(f"c{name}", 10), layers=[blob("shared", 500), blob(name, 50)]
        )
        for name in ("a", "b")
    }
    entries = [
        {**blob(name, 1, OCI_MANIFEST), "platform": {"os": "linux", "architecture": architecture}}
        for name, architecture in (("a", "amd64"), ("b", "arm64"), ("absent", "s390x"))
    ]
    entries.append({**blob("x", 1), "platform": {"os": "unknown", "architecture": "unknown"}})
    found = facts(payload(mediaType=OCI_INDEX, manifests=entries), **children)
    assert (found.kind, found.platforms) == ("index", "linux/amd64,linux/arm64,linux/s390x")
    assert found.bytes == 500 + 2 * (10 + 50)


@pytest.mark.parametrize(
    "config",
    [
        b"",
        b"no json",
        b"[1]",
        b'{"config": 5, "os": ["x"]}',
        b'{"config": {"Labels": [1, 2]}}',
        b"[" * 100_000,
        b'{"config": {"Labels": {"a": null, "b": {"c": 1}}}}',
    ],
)
def test_configs_that_are_none(config: bytes) -> None:
    found = facts(payload(config=blob("c", 10), layers=[]), config)
    assert (found.kind, found.platforms) == ("image", "")


def test_a_config_that_cannot_be_read() -> None:
    def read(_descriptor: Descriptor) -> bytes:
        raise NotFound("it is gone")

    assert facts_of(payload(config=blob("c", 10), layers=[]), {}, read).kind == "image"
    assert facts_of(payload(config=blob("c", 10), layers=[]), {}, lambda _d: None).words == ""


def test_what_is_long_is_cut_and_what_is_absurd_is_bounded() -> None:
    notes = {f"key{number}": "x" * 10_000 for number in range(1000)}
    notes["org.opencontainers.image.description"] = "y" * 10_000 + "\0"
    found = facts(payload(config=blob("c", 1 << 62), layers=[blob("l", 1 << 62)], annotations=notes))
    assert len(found.words) <= WORDS
    assert len(found.summary) <= SUMMARY
    assert "\0" not in found.words + found.summary
    assert found.bytes < 1 << 63


def test_a_manifest_that_is_none() -> None:
    assert facts(Payload("sha256:m", OCI_MANIFEST, b"[]")).kind == "artifact"
