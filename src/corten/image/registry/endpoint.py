"""One server that answers for a registry: itself or a mirror."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`host` names it for credentials, certs.d and messages; `base` is the URL before `/v2/`. `insecure`: any
    certificate will do; `fallback`: where nobody speaks TLS, plain http will do as well."""

    host: str
    base: str
    insecure: bool = False
    fallback: bool = False
    mirror: bool = False
