"""Commands to copy: how each kind of thing is pulled from here."""

from __future__ import annotations

from typing import NamedTuple

from corten.registry.page import kinds
from corten.registry.page.visit import Visit


class Command(NamedTuple):
    """A program and the whole line."""

    program: str
    line: str


def pull_commands(visit: Visit, kind: str, *, tag: str = "", digest: str = "") -> list[Command]:
    """By tag or by digest; everything in them is of the grammar of names, and the host's was checked."""
    name = f"{visit.host}/{visit.address.repository}"
    reference = f"{name}@{digest}" if digest else f"{name}:{tag}"
    if kind == kinds.HELM:
        version = digest if digest else tag.replace("_", "+")
        plain = " --plain-http" if visit.scheme == "http" else ""
        chart = f"oci://{name}@{digest}" if digest else f"oci://{name} --version {version}"
        return [Command("helm", f"helm pull {chart}{plain}"), *_oras(visit, reference)]
    if kind in (kinds.IMAGE, kinds.INDEX, ""):
        insecure = " --tls-verify=false" if visit.scheme == "http" else ""
        return [
            Command("corten", f"corten pull {reference}"),
            Command("docker", f"docker pull {reference}"),
            Command("podman", f"podman pull{insecure} {reference}"),
        ]
    return _oras(visit, reference)


def _oras(visit: Visit, reference: str) -> list[Command]:
    plain = " --plain-http" if visit.scheme == "http" else ""
    return [Command("oras", f"oras pull{plain} {reference}")]
