"""What is configured about registries: corten.toml's [registries], certs.d, insecure hosts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class HostConfig:
    """One `[registries."host"]` table."""

    mirrors: tuple[str, ...] = ()
    insecure: bool = False


class RegistryConfig:
    """Read once: `load()` looks at CORTEN_CONFIG, ~/.config/corten/corten.toml, /etc/corten/corten.toml (the
    first that exists), and CORTEN_CERTS_DIR."""

    def __init__(self, hosts: dict[str, HostConfig] | None = None, certs_dirs: tuple[Path, ...] = ()) -> None:
        raise NotImplementedError

    @classmethod
    def load(cls) -> RegistryConfig:
        """From the files and the environment."""
        raise NotImplementedError
