"""The text of /etc/hosts, /etc/resolv.conf and /etc/hostname of a container: what Docker writes."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from pathlib import Path

from corten.errors import InvalidArgument

HOST_GATEWAY = "host-gateway"
_USUAL = Path("/etc/resolv.conf")
_SYSTEMD = Path("/run/systemd/resolve/resolv.conf")
_PUBLIC_RESOLVERS = ("8.8.8.8", "8.8.4.4")  # Docker's, for a host that has none to offer
_LOCALHOST = (
    "127.0.0.1\tlocalhost\n"
    "::1\tlocalhost ip6-localhost ip6-loopback\n"
    "fe00::\tip6-localnet\n"
    "ff00::\tip6-mcastprefix\n"
    "ff02::1\tip6-allnodes\n"
    "ff02::2\tip6-allrouters\n"
)


def hosts_file(
    *,
    hostname: str,
    domainname: str = "",
    address: str = "",
    extra_hosts: Sequence[str] = (),
    gateway: str = "",
    names: Sequence[str] = (),
) -> str:
    """/etc/hosts. `extra_hosts` are Docker's ``name:ip`` / ``name=ip`` with ``host-gateway`` for `gateway`.

    `address` is the container's own ("" with network none: no line for it); `names` are further names of it.
    """
    lines = [_LOCALHOST]
    for entry in extra_hosts:
        name, value = parse_extra_host(entry)
        if value == HOST_GATEWAY:
            if not gateway:
                raise InvalidArgument(
                    f"unable to derive the IP value for host-gateway in {entry!r}: the container has no"
                    " network"
                )
            value = gateway
        lines.append(f"{value}\t{name}\n")
    if address:
        full = f"{hostname}.{domainname} {hostname}" if domainname else hostname
        lines.append(f"{address}\t{' '.join((full, *names))}\n")
    return "".join(lines)


def parse_extra_host(entry: str) -> tuple[str, str]:
    """``name:ip``, ``name=ip``, ``name:[::1]``, ``name:host-gateway`` as (name, address); raises
    InvalidArgument.
    """
    separator = "=" if "=" in entry else ":"
    name, _, value = entry.partition(separator)
    value = value.removeprefix("[").removesuffix("]")
    if not name or not value or any(character.isspace() for character in entry):
        raise InvalidArgument(f"bad format for add-host: {entry!r}: write name:address")
    if value != HOST_GATEWAY:
        try:
            ipaddress.ip_address(value)
        except ValueError:
            raise InvalidArgument(f"invalid IP address in add-host: {value!r}") from None
    return name, value


def resolv_conf(
    *,
    dns: Sequence[str] = (),
    search: Sequence[str] = (),
    options: Sequence[str] = (),
    host_network: bool = False,
    host_text: str | None = None,
    forwarder: str = "",
) -> str:
    """/etc/resolv.conf, from the host's (`host_text`, read if None) and --dns, --dns-search, --dns-option.

    A resolver on the host's loopback cannot be reached from another network namespace: it is left out, and
    `forwarder` (pasta's address for it), or else Docker's public ones, take the place when none is left.
    ``--dns-search .`` means no search list.
    """
    if host_text is None:
        host_text = _read(_USUAL if host_network else host_resolv_conf())
    if host_network and not (dns or search or options):
        return host_text
    given_servers, given_search, given_options = parse_resolv_conf(host_text)
    servers = [_server(address) for address in dns]
    if not servers:
        servers = given_servers if host_network else [s for s in given_servers if not _is_loopback(s)]
        if not servers:
            servers = [forwarder] if forwarder else list(_PUBLIC_RESOLVERS)
    domains = [domain for domain in search if domain != "."] if search else given_search
    settings = list(options) or given_options
    lines = [f"nameserver {server}\n" for server in servers]
    if domains:
        lines.append(f"search {' '.join(domains)}\n")
    if settings:
        lines.append(f"options {' '.join(settings)}\n")
    return "".join(lines)


def parse_resolv_conf(text: str) -> tuple[list[str], list[str], list[str]]:
    """(name servers, search list, options) of a resolv.conf(5); the last search or domain line counts."""
    servers: list[str] = []
    search: list[str] = []
    options: list[str] = []
    for line in text.splitlines():
        words = line.split("#", 1)[0].split(";", 1)[0].split()
        if len(words) < 2:
            continue
        match words[0]:
            case "nameserver":
                servers.append(words[1])
            case "search" | "domain":
                search = [word for word in words[1:] if word != "."]
            case "options":
                options.extend(words[1:])
    return servers, search, options


def hostname_file(hostname: str) -> str:
    """/etc/hostname."""
    return hostname + "\n"


def host_resolv_conf(usual: Path = _USUAL, systemd: Path = _SYSTEMD) -> Path:
    """The host's resolv.conf to start from: systemd-resolved's real one where the usual one names only
    127.0.0.53.
    """
    servers = parse_resolv_conf(_read(usual))[0]
    if servers and all(server.startswith("127.0.0.5") for server in servers) and systemd.exists():
        return systemd
    return usual


def host_mark() -> tuple[object, ...]:
    """Changes when what `resolv_conf` reads has changed."""
    marks: list[object] = []
    for path in (_USUAL, _SYSTEMD):
        try:
            found = os.stat(path)
        except OSError:
            marks.append(None)
        else:
            marks.append((found.st_ino, found.st_mtime_ns, found.st_size))
    return tuple(marks)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _server(address: str) -> str:
    try:
        ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        raise InvalidArgument(
            f"{address} is not an ip address: --dns takes the address of a name server"
        ) from None
    return address


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return True  # not an address: of no use to anyone
