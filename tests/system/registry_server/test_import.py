"""The storage directory of Docker's registry comes into ours: written by the real one, and by hand where it
has to be damaged."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker_registry import Directory, DockerRegistry, docker_registry
from tests.registry_server import (
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
    Client,
    Image,
    ServerProcess,
    descriptor,
    digest_of,
    index_of,
    make_image,
)
from tests.registry_stores import PostgresServer, S3Server

GRACE = {"collection": {"interval-seconds": 0.2, "grace-seconds": 2}}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    server = ServerProcess(tmp_path, **GRACE).start()
    yield server
    server.close()


@pytest.fixture
def directory(tmp_path: Path) -> Directory:
    return Directory(tmp_path / "old")


def take(server: ServerProcess, path: Path, code: int = 0) -> str:
    done = server.run("import", path=str(path))
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def is_whole(server: ServerProcess) -> None:
    found = server.run("check", read_blobs=True, grace=0)
    assert found.returncode == 0, found.stdout


def same(old: Client, new: Client, path: str, status: int = 200) -> bytes:
    """Both answer alike."""
    answers = [client.get(path) for client in (old, new)]
    assert [answer.status for answer in answers] == [status, status], path
    if status == 200:
        assert answers[0].body == answers[1].body
        for name in ("Content-Type", "Docker-Content-Digest"):
            assert answers[0].header(name) == answers[1].header(name), path
    return answers[0].body


@pytest.mark.parametrize("version", [2, 3])
def test_what_dockers_registry_has_written(server: ServerProcess, tmp_path: Path, version: int) -> None:
    program = docker_registry(version)
    old = DockerRegistry(tmp_path, program)
    try:
        one, two, moved = make_image(layers=2, size=70_000), make_image(), make_image()
        client, new = old.client, server.client()
        client.push_image("app", "one", one)
        client.push_image("app", "moved", moved)
        client.push_image("app", "moved", two)
        client.push_image("deep/er/name", "one", one)
        client.push_manifest("app", "multi", index_of(one, two), OCI_INDEX)
        signature = make_image(subject=one.descriptor, artifactType="application/vnd.example.signature")
        client.push_image("app", one.digest.replace(":", "-") + ".sig", signature)
        gone = make_image()
        client.push_image("app", "gone", gone)
        assert client.delete(f"/v2/app/manifests/{gone.digest}").status == 202
        old_types = {**two.document, "mediaType": DOCKER_MANIFEST}
        docker = json.dumps(old_types).encode()
        assert client.push_manifest("app", "docker", docker, DOCKER_MANIFEST).status == 201
        layer = b"named by sha512" * 100
        assert client.finish(client.begin("app"), digest_of(layer, "sha512"), layer).status == 201
        strong = {**one.document, "layers": [{**descriptor(layer, OCI_LAYER)}]}
        strong["layers"][0]["digest"] = digest_of(layer, "sha512")
        assert client.push_manifest("app", "strong", json.dumps(strong).encode()).status == 201

        said = take(server, old.root)  # while both serve
        assert "copied" not in said and "linked to the same files" in said

        tags = ["docker", "moved", "multi", "one", one.digest.replace(":", "-") + ".sig", "strong"]
        assert new.get("/v2/app/tags/list").json()["tags"] == sorted(tags)
        for tag in tags:
            payload = same(client, new, f"/v2/app/manifests/{tag}")
            same(client, new, f"/v2/app/manifests/{digest_of(payload)}")
        same(client, new, f"/v2/app/manifests/{moved.digest}")
        same(client, new, f"/v2/app/manifests/{gone.digest}", 404)
        same(client, new, "/v2/deep/er/name/manifests/one")
        for blob in (*one.blobs, *two.blobs, *moved.blobs, *signature.blobs):
            same(client, new, f"/v2/app/blobs/{digest_of(blob)}")
        assert new.get(f"/v2/app/blobs/{digest_of(layer, 'sha512')}").body == layer
        (referrer,) = new.get(f"/v2/app/referrers/{one.digest}").json()["manifests"]
        assert referrer["digest"] == signature.digest
        assert referrer["artifactType"] == "application/vnd.example.signature"
        is_whole(server)
        # No byte was copied, and none has to be changed by the other to be safe.
        (blob,) = Path(server.settings["root"]).glob(f"blobs/sha256/*/{digest_of(one.layers[0])[7:]}.*")
        assert blob.samefile(Directory(old.root).data(digest_of(one.layers[0])))

        assert "nothing new" in take(server, old.root / "docker")
        client.push_image("app", "later", make_image())
        client.push_image("app", "moved", one)
        new.push_image("app", "one", two)  # by now the new one is what is pushed to
        said = take(server, old.root / "docker/registry/v2")
        assert "1 manifests" in said and "2 tags" in said and "2 blobs" in said
        assert "app:one: was moved here since, and stays as it is" in said
        assert new.get("/v2/app/manifests/one").body == two.payload
        same(client, new, "/v2/app/manifests/moved")
    finally:
        old.close()
    shutil.rmtree(old.root)
    assert new.get(f"/v2/app/blobs/{digest_of(one.layers[0])}").body == one.layers[0]
    is_whole(server)


def test_what_skopeo_has_pushed(server: ServerProcess, tmp_path: Path) -> None:
    """And skopeo pulls it from ours."""
    if shutil.which("skopeo") is None:
        pytest.skip("needs skopeo")
    old = DockerRegistry(tmp_path, docker_registry(2))
    try:
        client = Client(old.url)
        image = make_image(layers=3, size=200_000)
        client.push_image("seed", "1", image)
        for name in ("a:1", "b/c:2"):
            subprocess.run(
                ["skopeo", "copy", "--quiet", "--src-tls-verify=false", "--dest-tls-verify=false"]
                + ["--format=v2s2", f"docker://{old.host}/seed:1", f"docker://{old.host}/{name}"],
                check=True,
            )
        client.close()
    finally:
        old.close()
    assert "3 repositories" in take(server, old.root)
    for name in ("seed:1", "a:1", "b/c:2"):
        subprocess.run(
            ["skopeo", "copy", "--quiet", "--src-tls-verify=false", f"docker://{server.host}/{name}"]
            + [f"dir:{tmp_path}/{name.replace('/', '-')}"],
            check=True,
        )


def test_damage_is_named_and_left_out(server: ServerProcess, directory: Directory) -> None:
    good, lost, spoilt, short = (make_image(layers=2) for _ in range(4))
    for tag, image in (("good", good), ("lost", lost), ("spoilt", spoilt), ("short", short)):
        directory.image("app", image, tag)
    directory.data(digest_of(lost.layers[1])).unlink()
    directory.data(digest_of(spoilt.config)).write_bytes(b"x" * len(spoilt.config))
    directory.data(digest_of(short.layers[0])).write_bytes(short.layers[0][:-1])
    # Manifests: one whose bytes are others, one whose bytes are gone, one that is none, one of another time.
    changed = directory.manifest("app", make_image().payload, "changed")
    directory.data(changed).write_bytes(b"{}")
    missing = directory.manifest("app", make_image().payload, "missing")
    directory.data(missing).unlink()
    text = directory.manifest("app", b"no manifest", "text")
    ancient = directory.manifest("app", b'{"schemaVersion": 1, "name": "app"}', "ancient")
    # Indexes: of one that is there and one that is not, and of nothing that is there.
    partly = directory.manifest("app", index_of(good, make_image("never")), "partly")
    nothing = directory.manifest("app", index_of(make_image("nowhere")), "nothing")
    wrong_size = {**good.document, "layers": [{**good.document["layers"][0], "size": 5}]}
    liar = directory.manifest("app", json.dumps(wrong_size).encode(), "liar")
    directory.tag("app", "stray", digest_of(b"never here"))
    directory.tag("app", "text-tag", "../../../../../etc/passwd")
    directory.tag("app", ".invalid", good.digest)
    directory.manifest("Capital", good.payload, "x")
    outside = directory.root / "outside"
    outside.write_bytes(b"secret")
    trap = {**good.document, "layers": [descriptor(b"secret", OCI_LAYER)]}
    trapped = directory.manifest("app", json.dumps(trap).encode(), "trap")
    link = directory.data(digest_of(b"secret"))
    link.parent.mkdir(parents=True)
    link.symlink_to(outside)
    # What a collection of Docker's registry leaves: links to what is gone, which nothing needs.
    directory.layer("app", digest_of(b"collected"))

    said = take(server, directory.root, 1)
    for words in (
        f"app@{lost.digest}: needs {digest_of(lost.layers[1])}, which is missing",
        f"app@{spoilt.digest}: needs {digest_of(spoilt.config)}, which is damaged: its digest is",
        f"app@{short.digest}: needs {digest_of(short.layers[0])}, which is damaged: its digest is",
        f"app@{changed}: the manifest's digest is",
        f"app@{missing}: the manifest's bytes are missing",
        f"app@{text}: invalid manifest",
        f"app@{ancient}: invalid manifest: its schema version is 1",
        f"app@{partly}: taken without {make_image('never').digest}",
        f"app@{nothing}: nothing of what the index lists is there",
        f"app@{liar}: needs {digest_of(good.layers[0])}, which has 100 bytes, and the manifest says 5",
        f"app@{trapped}: needs {digest_of(b'secret')}, which is missing",
        "app:lost: its manifest",
        "app:stray: its manifest",
        "app:text-tag: the tag is damaged",
        "app:.invalid: the tag is damaged",
        "Capital: cannot be read, or is no name for a repository",
    ):
        assert words in said, said
    client = server.client()
    assert client.get("/v2/app/tags/list").json()["tags"] == ["good", "partly"]
    assert client.get("/v2/app/manifests/partly").body == index_of(good, make_image("never"))
    for blob in good.blobs:
        assert client.get(f"/v2/app/blobs/{digest_of(blob)}").body == blob
    assert client.get(f"/v2/app/blobs/{digest_of(b'secret')}").status == 404
    assert digest_of(b"collected") not in said
    # What was damaged has come again.
    for image in (lost, spoilt, short):
        for blob in image.blobs:
            directory.blob(blob)
    said = take(server, directory.root, 1)
    assert "3 manifests" in said and "3 tags" in said
    time.sleep(2.5)  # the grace: what was taken for images that then could not be is collected
    is_whole(server)


def test_an_index_that_lists_blobs(server: ServerProcess, directory: Directory) -> None:
    """As BuildKit's caches do."""
    layer, config = b"cached layer", b'{"layers": []}'
    listed = [
        descriptor(layer, "application/vnd.oci.image.layer.v1.tar+gzip"),
        descriptor(config, "application/vnd.buildkit.cacheconfig.v0"),
    ]
    payload = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed}).encode()
    for data in (layer, config):
        directory.layer("cache", directory.blob(data))
    directory.manifest("cache", payload, "latest")
    take(server, directory.root)
    client = server.client()
    assert client.get("/v2/cache/manifests/latest").body == payload
    for data in (layer, config):
        assert client.get(f"/v2/cache/blobs/{digest_of(data)}").body == data
        assert client.delete(f"/v2/cache/blobs/{digest_of(data)}").status == 405
    is_whole(server)


def fill(directory: Directory, count: int) -> list[Image]:
    images = [make_image(f"{number}", layers=2, size=300_000) for number in range(count)]
    for number, image in enumerate(images):
        directory.image(f"app/{number % 3}", image, f"t{number}")
    return images


def test_killed_at_any_moment(server: ServerProcess, directory: Directory) -> None:
    """However often: nothing is half there, nothing is left for good, and it goes on where it was."""
    images = fill(directory, 60)
    chance = random.Random(5)
    killed = 0
    for _ in range(30):
        process = subprocess.Popen(
            server.command("import", path=str(directory.root)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            process.communicate(timeout=chance.uniform(0.1, 0.8))
        except subprocess.TimeoutExpired:
            process.kill()
            killed += 1
        process.communicate()
        if process.returncode == 0:
            break
        is_whole(server)
    take(server, directory.root)
    assert killed
    client = server.client()
    for number, image in enumerate(images):
        assert client.get(f"/v2/app/{number % 3}/manifests/t{number}").body == image.payload
        for blob in image.blobs:
            assert client.get(f"/v2/app/{number % 3}/blobs/{digest_of(blob)}").body == blob
    assert "nothing new" in take(server, directory.root)


@pytest.mark.root
def test_from_another_file_system(server: ServerProcess, short_tmp: Path) -> None:
    mounted = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(short_tmp)], capture_output=True)
    if mounted.returncode:
        pytest.skip("needs the right to mount a file system")
    try:
        (image,) = fill(Directory(short_tmp), 1)
        assert "3 copied" in take(server, short_tmp)
    finally:
        subprocess.run(["umount", "-l", str(short_tmp)], check=True)
    client = server.client()
    for blob in image.blobs:
        assert client.get(f"/v2/app/0/blobs/{digest_of(blob)}").body == blob
    is_whole(server)


def test_into_postgresql_and_s3(
    postgres: PostgresServer, s3: S3Server, directory: Directory, tmp_path: Path
) -> None:
    server = ServerProcess(
        tmp_path,
        database=postgres.new_database(),
        storage=s3.url(),
        storage_options=s3.options,
        redirect=False,
        **GRACE,
    ).start()
    try:
        images = fill(directory, 3)
        assert "9 copied" in take(server, directory.root)
        assert "nothing new" in take(server, directory.root)
        client = server.client()
        for number, image in enumerate(images):
            for blob in image.blobs:
                answer = client.get(f"/v2/app/{number}/blobs/{digest_of(blob)}")
                assert answer.body == blob, answer.body
        is_whole(server)
    finally:
        server.close()


def test_a_full_disk(directory: Directory, tmp_path: Path) -> None:
    """It is told in one sentence, and goes on when there is room."""
    if os.geteuid():
        pytest.skip("needs the right to mount a small file system")
    images = fill(directory, 30)
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(small)], check=True)
    try:
        server = ServerProcess(tmp_path, storage=f"file://{small}", **GRACE)
        done = server.run("import", path=str(directory.root))
        assert done.returncode == 1
        assert "no space left" in done.stderr and "Traceback" not in done.stderr
        subprocess.run(["mount", "-o", "remount,size=64m", str(small)], check=True)
        take(server, directory.root)
        server.start()
        client = server.client()
        for number, image in enumerate(images):
            assert client.get(f"/v2/app/{number % 3}/manifests/t{number}").body == image.payload
        is_whole(server)
        server.close()
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


@pytest.mark.parametrize(
    ("path", "words"),
    [("absent", "there is no directory"), ("", "is not the storage of Docker's registry")],
)
def test_mistakes_are_one_sentence(tmp_path: Path, path: str, words: str) -> None:
    server = ServerProcess(tmp_path)
    done = server.run("import", path=str(tmp_path / path))
    assert done.returncode != 0
    assert words in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "registry/registry.db").exists()


def test_times_are_those_of_the_directory(server: ServerProcess, directory: Directory) -> None:
    """A tag that was moved in the old registry later than in this one moves here as well."""
    first, second = make_image(), make_image()
    directory.image("app", first, "t")
    link = next(directory.root.rglob("current/link"))
    os.utime(link, (1_000_000_000, 1_000_000_000))
    take(server, directory.root)
    directory.image("app", second, "t")
    os.utime(link, (1_100_000_000, 1_100_000_000))
    assert "1 tags" in take(server, directory.root)
    client = server.client()
    assert client.get("/v2/app/manifests/t").body == second.payload
    assert client.get("/v2/app/manifests/t").header("Content-Type") == OCI_MANIFEST
    assert OCI_CONFIG in second.payload.decode()
