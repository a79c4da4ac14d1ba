"""What is configured about registries: corten.toml's [registries], certs.d, insecure hosts.

::

    [registries."docker.io"]
    mirrors = ["https://mirror.example", "http://10.0.0.1:5000"]

    [registries."registry.example:5000"]
    insecure = true
"""

from __future__ import annotations

import ipaddress
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from corten.errors import InvalidArgument
from corten.image.registry.endpoint import Endpoint

CERTS_DIRS = (Path("/etc/corten/certs.d"), Path("/etc/docker/certs.d"))
_HUB = "docker.io"
_HUB_HOST = "registry-1.docker.io"


@dataclass(frozen=True, slots=True)
class HostConfig:
    """One `[registries."host"]` table."""

    mirrors: tuple[str, ...] = ()
    insecure: bool = False


class RegistryConfig:
    """Which servers stand behind a registry's name, and how to talk to them. With `loopback`, registries of
    this machine need no valid certificate and may speak http, as for Docker."""

    def __init__(
        self,
        hosts: Mapping[str, HostConfig] | None = None,
        certs_dirs: tuple[Path, ...] = (),
        *,
        loopback: bool = True,
    ) -> None:
        self.hosts = dict(hosts or {})
        self.loopback = loopback
        self.certs_dirs = certs_dirs

    @classmethod
    def load(cls) -> RegistryConfig:
        """From CORTEN_CONFIG, or else ~/.config/corten/corten.toml over /etc/corten/corten.toml; certificates
        from CORTEN_CERTS_DIR, /etc/corten/certs.d and /etc/docker/certs.d. InvalidArgument."""
        hosts: dict[str, HostConfig] = {}
        for path in _files():
            hosts.update(read_hosts(path))
        explicit = os.environ.get("CORTEN_CERTS_DIR")
        return cls(hosts, ((Path(explicit),) if explicit else ()) + CERTS_DIRS)

    def endpoints(self, domain: str, *, insecure: bool = False) -> tuple[Endpoint, ...]:
        """The servers to ask for `domain`, in order: its mirrors, then itself (always the last)."""
        host = self.hosts.get(domain, HostConfig())
        mirrors = tuple(self._mirror(url, insecure) for url in host.mirrors)
        name = _HUB_HOST if domain == _HUB else domain
        lax = insecure or host.insecure or self._is_lax(name)
        return (*mirrors, Endpoint(domain, f"https://{name}", insecure=lax, fallback=lax))

    def _mirror(self, url: str, insecure: bool) -> Endpoint:
        parts = urlsplit(url)
        lax = insecure or self.hosts.get(parts.netloc, HostConfig()).insecure or self._is_lax(parts.netloc)
        plain = parts.scheme == "http"
        return Endpoint(
            parts.netloc, url.rstrip("/"), insecure=lax or plain, fallback=lax and not plain, mirror=True
        )

    def _is_lax(self, host: str) -> bool:
        return self.loopback and is_loopback(host)


def is_loopback(host: str) -> bool:
    """Whether `host[:port]` is this machine: such registries may speak http, or have any certificate."""
    name = urlsplit(f"//{host}").hostname or ""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def read_hosts(path: Path) -> dict[str, HostConfig]:
    """The [registries] of a corten.toml; nothing when there is no such file. InvalidArgument."""
    try:
        document = tomllib.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"cannot read {path}: {error}") from error
    tables = document.get("registries", {})
    if not isinstance(tables, dict):
        raise InvalidArgument(f"cannot read {path}: registries is no table")
    return {name: _host(path, name, table) for name, table in tables.items()}


def _host(path: Path, name: str, table: Any) -> HostConfig:
    where = f'{path}: registries."{name}"'
    if not isinstance(table, dict):
        raise InvalidArgument(f"{where} is no table")
    unknown = set(table) - {"mirrors", "insecure"}
    if unknown:
        raise InvalidArgument(
            f"{where} has an unknown key {sorted(unknown)[0]!r}: mirrors and insecure are known"
        )
    mirrors, insecure = table.get("mirrors", []), table.get("insecure", False)
    if not isinstance(insecure, bool):
        raise InvalidArgument(f"{where}: insecure is true or false")
    if not isinstance(mirrors, list) or not all(isinstance(url, str) for url in mirrors):
        raise InvalidArgument(f"{where}: mirrors is a list of URLs")
    for url in mirrors:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
            raise InvalidArgument(f"{where}: {url!r} is no mirror: expected http(s)://host[:port][/path]")
    return HostConfig(tuple(mirrors), insecure)


def _files() -> list[Path]:
    if explicit := os.environ.get("CORTEN_CONFIG"):
        return [Path(explicit)]
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path("~/.config").expanduser())
    return [Path("/etc/corten/corten.toml"), home / "corten/corten.toml"]
