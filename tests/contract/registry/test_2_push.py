"""distribution-spec 1.1, "Push": blobs in one request, in two, in chunks; mounts; manifests of every kind."""

from __future__ import annotations

import hashlib
import json

import pytest

from tests.registry_server import (
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    OCI_EMPTY,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
    Client,
    descriptor,
    digest_of,
    index_of,
    make_image,
)

ALGORITHMS = ["sha256", "sha512"]
OCTETS = {"Content-Type": "application/octet-stream"}


def is_there(client: Client, repository: str, data: bytes, algorithm: str = "sha256") -> bool:
    answer = client.get(f"/v2/{repository}/blobs/{digest_of(data, algorithm)}")
    return answer.status == 200 and answer.body == data


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_post_then_put(client: Client, repository: str, algorithm: str) -> None:
    """end-4a, end-6."""
    data = b"post then put " + repository.encode()
    answer = client.request("POST", f"/v2/{repository}/blobs/uploads/", b"")
    assert answer.status == 202
    done = client.finish(answer.header("Location"), digest_of(data, algorithm), data)
    assert done.status == 201
    assert client.get(done.header("Location")).body == data
    assert is_there(client, repository, data, algorithm)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("size", [0, 512, 2 << 20, 20 << 20])
def test_single_post(client: Client, repository: str, algorithm: str, size: int) -> None:
    """end-4b: 201, or 202 where that is not supported."""
    data = (repository.encode() * (size // len(repository) + 1))[:size]
    digest = digest_of(data, algorithm)
    answer = client.request("POST", f"/v2/{repository}/blobs/uploads/?digest={digest}", data, OCTETS)
    if answer.status == 202:
        answer = client.finish(answer.header("Location"), digest, data)
    assert answer.status == 201
    assert answer.header("Docker-Content-Digest") in ("", digest)
    assert is_there(client, repository, data, algorithm)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_chunks(client: Client, repository: str, algorithm: str) -> None:
    """end-5: each chunk says where it belongs, each answer how far the upload is."""
    data = bytes(n % 255 for n in range(3000))
    location = client.begin(repository)
    for start in (0, 1000, 2000):
        chunk = data[start : start + 1000]
        answer = client.request(
            "PATCH", location, chunk, {**OCTETS, "Content-Range": f"{start}-{start + 999}"}
        )
        assert answer.status == 202
        assert answer.header("Range") == f"0-{start + 999}"
        location = answer.header("Location")
    assert client.finish(location, digest_of(data, algorithm)).status == 201
    assert is_there(client, repository, data, algorithm)


def test_last_chunk_with_the_put(client: Client, repository: str) -> None:
    data = bytes(n % 253 for n in range(2000))
    location = client.begin(repository)
    answer = client.request("PATCH", location, data[:1500], {**OCTETS, "Content-Range": "0-1499"})
    done = client.finish(answer.header("Location"), digest_of(data), data[1500:], Content_Range="1500-1999")
    assert done.status == 201
    assert is_there(client, repository, data)


@pytest.mark.parametrize("size", [0, 10, 3 << 20])
def test_stream(client: Client, repository: str, size: int) -> None:
    """A PATCH without Content-Range, of a length that is not told: what docker sends."""
    data = b"s" * size
    location = client.begin(repository)
    answer = client.request("PATCH", location, (data[n : n + 32768] for n in range(0, size, 32768)), OCTETS)
    assert answer.status == 202
    assert client.finish(answer.header("Location"), digest_of(data)).status == 201
    assert is_there(client, repository, data)


def test_several_streams_go_on_from_each_other(client: Client, repository: str) -> None:
    location = client.begin(repository)
    for piece in (b"one ", b"two ", b"three"):
        answer = client.request("PATCH", location, iter([piece]), OCTETS)
        assert answer.status == 202
        location = answer.header("Location")
    assert client.finish(location, digest_of(b"one two three")).status == 201
    assert is_there(client, repository, b"one two three")


def test_status_of_an_upload(client: Client, repository: str) -> None:
    """end-13."""
    location = client.begin(repository)
    answer = client.get(location)
    assert answer.status == 204
    client.request("PATCH", answer.header("Location"), b"q" * 700, {**OCTETS, "Content-Range": "0-699"})
    answer = client.get(location)
    assert (answer.status, answer.header("Range")) == (204, "0-699")


@pytest.mark.parametrize("content_range", ["100-199", "0-99", "5-1", "abc", "-5", "50-"])
def test_chunk_out_of_order(client: Client, repository: str, content_range: str) -> None:
    """416 with the state; the upload goes on afterwards, and its status is what it was."""
    data = b"a" * 50 + b"b" * 50
    location = client.begin(repository)
    answer = client.request("PATCH", location, data[:50], {**OCTETS, "Content-Range": "0-49"})
    location = answer.header("Location")
    bad = client.request("PATCH", location, b"x" * 100, {**OCTETS, "Content-Range": content_range})
    assert bad.status == 416
    status = client.get(location)
    assert (status.status, status.header("Range")) == (204, "0-49")
    good = client.request("PATCH", status.header("Location"), data[50:], {**OCTETS, "Content-Range": "50-99"})
    assert good.status == 202
    assert client.finish(good.header("Location"), digest_of(data)).status == 201
    assert is_there(client, repository, data)


def test_first_chunk_out_of_order(client: Client, repository: str) -> None:
    location = client.begin(repository)
    bad = client.request("PATCH", location, b"x" * 10, {**OCTETS, "Content-Range": "10-19"})
    assert bad.status == 416
    assert client.get(location).status == 204


def test_put_out_of_order_is_416_as_well(client: Client, repository: str) -> None:
    data = b"d" * 100
    location = client.begin(repository)
    answer = client.request("PATCH", location, data[:50], {**OCTETS, "Content-Range": "0-49"})
    bad = client.finish(answer.header("Location"), digest_of(data), data[70:], Content_Range="70-99")
    assert bad.status == 416
    assert client.get(location).header("Range") == "0-49"


def test_chunk_of_another_length_than_it_says(client: Client, repository: str) -> None:
    location = client.begin(repository)
    answer = client.request("PATCH", location, b"x" * 10, {**OCTETS, "Content-Range": "0-99"})
    assert answer.status in (400, 416)


def test_cancel(client: Client, repository: str) -> None:
    """end-14: 204, then the session is gone."""
    location = client.begin(repository)
    assert client.delete(location).status == 204
    assert client.get(location).status == 404
    answer = client.request("PATCH", location, b"late", OCTETS)
    assert (answer.status, answer.codes) == (404, ["BLOB_UPLOAD_UNKNOWN"])


def test_upload_that_is_not_there(client: Client, repository: str) -> None:
    client.begin(repository)
    for identity in ("0" * 32, "nonsense", "00000000-0000-0000-0000-000000000000"):
        location = f"/v2/{repository}/blobs/uploads/{identity}"
        assert client.finish(location, digest_of(b"x"), b"x").status == 404, identity


def test_upload_of_another_repository(client: Client, repository: str) -> None:
    location = client.begin(repository)
    elsewhere = location.replace(repository, f"{repository}/elsewhere")
    assert client.finish(elsewhere, digest_of(b"x"), b"x").status == 404
    assert client.finish(location, digest_of(b"x"), b"x").status == 201


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("way", ["post", "put", "patch", "chunk and put"])
def test_digest_that_lies(client: Client, repository: str, way: str, algorithm: str) -> None:
    """400 DIGEST_INVALID, and nothing is stored."""
    data, lie = b"the truth " * 100, digest_of(b"a lie", algorithm)
    if way == "post":
        answer = client.request("POST", f"/v2/{repository}/blobs/uploads/?digest={lie}", data, OCTETS)
    else:
        location = client.begin(repository)
        if way != "put":
            sent = client.request("PATCH", location, data[:500], OCTETS)
            location = sent.header("Location")
        rest = {"put": data, "patch": b"", "chunk and put": data[500:]}[way]
        answer = client.finish(location, lie, rest)
    assert answer.status == 400
    assert answer.codes == ["DIGEST_INVALID"]
    assert client.get(f"/v2/{repository}/blobs/{lie}").status == 404


@pytest.mark.parametrize("digest", ["", "sha256:baddigeststring", "md5:" + "0" * 32, "sha256:" + "A" * 64])
def test_digest_that_is_none(client: Client, repository: str, digest: str) -> None:
    location = client.begin(repository)
    assert client.finish(location, digest, b"x").status == 400
    assert client.request("PUT", location, b"x", OCTETS).status == 400


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_mount(client: Client, repository: str, algorithm: str) -> None:
    """end-11: 201 and the blob is there."""
    data = b"mounted " + repository.encode()
    digest = client.push_blob(repository, data, algorithm)
    other = f"{repository}/other"
    answer = client.request("POST", f"/v2/{other}/blobs/uploads/?mount={digest}&from={repository}", b"")
    assert answer.status == 201
    assert client.get(answer.header("Location")).body == data
    assert is_there(client, other, data, algorithm)


def test_mount_without_a_source(client: Client, repository: str) -> None:
    """201 where the registry finds it, else 202; both lead to the blob."""
    data = b"mounted from anywhere " + repository.encode()
    digest = client.push_blob(repository, data)
    answer = client.request("POST", f"/v2/{repository}/other/blobs/uploads/?mount={digest}", b"")
    assert answer.status in (201, 202)
    if answer.status == 202:
        client.finish(answer.header("Location"), digest, data)
    assert is_there(client, f"{repository}/other", data)


@pytest.mark.parametrize("source", ["absent", "Not%20A%20Name", "a/../b"])
def test_mount_of_what_is_not_there_begins_an_upload(client: Client, repository: str, source: str) -> None:
    data = b"never pushed " + repository.encode()
    answer = client.request(
        "POST", f"/v2/{repository}/blobs/uploads/?mount={digest_of(data)}&from={source}", b""
    )
    assert answer.status == 202
    assert client.finish(answer.header("Location"), digest_of(data), data).status == 201


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_manifest_by_digest(client: Client, repository: str, algorithm: str) -> None:
    """end-7: 201 with Location."""
    image = make_image()
    for blob in image.blobs:
        client.push_blob(repository, blob)
    digest = digest_of(image.payload, algorithm)
    answer = client.push_manifest(repository, digest, image.payload)
    assert answer.status == 201
    assert answer.header("Docker-Content-Digest") == digest
    assert client.get(answer.header("Location")).body == image.payload
    assert client.get(f"/v2/{repository}/manifests/{digest}").body == image.payload


def test_manifest_by_digest_with_tags(client: Client, repository: str) -> None:
    """?tag=: each tag that was accepted comes back in OCI-Tag."""
    image = make_image()
    for blob in image.blobs:
        client.push_blob(repository, blob)
    tags = [f"1.2.{number}" for number in range(10)]
    query = "&".join(f"tag={tag}" for tag in tags)
    for algorithm in ALGORITHMS:
        digest = digest_of(image.payload, algorithm)
        answer = client.push_manifest(repository, f"{digest}?{query}", image.payload)
        assert answer.status == 201
        echoed = ", ".join(answer.headers.get_all("OCI-Tag") or [])
        assert [tag.strip() for tag in echoed.split(",")] == tags
        for tag in tags:
            found = client.get(f"/v2/{repository}/manifests/{tag}")
            assert found.header("Docker-Content-Digest") == digest


def test_manifest_whose_digest_lies(client: Client, repository: str) -> None:
    image = make_image()
    for blob in image.blobs:
        client.push_blob(repository, blob)
    answer = client.push_manifest(repository, image.digest, image.payload + b"  ")
    assert (answer.status, answer.codes) == (400, ["DIGEST_INVALID"])
    assert client.push_manifest(repository, "sha256:baddigeststring", image.payload).status == 400
    assert client.get(f"/v2/{repository}/manifests/{image.digest}").status == 404


def test_tag_moves(client: Client, repository: str) -> None:
    first, second = make_image(), make_image()
    client.push_image(repository, "latest", first)
    client.push_image(repository, "latest", second)
    assert client.get(f"/v2/{repository}/manifests/latest").body == second.payload
    assert client.get(f"/v2/{repository}/manifests/{first.digest}").body == first.payload


def test_manifest_without_its_blobs(client: Client, repository: str) -> None:
    """Each that is missing is named; nothing is stored."""
    image = make_image(layers=2)
    client.push_blob(repository, image.config)
    answer = client.push_manifest(repository, "latest", image.payload)
    assert answer.status in (400, 404)
    assert answer.codes == ["MANIFEST_BLOB_UNKNOWN"] * 2
    named = {error["detail"]["digest"] for error in answer.json()["errors"]}
    assert named == {digest_of(layer) for layer in image.layers}
    assert client.get(f"/v2/{repository}/manifests/latest").status == 404


def test_manifest_that_says_another_size(client: Client, repository: str) -> None:
    image = make_image()
    for blob in image.blobs:
        client.push_blob(repository, blob)
    document = image.document
    document["layers"][0]["size"] += 1
    assert client.push_manifest(repository, "latest", json.dumps(document).encode()).status == 400


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"not json",
        b"[]",
        b"{}",
        b'{"schemaVersion": 1, "name": "x", "tag": "y", "fsLayers": []}',
        b'{"schemaVersion": 2, "config": 5, "layers": []}',
        b'{"schemaVersion": 2, "layers": []}',
        b'{"schemaVersion": 2, "config": {"mediaType": "a/b", "digest": "../x", "size": 1}, "layers": []}',
        b"\xff\xfe",
        b'{"a":' * 100_000,
        b"[" * 1_000_000,
    ],
    ids=[
        "empty",
        "text",
        "list",
        "object",
        "schema 1",
        "types",
        "no config",
        "path",
        "utf-16",
        "deep",
        "deeper",
    ],
)
def test_manifest_that_is_none(client: Client, repository: str, payload: bytes) -> None:
    """400 MANIFEST_INVALID."""
    client.push_blob(repository, b"x")
    answer = client.push_manifest(repository, "latest", payload)
    assert (answer.status, answer.codes) == (400, ["MANIFEST_INVALID"])
    assert client.get(f"/v2/{repository}/manifests/latest").status == 404


@pytest.mark.parametrize("tag", ["-x", ".x", "a" * 129, "a b", "ä", "a/b", "sha256:" + "g" * 64])
def test_tag_that_is_none(client: Client, repository: str, tag: str) -> None:
    from urllib.parse import quote

    image = make_image()
    client.push_image(repository, "good", image)
    answer = client.push_manifest(repository, quote(tag, safe=""), image.payload)
    assert answer.status in (400, 404)
    assert client.get(f"/v2/{repository}/tags/list").json()["tags"] == ["good"]


def test_large_manifest(client: Client, repository: str) -> None:
    """ "at least 4 megabytes"; what is larger is 413."""
    image = make_image(annotations={f"large-{n}": "A" * 10_000 for n in range(390)})
    assert len(image.payload) > 3_900_000
    client.push_image(repository, "large", image)
    assert client.get(f"/v2/{repository}/manifests/large").body == image.payload
    answer = client.push_manifest(repository, "larger", b" " * (5 << 20))
    assert answer.status in (400, 413)
    assert client.get("/v2/").status == 200


def test_index(client: Client, repository: str) -> None:
    images = make_image(), make_image()
    for image in images:
        client.push_image(repository, image.digest, image)
    payload = index_of(*images)
    assert client.push_manifest(repository, "multi", payload, OCI_INDEX).status == 201
    answer = client.get(f"/v2/{repository}/manifests/multi")
    assert (answer.body, answer.header("Content-Type")) == (payload, OCI_INDEX)


def test_index_of_indexes_and_empty_index(client: Client, repository: str) -> None:
    empty = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode()
    assert client.push_manifest(repository, "empty", empty, OCI_INDEX).status == 201
    nested = json.dumps(
        {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [descriptor(empty, OCI_INDEX)]}
    ).encode()
    assert client.push_manifest(repository, "nested", nested, OCI_INDEX).status == 201
    assert client.get(f"/v2/{repository}/manifests/nested").body == nested


def test_index_without_its_manifests(client: Client, repository: str) -> None:
    client.push_blob(repository, b"x")
    answer = client.push_manifest(repository, "multi", index_of(make_image()), OCI_INDEX)
    assert answer.status in (400, 404)
    assert answer.codes == ["MANIFEST_BLOB_UNKNOWN"]


def test_docker_types(client: Client, repository: str) -> None:
    image = make_image()
    for blob in image.blobs:
        client.push_blob(repository, blob)
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": DOCKER_MANIFEST,
            "config": descriptor(image.config, "application/vnd.docker.container.image.v1+json"),
            "layers": [descriptor(image.layers[0], "application/vnd.docker.image.rootfs.diff.tar.gzip")],
        }
    ).encode()
    assert client.push_manifest(repository, "v2s2", manifest, DOCKER_MANIFEST).status == 201
    listed = {
        **descriptor(manifest, DOCKER_MANIFEST),
        "platform": {"os": "linux", "architecture": "amd64"},
    }
    index = json.dumps({"schemaVersion": 2, "mediaType": DOCKER_INDEX, "manifests": [listed]}).encode()
    assert client.push_manifest(repository, "list", index, DOCKER_INDEX).status == 201
    for tag, payload, media_type in (("v2s2", manifest, DOCKER_MANIFEST), ("list", index, DOCKER_INDEX)):
        answer = client.get(f"/v2/{repository}/manifests/{tag}")
        assert (answer.body, answer.header("Content-Type")) == (payload, media_type)


@pytest.mark.parametrize(
    ("artifact_type", "config_type", "layer_type"),
    [
        (
            "",
            "application/vnd.cncf.helm.config.v1+json",
            "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
        ),
        ("application/spdx+json", OCI_EMPTY, "application/spdx+json"),
        (
            "application/vnd.dev.cosign.artifact.sig.v1+json",
            OCI_EMPTY,
            "application/vnd.dev.cosign.simplesigning.v1+json",
        ),
        ("", "application/vnd.wasm.config.v0+json", "application/wasm"),
        (
            "application/vnd.cncf.model.manifest.v1+json",
            OCI_EMPTY,
            "application/vnd.cncf.model.weight.v1.raw",
        ),
    ],
    ids=["helm", "sbom", "signature", "wasm", "model"],
)
def test_artifacts(
    client: Client, repository: str, artifact_type: str, config_type: str, layer_type: str
) -> None:
    layer = b"artifact " + repository.encode()
    for blob in (b"{}", layer):
        client.push_blob(repository, blob)
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(b"{}", config_type),
        "layers": [descriptor(layer, layer_type, annotations={"org.opencontainers.image.title": "file"})],
        **({"artifactType": artifact_type} if artifact_type else {}),
    }
    payload = json.dumps(document).encode()
    assert client.push_manifest(repository, "artifact", payload).status == 201
    assert client.get(f"/v2/{repository}/manifests/artifact").body == payload


def test_fields_that_nobody_knows_are_kept(client: Client, repository: str) -> None:
    image = make_image(**{"org.example.custom": {"a": [1, 2, {"b": None}]}})
    client.push_image(repository, "custom", image)
    assert client.get(f"/v2/{repository}/manifests/custom").body == image.payload


def test_manifest_without_layers(client: Client, repository: str) -> None:
    image = make_image(layers=0)
    client.push_image(repository, "none", image)
    assert client.get(f"/v2/{repository}/manifests/none").body == image.payload


def test_layers_from_elsewhere(client: Client, repository: str) -> None:
    """Non-distributable layers have urls, and need not be here."""
    image = make_image()
    for blob in image.blobs:
        client.push_blob(repository, blob)
    document = image.document
    for kind in ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",):
        elsewhere = digest_of(kind.encode())
        document["layers"].append(
            {
                "mediaType": kind,
                "digest": elsewhere,
                "size": 123456,
                "urls": [f"https://example.com/{elsewhere}"],
            }
        )
    payload = json.dumps(document).encode()
    assert client.push_manifest(repository, "foreign", payload).status == 201
    assert client.get(f"/v2/{repository}/manifests/foreign").body == payload


def test_data_field(client: Client, repository: str) -> None:
    import base64

    image = make_image()
    document = image.document
    document["config"]["data"] = base64.b64encode(image.config).decode()
    for blob in image.blobs:
        client.push_blob(repository, blob)
    assert client.push_manifest(repository, "data", json.dumps(document).encode()).status == 201


def test_subject(client: Client, repository: str) -> None:
    """The answer names the subject (OCI-Subject); it need not exist."""
    subject = make_image()
    artifact = make_image(subject=subject.descriptor, artifactType="application/vnd.example+json")
    for blob in artifact.blobs:
        client.push_blob(repository, blob)
    answer = client.push_manifest(repository, artifact.digest, artifact.payload)
    assert answer.status == 201
    assert answer.header("OCI-Subject") == subject.digest


@pytest.mark.parametrize(
    "name", ["UPPER", "a//b", "../etc", "a/./b", "-a", "a-", "a" * 256, "a..b", "a/b/", "ä", "%2e%2e/x"]
)
def test_repository_names_that_are_none(client: Client, name: str) -> None:
    from urllib.parse import quote

    answer = client.request("POST", f"/v2/{quote(name, safe='/%')}/blobs/uploads/", b"")
    assert answer.status in (400, 404)


def test_same_blob_twice(client: Client, repository: str) -> None:
    data = b"twice " + repository.encode()
    client.push_blob(repository, data)
    client.push_blob(repository, data)
    client.push_blob(f"{repository}/again", data)
    assert is_there(client, repository, data)
    assert is_there(client, f"{repository}/again", data)


def test_location_is_where_the_client_is(client: Client, repository: str) -> None:
    """A reverse proxy's X-Forwarded-*, else Host, decide."""
    path = f"/v2/{repository}/blobs/uploads/"
    answer = client.request("POST", path, b"", {"Host": "images.example:8443"})
    location = answer.header("Location")
    assert location.startswith(("http://images.example:8443/v2/", "/v2/"))
    answer = client.request(
        "POST",
        path,
        b"",
        {"Host": "10.0.0.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "hub.example"},
    )
    assert answer.header("Location").startswith(("https://hub.example/v2/", "/v2/"))


def test_interleaved_uploads(client: Client, repository: str) -> None:
    contents = [hashlib.sha256(str(n).encode()).digest() * 40 for n in range(5)]
    locations = [client.begin(repository) for _ in contents]
    for part in range(2):
        for n, data in enumerate(contents):
            half = data[part * 640 : part * 640 + 640]
            answer = client.request("PATCH", locations[n], half, OCTETS)
            locations[n] = answer.header("Location")
    for n, data in enumerate(contents):
        assert client.finish(locations[n], digest_of(data)).status == 201
        assert is_there(client, repository, data)


def test_layer_type_is_free(client: Client, repository: str) -> None:
    image = make_image()
    for blob in image.blobs:
        client.push_blob(repository, blob)
    document = image.document
    document["layers"][0]["mediaType"] = OCI_LAYER + "+unheard-of"
    assert client.push_manifest(repository, "free", json.dumps(document).encode()).status == 201
