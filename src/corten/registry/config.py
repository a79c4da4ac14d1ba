"""What is configured: a TOML file, overridden by the command's options. Values are checked here, once."""

from __future__ import annotations

import ipaddress
import os
import tomllib
from pathlib import Path

import msgspec

from corten.errors import InvalidArgument
from corten.registry import sections
from corten.registry.accounts import settings
from corten.registry.accounts.settings import Tokens
from corten.registry.page.settings import PageSettings
from corten.registry.sections import AuditLogging, MetricsServing, Rates, Tls
from corten.registry.upstream import settings as upstream_settings
from corten.registry.upstream.settings import Cache, Upstream


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """Bytes and seconds that one request may take."""

    manifest_bytes: int = 4 << 20
    """distribution-spec, "Pushing manifests": at least 4 MiB."""
    manifest_references: int = 10_000
    blob_bytes: int = 0
    """0: no limit but the disk."""
    idle_seconds: float = 60
    """How long a client may send nothing in the middle of a body, or take nothing of an answer."""
    bytes_per_second: int = 100
    """The least that a body must come with, on average, after its first `idle_seconds`."""
    keepalive_seconds: float = 75
    tags_in_one_push: int = 100
    head_seconds: float = 20
    """How long a new connection may take until its first request's head is there."""
    rate: Rates = Rates()


class Collection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """Garbage collection."""

    interval_seconds: float = 60
    grace_seconds: float = 900
    """How long a blob that a push was told to exist is kept without a manifest that refers to it."""
    upload_hours: float = 24
    """How long an upload that nobody continues is kept."""
    batch: int = 200
    """How many entries one transaction looks at."""
    keep_deleted_hours: float = 0
    """How long the bytes of a collected blob stay: backups that are younger can be restored whole."""


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """A registry. `storage` and `database` are URLs; "" means: below `root`."""

    root: str = ""
    listen: tuple[str, ...] = ("127.0.0.1:5000",)
    workers: int = 0
    """Processes that serve; 0: one for each core, 4 at most."""
    storage: str = ""
    storage_options: dict[str, str] = {}
    database: str = ""
    external_url: str = ""
    """What Location headers begin with; "": the request's Host and X-Forwarded-* decide."""
    redirect: bool = True
    """Whether blobs in an object store are answered for with a signed URL, where the store can sign."""
    allow_anonymous: bool = False
    """Accept that everybody who reaches an address beyond loopback may pull, push and delete."""
    access_log: bool = False
    """A line of JSON for each request, on standard error or in `access_log_file`."""
    access_log_file: str = ""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses and networks whose X-Forwarded-For tells who the client is."""
    warnings: dict[str, str] = {}
    """Repository patterns (`old/*`) and what clients are told of them (distribution-spec, "Warnings")."""
    limits: Limits = Limits()
    collection: Collection = Collection()
    tls: Tls = Tls()
    audit: AuditLogging = AuditLogging()
    metrics: MetricsServing = MetricsServing()
    tokens: Tokens = Tokens()
    upstreams: dict[str, Upstream] = {}
    """Registries whose images are fetched when they are asked for (`upstream/settings.py`)."""
    cache: Cache = Cache()
    page: PageSettings = PageSettings()

    @property
    def root_path(self) -> Path:
        return Path(self.root) if self.root else default_root()

    @property
    def database_url(self) -> str:
        """SQLAlchemy's URL of the metadata."""
        return self.database or f"sqlite:///{self.root_path / 'registry.db'}"

    @property
    def logs_access(self) -> bool:
        """Whether there is an access log."""
        return self.access_log or bool(self.access_log_file)

    @property
    def uses_sqlite(self) -> bool:
        return self.database_url.startswith("sqlite:")

    def worker_count(self) -> int:
        """How many processes serve."""
        return self.workers or max(1, min(4, len(os.sched_getaffinity(0))))


def default_root() -> Path:
    """/var/lib/corten-registry, or an ordinary user's data directory."""
    if os.geteuid() == 0:
        return Path("/var/lib/corten-registry")
    base = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return Path(base) / "corten-registry"


def load(path: str) -> Config:
    """The configuration in a TOML file; InvalidArgument tells what is wrong in it."""
    try:
        with open(path, "rb") as file:
            document = tomllib.load(file)
    except OSError as error:
        raise InvalidArgument(f"cannot read the registry's configuration {path}: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise InvalidArgument(f"{path} is not TOML: {error}") from error
    return convert(document, path)


def convert(document: object, source: str) -> Config:
    """A checked Config from decoded TOML or JSON; `source` names it in errors."""
    try:
        config = msgspec.convert(document, Config)
    except msgspec.ValidationError as error:
        raise InvalidArgument(f"{source}: {error}") from error
    check(config)
    return config


def check(config: Config) -> None:
    """InvalidArgument for values that no registry can be run with."""
    if not config.listen:
        raise InvalidArgument("no address to listen on: give --listen ADDRESS:PORT")
    for address in config.listen:
        parse_address(address)
    if not 0 <= config.workers <= 256:
        raise InvalidArgument(f"invalid number of workers {config.workers}: 0 (one for each core) to 256")
    if config.external_url and not config.external_url.startswith(("http://", "https://")):
        raise InvalidArgument(
            f"invalid external URL {config.external_url!r}: it begins with http:// or https://"
        )
    for name in ("interval_seconds", "grace_seconds", "upload_hours", "keep_deleted_hours"):
        if getattr(config.collection, name) < 0:
            raise InvalidArgument(f"invalid {name.replace('_', '-')}: it must not be negative")
    if config.collection.batch < 1:
        raise InvalidArgument("invalid collection batch: it must be at least 1")
    upstream_settings.check(config.upstreams, config.cache)
    sections.check_tls(config.tls)
    sections.check_rates(config.limits.rate)
    sections.check_audit(config.audit)
    settings.check(config.tokens)
    sections.parse_networks(config.trusted_proxies)
    if config.metrics.listen:
        parse_address(config.metrics.listen)


def parse_address(text: str) -> tuple[str, int]:
    """Host and port of `127.0.0.1:5000`, `[::1]:5000`, `localhost:5000` or `:5000` (every address)."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise InvalidArgument(f"invalid address {text!r}: expected ADDRESS:PORT, such as 127.0.0.1:5000")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    return host or "0.0.0.0", int(port)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
