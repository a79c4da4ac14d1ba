"""The text of /etc/hosts, /etc/resolv.conf and /etc/hostname of a container: what Docker writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def hosts_file(
    *,
    hostname: str,
    domainname: str = "",
    address: str = "",
    extra_hosts: Sequence[str] = (),
    gateway: str = "",
    names: Sequence[str] = (),
) -> str:
    """/etc/hosts. `extra_hosts` are Docker's ``name:ip`` / ``name=ip`` with ``host-gateway`` for `gateway`."""
    raise NotImplementedError


def resolv_conf(
    *,
    dns: Sequence[str] = (),
    search: Sequence[str] = (),
    options: Sequence[str] = (),
    host_network: bool = False,
    host_text: str | None = None,
) -> str:
    """/etc/resolv.conf, from the host's (`host_text`, read if None) and --dns, --dns-search, --dns-option."""
    raise NotImplementedError


def hostname_file(hostname: str) -> str:
    """/etc/hostname."""
    return hostname + "\n"


def host_resolv_conf() -> Path:
    """The host's resolv.conf to start from: systemd-resolved's real one where the usual one names only 127.0.0.53."""
    raise NotImplementedError
