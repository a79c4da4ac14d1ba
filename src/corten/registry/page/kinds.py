"""What manifests and their blobs are, by their media types: images, charts, signatures, …"""

from __future__ import annotations

from corten.oci.manifest import CONFIG_TYPES, INDEX_TYPES

IMAGE, INDEX, HELM, ARTIFACT = "image", "index", "helm", "artifact"
ATTESTATION, SIGNATURE, SBOM, WASM, MODEL, CACHE = (
    "attestation",
    "signature",
    "sbom",
    "wasm",
    "model",
    "cache",
)

NAMES = {
    IMAGE: "Image",
    INDEX: "Multi-platform image",
    HELM: "Helm chart",
    ATTESTATION: "Attestation",
    SIGNATURE: "Signature",
    SBOM: "Software bill of materials",
    WASM: "WebAssembly",
    MODEL: "Model",
    CACHE: "Build cache",
    "plugin": "Docker plugin",
    "policy": "Policy",
    "flux": "Flux manifests",
    "singularity": "Singularity image",
    ARTIFACT: "Artifact",
}
SHORT_NAMES = {**NAMES, INDEX: "Multi-platform", SBOM: "SBOM"}

# The beginning of an artifact's type, a config's, or a layer's: what it says of the whole. The first that
# fits counts.
_TYPES = (
    ("application/vnd.cncf.helm.", HELM),
    ("application/vnd.dev.cosign.artifact.sbom", SBOM),
    ("application/vnd.dev.cosign.", SIGNATURE),
    ("application/vnd.dev.sigstore.bundle", SIGNATURE),
    ("application/vnd.cncf.notary.signature", SIGNATURE),
    ("application/pgp-signature", SIGNATURE),
    ("application/spdx", SBOM),
    ("text/spdx", SBOM),
    ("application/vnd.cyclonedx", SBOM),
    ("application/vnd.syft", SBOM),
    ("application/sbom", SBOM),
    ("application/vnd.in-toto", ATTESTATION),
    ("application/vnd.dsse", ATTESTATION),
    ("application/vnd.wasm", WASM),
    ("application/wasm", WASM),
    ("application/vnd.module.wasm", WASM),
    ("application/vnd.cncf.model", MODEL),
    ("application/vnd.ollama", MODEL),
    ("application/vnd.docker.ai", MODEL),
    ("application/vnd.kitops", MODEL),
    ("application/vnd.buildkit.cacheconfig", CACHE),
    ("application/vnd.corten.build.cache", CACHE),
    ("application/vnd.docker.plugin", "plugin"),
    ("application/vnd.cncf.openpolicyagent", "policy"),
    ("application/vnd.cncf.kyverno", "policy"),
    ("application/vnd.cncf.flux", "flux"),
    ("application/vnd.sylabs.sif", "singularity"),
)

_SUFFIXES = {"sig": SIGNATURE, "att": ATTESTATION, "sbom": SBOM, "": ARTIFACT}


def kind_of(media_type: str, artifact_type: str = "", config: str = "", layers: tuple[str, ...] = ()) -> str:
    """A key of NAMES."""
    if media_type in INDEX_TYPES and not artifact_type:
        return INDEX
    # Signatures and attestations come with the config of an image and tell by their layers what they are.
    for text in (artifact_type, config, *layers[:8]):
        for beginning, kind in _TYPES:
            if text.startswith(beginning):
                return kind
    if media_type in INDEX_TYPES:
        return INDEX
    if config in CONFIG_TYPES and (not artifact_type or artifact_type in CONFIG_TYPES):
        return IMAGE
    return ARTIFACT


def of_type(artifact_type: str) -> str:
    """A kind by an artifact's type alone, for lists of referrers."""
    return kind_of("", artifact_type, artifact_type)


def legacy_tags(digest: str) -> dict[str, str]:
    """The tags by which tools attach something to a manifest, each with its kind."""
    name = digest.replace(":", "-")
    return {f"{name}.{suffix}": kind for suffix, kind in _SUFFIXES.items() if suffix}


def legacy_referrer(tag: str) -> tuple[str, str] | None:
    """(kind, the subject's digest) of a tag such as `sha256-<hex>.sig`, by which tools that know no
    referrers attach something; None for any other tag."""
    algorithm, _, rest = tag.partition("-")
    digits, _, suffix = rest.partition(".")
    wanted = {"sha256": 64, "sha512": 128}.get(algorithm)
    if len(digits) != wanted or any(c not in "0123456789abcdef" for c in digits):
        return None
    kind = _SUFFIXES.get(suffix)
    return (kind, f"{algorithm}:{digits}") if kind is not None else None
