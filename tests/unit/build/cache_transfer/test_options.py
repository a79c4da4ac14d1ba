"""--cache-from and --cache-to: what they mean, and what they refuse."""

import pytest

from corten.api.build import Attributes
from corten.build.cache_transfer.options import (
    CacheExport,
    CacheImport,
    InlineCache,
    LocalCache,
    RegistryCache,
    parse_exports,
    parse_imports,
)
from corten.errors import CortenError
from corten.image.compression import Compression
from corten.oci.reference import Reference
from tests.unit.build.cache_transfer.machine import cache


def test_imports() -> None:
    digest = "sha256:" + "0" * 64
    assert parse_imports(
        [
            cache("registry", ref="app:cache"),
            cache("local", src="/cache", tag="x"),
            cache("local", src="/cache", digest=digest, mounts="false"),
        ]
    ) == (
        CacheImport(RegistryCache(Reference.parse("app:cache"))),
        CacheImport(LocalCache("/cache", "x")),
        CacheImport(LocalCache("/cache", "latest", digest), mounts=False),
    )


def test_exports() -> None:
    assert parse_exports(
        [
            cache("inline"),
            cache("local", dest="/cache", mode="max", compression="zstd", compression_level="5"),
            Attributes(
                "registry",
                {"ref": "r.example/x", "mounts": "", "ignore-error": "true", "registry.insecure": "true"},
            ),
        ]
    ) == (
        CacheExport(place=InlineCache()),
        CacheExport(place=LocalCache("/cache"), mode="max", compression=Compression("zstd", 5)),
        CacheExport(
            place=RegistryCache(Reference.parse("r.example/x"), insecure=True), mounts=True, ignore_error=True
        ),
    )


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (cache("disk"), "unknown type 'disk'"),
        (cache("registry"), "needs a reference"),
        (cache("registry", ref="x@sha256:" + "0" * 64), "cannot export to a digest"),
        (cache("registry", ref="X"), "must be lowercase"),
        (cache("local", dest="cache"), "needs a directory"),
        (cache("local", dest="/x", tag="a b"), "invalid tag"),
        (cache("local", dest="/x", mode="all"), "unknown mode 'all'"),
        (cache("local", dest="/x", oci_mediatypes="false"), "oci-mediatypes=false is not built"),
        (cache("local", dest="/x", src="/y"), "unknown attribute 'src'"),
        (cache("inline", mode="max"), "use type=registry for mode=max"),
        (cache("local", dest="/x", mounts="perhaps"), "invalid value 'perhaps' of mounts"),
    ],
)
def test_refused(wrong: Attributes, said: str) -> None:
    with pytest.raises(CortenError, match=said):
        parse_exports([wrong])


def test_imports_refused() -> None:
    for wrong, said in (
        (cache("inline"), "unknown type 'inline'"),
        (cache("s3"), "needs bucket=…, or the variable AWS_BUCKET"),
        (cache("local", src="/x", digest="x"), "is no digest"),
        (cache("registry", ref="x", mode="max"), "unknown attribute 'mode'"),
    ):
        with pytest.raises(CortenError, match=said):
            parse_imports([wrong])
