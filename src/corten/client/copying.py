"""Copies between registries, archives and layouts, in this process: no engine and no store takes part."""

from __future__ import annotations

import asyncio

from corten.client.results import Progress
from corten.errors import InvalidArgument
from corten.image.copy.copier import CopyOptions
from corten.image.copy.location import Location
from corten.image.copy.opening import Side, copy_image
from corten.image.model import Progress as Step
from corten.image.registry.credentials import Basic
from corten.oci.platform import Platform

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


async def copy_async(
    source: str,
    destination: str,
    *,
    multi_arch: str = "system",
    platform: str = "",
    preserve_digests: bool = False,
    source_tls_verify: bool = True,
    destination_tls_verify: bool = True,
    source_credentials: str = "",
    destination_credentials: str = "",
    report: Callable[[Progress], None] | None = None,
) -> str:
    """Copies an image; returns the digest it has at the destination.

    Locations are skopeo's: docker://NAME, docker-archive:PATH[:NAME], oci:PATH[:TAG], oci-archive:PATH[:TAG],
    dir:PATH. `multi_arch`: "system" (this host's image, or that of `platform`), "all", "index-only".
    Credentials are those of `login`, or NAME:PASSWORD.
    """

    def tell(step: Step) -> None:
        if report is not None:
            report(Progress(text=step.status, id=step.id, current=step.current, total=step.total))

    return await copy_image(
        Location.parse(source),
        Location.parse(destination),
        CopyOptions(multi_arch, Platform.parse(platform) if platform else None, preserve_digests),
        source_side=Side(source_tls_verify, _credential(source_credentials)),
        destination_side=Side(destination_tls_verify, _credential(destination_credentials)),
        report=tell,
    )


def copy(
    source: str,
    destination: str,
    *,
    multi_arch: str = "system",
    platform: str = "",
    preserve_digests: bool = False,
    source_tls_verify: bool = True,
    destination_tls_verify: bool = True,
    source_credentials: str = "",
    destination_credentials: str = "",
    report: Callable[[Progress], None] | None = None,
) -> str:
    """The blocking form of `copy_async`."""
    return asyncio.run(
        copy_async(
            source,
            destination,
            multi_arch=multi_arch,
            platform=platform,
            preserve_digests=preserve_digests,
            source_tls_verify=source_tls_verify,
            destination_tls_verify=destination_tls_verify,
            source_credentials=source_credentials,
            destination_credentials=destination_credentials,
            report=report,
        )
    )


def _credential(text: str) -> Basic | None:
    if not text:
        return None
    username, colon, password = text.partition(":")
    if not colon or not username:
        raise InvalidArgument("credentials are NAME:PASSWORD")
    return Basic(username, password)
