"""The configuration's sections about the edge: [tls], [limits.rate], [audit] and [metrics]."""

from __future__ import annotations

import ipaddress
import re
from typing import Literal, NamedTuple

import msgspec

from corten.errors import InvalidArgument

_RATE = re.compile(r"([1-9][0-9]{0,8})/(second|minute|hour|day)")
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Tls(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """PEM files. Without a certificate the registry speaks plain HTTP."""

    certificate: str = ""
    """The server's certificate, then those between it and its root."""
    key: str = ""
    client_ca: str = ""
    """Authorities whose client certificates are taken (mTLS); their common name is a user's name."""
    client_certificate: Literal["required", "optional"] = "required"
    """Whether a client without a certificate is let in, to show a password or a token instead."""
    watch_seconds: float = 2
    """How often the files are looked at for a renewed certificate."""
    handshake_seconds: float = 20

    @property
    def on(self) -> bool:
        return bool(self.certificate)

    @property
    def requires_certificates(self) -> bool:
        """Whether nobody is let in without a client certificate."""
        return self.on and bool(self.client_ca) and self.client_certificate == "required"

    @property
    def files(self) -> tuple[str, ...]:
        return tuple(path for path in (self.certificate, self.key, self.client_ca) if path)


class Rates(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """How much one identity (or, for those without one, one address) may ask for: `100/minute`; "" is no
    limit."""

    pulls: str = ""
    """Manifests that are read (GET, not HEAD)."""
    pushes: str = ""
    """Manifests that are written, and uploads that are begun."""
    sign_ins: str = ""
    """Sign-ins that were refused, by address: then every sign-in from there waits."""


class Rate(NamedTuple):
    """So many at once, and as many again in so many seconds."""

    requests: int
    seconds: int


class AuditLogging(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """The audit log."""

    enabled: bool = True
    path: str = ""
    """"": audit/audit.log below the root; "-": standard error."""
    rotate_bytes: int = 64 << 20
    keep: int = 20
    """How many files that are full are kept; 0: all of them."""
    when_unwritable: Literal["refuse-changes", "go-on"] = "refuse-changes"


class MetricsServing(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """Prometheus metrics."""

    enabled: bool = True
    listen: str = ""
    """An address of its own, in plain HTTP, for whoever reaches it; "": /metrics beside everything else,
    for this machine and for administrators."""
    repositories: bool = False
    """A size for each repository, too: as many series as repositories."""
    storage_seconds: float = 30
    """How long the numbers that are counted in the database are used again."""


def parse_rate(text: str, name: str = "rate") -> Rate | None:
    """`100/minute`; None for "". InvalidArgument."""
    if not text:
        return None
    match = _RATE.fullmatch(text)
    if match is None:
        raise InvalidArgument(
            f"invalid {name} {text!r}: expected a number of requests in a time, such as 100/minute"
            " (second, minute, hour, day)"
        )
    return Rate(int(match[1]), _SECONDS[match[2]])


def parse_networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    """Addresses and networks (192.0.2.0/24). InvalidArgument."""
    found: list[Network] = []
    for text in texts:
        try:
            found.append(ipaddress.ip_network(text, strict=False))
        except ValueError as error:
            raise InvalidArgument(
                f"invalid trusted proxy {text!r}: expected an address or a network, such as 10.0.0.0/8"
            ) from error
    return tuple(found)


def check_tls(tls: Tls) -> None:
    """InvalidArgument when its parts do not go together."""
    if bool(tls.certificate) != bool(tls.key):
        missing, given = ("--tls-key", "--tls-cert") if tls.certificate else ("--tls-cert", "--tls-key")
        raise InvalidArgument(f"{given} needs {missing} as well: a certificate and its private key")
    if tls.client_ca and not tls.certificate:
        raise InvalidArgument(
            "--tls-client-ca needs --tls-cert and --tls-key: clients show certificates in TLS"
        )
    if tls.watch_seconds <= 0 or tls.handshake_seconds <= 0:
        raise InvalidArgument("invalid [tls]: watch-seconds and handshake-seconds must be more than 0")


def check_rates(rates: Rates) -> None:
    """InvalidArgument for what is no rate."""
    for name in ("pulls", "pushes", "sign_ins"):
        parse_rate(getattr(rates, name), f"rate of {name.replace('_', '-')}")


def check_audit(audit: AuditLogging) -> None:
    """InvalidArgument for limits that are none."""
    if audit.rotate_bytes < 4096:
        raise InvalidArgument(f"invalid audit rotate-bytes {audit.rotate_bytes}: it must be at least 4096")
    if audit.keep < 0:
        raise InvalidArgument("invalid audit keep: it must not be negative (0 keeps every file)")
