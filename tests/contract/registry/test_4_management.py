"""distribution-spec 1.1, "Content Management": deleting tags, manifests, blobs. And what every answer has."""

from __future__ import annotations

import pytest

from tests.registry_server import OCI_INDEX, Client, digest_of, index_of, make_image


def test_delete_tag(client: Client, repository: str) -> None:
    """end-9: the tag goes at once; the manifest stays."""
    image = make_image()
    client.push_image(repository, "one", image)
    client.push_manifest(repository, "two", image.payload)
    assert client.delete(f"/v2/{repository}/manifests/one").status == 202
    assert client.get(f"/v2/{repository}/manifests/one").status == 404
    assert client.get(f"/v2/{repository}/manifests/two").status == 200
    assert client.get(f"/v2/{repository}/manifests/{image.digest}").status == 200
    assert client.get(f"/v2/{repository}/tags/list").json()["tags"] == ["two"]


def test_delete_manifest(client: Client, repository: str) -> None:
    """end-9: with all of its tags."""
    image = make_image()
    for tag in ("one", "two"):
        client.push_image(repository, tag, image)
    assert client.delete(f"/v2/{repository}/manifests/{image.digest}").status == 202
    for reference in ("one", "two", image.digest):
        assert client.get(f"/v2/{repository}/manifests/{reference}").status == 404
    assert (client.get(f"/v2/{repository}/tags/list").json()["tags"] or []) == []


def test_delete_blob(client: Client, repository: str) -> None:
    """end-10."""
    digest = client.push_blob(repository, b"to be deleted " + repository.encode())
    assert client.delete(f"/v2/{repository}/blobs/{digest}").status == 202
    assert client.get(f"/v2/{repository}/blobs/{digest}").status == 404
    assert client.head(f"/v2/{repository}/blobs/{digest}").status == 404


def test_delete_in_the_order_of_the_suite(client: Client, repository: str) -> None:
    """Tags, then manifests from the top, then blobs; and all can be pushed again."""
    images = make_image(), make_image()
    payload = index_of(*images)
    for _ in range(2):
        for image in images:
            client.push_image(repository, image.digest, image)
        client.push_manifest(repository, "multi", payload, OCI_INDEX)
        assert client.delete(f"/v2/{repository}/manifests/multi").status == 202
        for digest in (digest_of(payload), *(image.digest for image in images)):
            assert client.delete(f"/v2/{repository}/manifests/{digest}").status == 202
        for image in images:
            for blob in image.blobs:
                assert client.delete(f"/v2/{repository}/blobs/{digest_of(blob)}").status == 202


def test_delete_what_is_not_there(client: Client, repository: str) -> None:
    client.push_image(repository, "latest", make_image())
    for path in ("manifests/absent", f"manifests/{digest_of(b'absent')}", f"blobs/{digest_of(b'absent')}"):
        assert client.delete(f"/v2/{repository}/{path}").status == 404
        assert client.delete(f"/v2/{repository}/none/{path}").status == 404


def test_an_image_is_not_taken_apart(client: Client, repository: str) -> None:
    """What a manifest needs cannot be deleted before it: 405, which the specification has for deletes
    that are refused.

    A registry may also delete it; then it is gone.
    """
    images = make_image(), make_image()
    for image in images:
        client.push_image(repository, image.digest, image)
    client.push_manifest(repository, "multi", index_of(*images), OCI_INDEX)
    for path in (f"blobs/{digest_of(images[0].layers[0])}", f"manifests/{images[1].digest}"):
        answer = client.delete(f"/v2/{repository}/{path}")
        assert answer.status in (202, 405)
        assert client.get(f"/v2/{repository}/{path}").status == (404 if answer.status == 202 else 200)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v2/a/manifests/x"),
        ("PATCH", "/v2/a/blobs/x"),
        ("PUT", "/v2/a/tags/list"),
        ("DELETE", "/v2/"),
    ],
)
def test_methods_that_are_none(client: Client, method: str, path: str) -> None:
    answer = client.request(method, path, b"")
    assert answer.status == 405


def test_paths_that_are_none(client: Client) -> None:
    for path in ("/v2/a", "/v2/a/nothing/x", "/v1/", "/v2/a/blobs/uploads"):
        assert client.get(path).status in (404, 405), path


def test_errors_are_json(client: Client, repository: str) -> None:
    answer = client.get(f"/v2/{repository}/manifests/latest")
    assert answer.header("Content-Type").startswith("application/json")
    (error,) = answer.json()["errors"]
    assert error["code"] and error["message"]
