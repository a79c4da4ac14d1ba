from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corten.registry.errors import RegistryError
from corten.registry.manifest import read_manifest
from tests.registry_server import (
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    digest_of,
    index_of,
    make_image,
)


def read(document: Any, content_type: str = "", limit: int = 100) -> Any:
    return read_manifest(json.dumps(document).encode(), content_type, "", limit)


def test_image() -> None:
    image = make_image("seed", layers=2)
    found = read_manifest(image.payload, OCI_MANIFEST, image.digest, 100)
    assert (found.digest, found.media_type, found.subject) == (image.digest, OCI_MANIFEST, "")
    assert [(r.digest, r.size, r.is_manifest) for r in found.references] == [
        (digest_of(blob), len(blob), False) for blob in image.blobs
    ]


def test_index() -> None:
    images = make_image("a"), make_image("b")
    found = read_manifest(index_of(*images), OCI_INDEX, "", 100)
    assert [(r.digest, r.is_manifest) for r in found.references] == [(i.digest, True) for i in images]


@pytest.mark.parametrize(
    "content_type", [OCI_MANIFEST, f"{OCI_MANIFEST}; charset=utf-8", "", "application/json"]
)
def test_media_type(content_type: str) -> None:
    document = make_image("seed").document
    assert read(document, content_type).media_type == OCI_MANIFEST
    del document["mediaType"]
    assert read(document, content_type).media_type == OCI_MANIFEST


def test_media_types_that_contradict() -> None:
    with pytest.raises(RegistryError, match="it says that it is"):
        read(make_image("seed").document, DOCKER_MANIFEST)


def test_media_type_of_nobody() -> None:
    """A document of a kind that comes later is stored, with whatever of its references is understood."""
    document = make_image("seed").document
    document["mediaType"] = "application/vnd.example.future+json"
    found = read(document, "application/vnd.example.future+json")
    assert len(found.references) == 2


@pytest.mark.parametrize("media_type", ["a", "a/b\r\nX: y", "a/" + "b" * 300])
def test_media_type_that_is_none(media_type: str) -> None:
    document = make_image("seed").document
    del document["mediaType"]
    with pytest.raises(RegistryError):
        read(document, media_type)


def test_same_layer_twice_is_one_reference() -> None:
    document = make_image("seed").document
    document["layers"] *= 5
    assert len(read(document).references) == 2
    document["layers"][1] = {**document["layers"][1], "size": 1}
    with pytest.raises(RegistryError, match="two sizes"):
        read(document)


def test_too_many_references() -> None:
    document = make_image("seed", layers=11).document
    with pytest.raises(RegistryError, match="12 references, and 10"):
        read(document, limit=10)


def test_layers_from_elsewhere_are_optional() -> None:
    document = make_image("seed").document
    foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    document["layers"][0] |= {"mediaType": foreign, "urls": ["https://example.com/layer"]}
    assert [reference.optional for reference in read(document).references] == [False, True]
    del document["layers"][0]["urls"]
    assert [reference.optional for reference in read(document).references] == [False, False]


def test_referrer() -> None:
    subject = make_image("subject")
    document = make_image("x", subject=subject.descriptor, annotations={"a": "b"}).document
    found = read(document)
    assert (found.subject, found.annotations) == (subject.digest, '{"a":"b"}')
    assert found.artifact_type == document["config"]["mediaType"]
    assert read({**document, "artifactType": "a/b"}).artifact_type == "a/b"


@pytest.mark.parametrize(
    "change",
    [
        {"schemaVersion": 3},
        {"schemaVersion": "2"},
        {"config": None},
        {"layers": None},
        {"layers": [5]},
        {"manifests": []},
        {"subject": {"digest": "x", "size": 1}},
        {"annotations": {"a": 1}},
        {"layers": [{"digest": "sha256:" + "0" * 64, "size": -1}]},
        {"layers": [{"digest": "sha256:" + "0" * 64, "size": 10**30}]},
        {"layers": [{"digest": "../../../etc/passwd", "size": 1}]},
    ],
)
def test_what_is_wrong(change: dict[str, Any]) -> None:
    with pytest.raises(RegistryError) as caught:
        read({**make_image("seed").document, **change})
    assert caught.value.code.word == "MANIFEST_INVALID"


@given(st.one_of(st.binary(max_size=200), st.text(max_size=100).map(str.encode)))
def test_bytes_of_any_kind(payload: bytes) -> None:
    with pytest.raises(RegistryError):
        read_manifest(payload, OCI_MANIFEST, "", 100)
