from __future__ import annotations

import pytest

from corten.oci.manifest import (
    DOCKER_CONFIG,
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
)
from corten.registry.page import kinds

EMPTY = "application/vnd.oci.empty.v1+json"


@pytest.mark.parametrize(
    ("artifact_type", "config", "layer", "kind"),
    [
        ("", OCI_CONFIG, "application/vnd.oci.image.layer.v1.tar+gzip", "image"),
        ("", DOCKER_CONFIG, "application/vnd.docker.image.rootfs.diff.tar.gzip", "image"),
        (
            "",
            "application/vnd.cncf.helm.config.v1+json",
            "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
            "helm",
        ),
        ("", OCI_CONFIG, "application/vnd.dev.cosign.simplesigning.v1+json", "signature"),
        (
            "application/vnd.dev.sigstore.bundle.v0.3+json",
            EMPTY,
            "application/vnd.dev.sigstore.bundle.v0.3+json",
            "signature",
        ),
        ("application/vnd.cncf.notary.signature", EMPTY, "application/jose+json", "signature"),
        ("application/spdx+json", EMPTY, "application/spdx+json", "sbom"),
        ("application/vnd.cyclonedx+json", EMPTY, "application/vnd.cyclonedx+json", "sbom"),
        ("", OCI_CONFIG, "application/vnd.in-toto+json", "attestation"),
        ("", "application/vnd.wasm.config.v0+json", "application/wasm", "wasm"),
        ("application/vnd.cncf.model.manifest.v1+json", EMPTY, "x/y", "model"),
        ("", "application/vnd.buildkit.cacheconfig.v0", "x/y", "cache"),
        ("application/vnd.example", EMPTY, "text/plain", "artifact"),
        ("", "application/vnd.unknown.config.v1+json", "text/plain", "artifact"),
    ],
)
def test_manifests(artifact_type: str, config: str, layer: str, kind: str) -> None:
    assert kinds.kind_of(OCI_MANIFEST, artifact_type, config, (layer,)) == kind
    assert kind in kinds.NAMES


def test_indexes() -> None:
    assert kinds.kind_of(OCI_INDEX) == kinds.kind_of(DOCKER_INDEX) == "index"
    assert kinds.kind_of(OCI_INDEX, "application/vnd.example") == "index"
    assert kinds.kind_of(DOCKER_MANIFEST, "", DOCKER_CONFIG) == "image"


def test_attachments_by_the_name_of_a_tag() -> None:
    digest = "sha256:" + "0f" * 32
    for tag, kind in kinds.legacy_tags(digest).items():
        assert kinds.legacy_referrer(tag) == (kind, digest)
    assert kinds.legacy_referrer(digest.replace(":", "-")) == ("artifact", digest)
    for tag in ("latest", "sha256-abc.sig", "sha256-" + "0F" * 32, digest.replace(":", "-") + ".exe"):
        assert kinds.legacy_referrer(tag) is None
