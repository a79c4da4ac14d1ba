"""distribution-spec 1.1, "Content Discovery": tags, referrers; and the catalog."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Iterator

import pytest

from tests.registry_server import OCI_INDEX, OCI_MANIFEST, Client, Image, descriptor, digest_of, make_image

TAGS = ["0.1", "1.0", "A", "B", "_x", "a", "b", "latest", "v10", "v2"]


@pytest.fixture
def tagged(client: Client, repository: str) -> str:
    image = make_image()
    client.push_image(repository, TAGS[0], image)
    for tag in reversed(TAGS[1:]):
        assert client.push_manifest(repository, tag, image.payload).status == 201
    return repository


def pages(client: Client, path: str, field: str) -> Iterator[list[str]]:
    """Every page, by the Link header alone."""
    while path:
        answer = client.get(path)
        assert answer.status == 200
        yield answer.json()[field] or []
        link = answer.header("Link")
        assert not link or 'rel="next"' in link
        path = urllib.parse.urljoin(path, link[1 : link.index(">")]) if link else ""


def test_tags_are_in_the_order_of_bytes(client: Client, tagged: str) -> None:
    """end-8a."""
    answer = client.get(f"/v2/{tagged}/tags/list")
    assert answer.json() == {"name": tagged, "tags": TAGS}


@pytest.mark.parametrize("count", [1, 3, 9])
def test_pages_of_tags(client: Client, tagged: str, count: int) -> None:
    """end-8b: n and last."""
    found = list(pages(client, f"/v2/{tagged}/tags/list?n={count}", "tags"))
    assert [tag for page in found for tag in page] == TAGS
    assert all(len(page) == count for page in found[:-1])


def test_all_tags_in_one_page_have_no_link(client: Client, tagged: str) -> None:
    for query in ("", f"?n={len(TAGS)}", "?n=1000"):
        answer = client.get(f"/v2/{tagged}/tags/list{query}")
        assert answer.json()["tags"] == TAGS
        assert not answer.header("Link")


def test_last_alone(client: Client, tagged: str) -> None:
    for last, expected in (("B", TAGS[4:]), ("v2", []), ("C", TAGS[4:]), ("", TAGS)):
        answer = client.get(f"/v2/{tagged}/tags/list?last={last}")
        assert (answer.json()["tags"] or []) == expected


def test_no_tags_wanted(client: Client, tagged: str) -> None:
    answer = client.get(f"/v2/{tagged}/tags/list?n=0")
    assert (answer.status, answer.json()["tags"] or []) == (200, [])
    assert not answer.header("Link")


@pytest.mark.parametrize("count", ["-1", "x", "1.5", "99999999999999999999999"])
def test_number_of_tags_that_is_none(client: Client, tagged: str, count: str) -> None:
    assert client.get(f"/v2/{tagged}/tags/list?n={count}").status == 400


def test_tags_of_a_repository_that_is_not_there(client: Client, repository: str) -> None:
    answer = client.get(f"/v2/{repository}/tags/list")
    assert (answer.status, answer.codes) == (404, ["NAME_UNKNOWN"])


def artifact(subject: Image, kind: str, note: str) -> Image:
    return make_image(subject=subject.descriptor, artifactType=kind, annotations={"note": note})


def test_referrers(client: Client, repository: str) -> None:
    """end-12a: an index of the manifests whose subject it is."""
    subject = make_image()
    client.push_image(repository, "latest", subject)
    signature = artifact(subject, "application/vnd.example.signature", "signed")
    sbom = artifact(subject, "application/vnd.example.sbom", "listed")
    for found in (signature, sbom):
        client.push_image(repository, found.digest, found)
    answer = client.get(f"/v2/{repository}/referrers/{subject.digest}")
    assert answer.status == 200
    assert answer.header("Content-Type") == OCI_INDEX
    index = answer.json()
    assert (index["schemaVersion"], index["mediaType"]) == (2, OCI_INDEX)
    assert {entry["digest"]: entry for entry in index["manifests"]} == {
        found.digest: {
            "mediaType": OCI_MANIFEST,
            "digest": found.digest,
            "size": len(found.payload),
            "artifactType": found.extra["artifactType"],
            "annotations": found.extra["annotations"],
        }
        for found in (signature, sbom)
    }


def test_referrers_by_type(client: Client, repository: str) -> None:
    """end-12b: the filter, and the header that says that it was applied."""
    subject = make_image()
    kinds = ["application/vnd.example.a+json", "application/vnd.example.b+json"]
    for kind in kinds:
        found = artifact(subject, kind, kind)
        client.push_image(repository, found.digest, found)
    for kind in (*kinds, "application/vnd.example.none"):
        quoted = urllib.parse.quote(kind, safe="")
        answer = client.get(f"/v2/{repository}/referrers/{subject.digest}?artifactType={quoted}")
        assert answer.header("OCI-Filters-Applied") == "artifactType"
        listed = [entry["artifactType"] for entry in answer.json()["manifests"]]
        assert listed == ([kind] if kind in kinds else [])


def test_type_of_the_config_stands_in(client: Client, repository: str) -> None:
    subject = make_image()
    old = make_image(subject=subject.descriptor)
    client.push_image(repository, old.digest, old)
    (entry,) = client.get(f"/v2/{repository}/referrers/{subject.digest}").json()["manifests"]
    assert entry["artifactType"] == "application/vnd.oci.image.config.v1+json"


def test_index_with_a_subject(client: Client, repository: str) -> None:
    subject = make_image()
    payload = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "artifactType": "application/vnd.example.list",
            "manifests": [],
            "subject": descriptor(subject.payload, OCI_MANIFEST),
        }
    ).encode()
    answer = client.push_manifest(repository, digest_of(payload), payload, OCI_INDEX)
    assert (answer.status, answer.header("OCI-Subject")) == (201, subject.digest)
    (entry,) = client.get(f"/v2/{repository}/referrers/{subject.digest}").json()["manifests"]
    assert (entry["mediaType"], entry["artifactType"]) == (OCI_INDEX, "application/vnd.example.list")


def test_no_referrers(client: Client, repository: str) -> None:
    """200 and an empty index, whether or not the subject or the repository is there."""
    for _ in range(2):
        answer = client.get(f"/v2/{repository}/referrers/{digest_of(b'nothing')}")
        assert (answer.status, answer.json()["manifests"]) == (200, [])
        client.push_image(repository, "latest", make_image())


def test_referrers_of_what_is_no_digest(client: Client, repository: str) -> None:
    assert client.get(f"/v2/{repository}/referrers/sha256:bad").status == 400


def test_a_referrer_that_is_deleted_is_not_listed(client: Client, repository: str) -> None:
    subject = make_image()
    found = artifact(subject, "application/vnd.example", "gone")
    client.push_image(repository, found.digest, found)
    assert client.delete(f"/v2/{repository}/manifests/{found.digest}").status == 202
    assert client.get(f"/v2/{repository}/referrers/{subject.digest}").json()["manifests"] == []


def test_catalog(client: Client, repository: str) -> None:
    names = sorted(f"{repository}/{name}" for name in ("one", "two", "three"))
    for name in names:
        client.push_image(name, "latest", make_image())
    found = list(pages(client, f"/v2/_catalog?n=2&last={repository}", "repositories"))
    listed = [name for page in found for name in page]
    assert [name for name in listed if name.startswith(repository)] == names
    assert listed == sorted(listed)
    assert all(len(page) == 2 for page in found[:-1])
