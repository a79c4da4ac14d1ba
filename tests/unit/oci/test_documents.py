"""Digests, manifests, indexes and image configs: what is read, what is refused, what is written."""

import json

import pytest

from corten.errors import IntegrityError, InvalidArgument
from corten.oci import image_config, manifest
from corten.oci.digest import chain_ids, is_digest, parse_digest, sha256_of

ONE, TWO = "sha256:" + "1" * 64, "sha256:" + "2" * 64


def test_digests() -> None:
    assert sha256_of(b"") == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert is_digest("sha512:" + "0" * 128)
    for bad in ("sha256:abc", "md5:" + "0" * 32, "sha256:" + "A" * 64, "0" * 64, ""):
        with pytest.raises(InvalidArgument):
            parse_digest(bad)


def test_chain_ids_follow_the_specification() -> None:
    assert chain_ids([ONE]) == (ONE,)
    assert chain_ids([ONE, TWO])[1] == sha256_of(f"{ONE} {TWO}".encode())
    assert chain_ids([]) == ()


def test_a_manifest_in_dockers_media_type_is_read() -> None:
    document = {
        "schemaVersion": 2,
        "mediaType": manifest.DOCKER_MANIFEST,
        "config": {"mediaType": manifest.DOCKER_CONFIG, "size": 1, "digest": ONE},
        "layers": [{"mediaType": manifest.DOCKER_LAYER_GZIP, "size": 2, "digest": TWO}],
    }
    data = json.dumps(document).encode()
    assert manifest.media_type_of(data) == manifest.DOCKER_MANIFEST
    assert manifest.decode_manifest(data).layers[0].size == 2
    assert json.loads(manifest.encode(manifest.decode_manifest(data))) == document


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"schemaVersion":1,"config":{},"layers":[]}', b"\xff"])
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        manifest.decode_manifest(data)


def test_the_media_type_is_told_by_shape_where_the_field_is_missing() -> None:
    assert manifest.media_type_of(b'{"manifests":[]}') == manifest.OCI_INDEX
    assert manifest.media_type_of(b'{"layers":[]}') == manifest.OCI_MANIFEST


def test_a_config_with_gos_nulls_is_read() -> None:
    config = image_config.decode_config(
        b'{"architecture":"amd64","os":"linux","config":{"Env":null,"Cmd":["sh"],"Labels":null,"Volumes":null,'
        b'"Healthcheck":{"Test":["CMD","true"],"Interval":1000}},"rootfs":{"type":"layers","diff_ids":null},'
        b'"history":null,"created":"2024-01-02T03:04:05.123456789Z","container":"x"}'
    )
    assert config.run.cmd == ["sh"]
    assert config.run.healthcheck is not None and config.run.healthcheck.interval == 1000
    assert config.diff_ids == ()


def test_a_config_round_trips() -> None:
    config = image_config.ImageConfig(
        architecture="arm64",
        os="linux",
        config=image_config.ImageRunConfig(
            working_dir="/w", exposed_ports={"80/tcp": {}}, on_build=["RUN x"]
        ),
        rootfs=image_config.RootFS(diff_ids=(ONE,)),
    )
    data = json.loads(image_config.encode_config(config))
    assert data["config"] == {"WorkingDir": "/w", "ExposedPorts": {"80/tcp": {}}, "OnBuild": ["RUN x"]}
    assert data["rootfs"] == {"type": "layers", "diff_ids": [ONE]} or data["rootfs"] == {"diff_ids": [ONE]}
    assert image_config.decode_config(image_config.encode_config(config)) == config


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:01.5Z", 1_500_000_000),
        ("2024-01-02T03:04:05.123456789Z", 1704164645123456789),
        ("2024-01-02T05:04:05+02:00", 1704164645000000000),
        (None, 0),
        ("nonsense", 0),
    ],
)
def test_times(text: str | None, nanoseconds: int) -> None:
    assert image_config.parse_time(text) == nanoseconds
    if nanoseconds:
        assert image_config.parse_time(image_config.format_time(nanoseconds)) == nanoseconds
