"""`type=s3` and `type=azblob`: BuildKit's attributes and defaults (its README, "S3 cache", "Azure Blob
Storage cache"). What they take from the environment is looked up by the client."""

from __future__ import annotations

import base64
import binascii
import importlib.util
import posixpath
from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from corten.build.cache_transfer.attributes import parse_seconds, parse_url
from corten.build.export.compression import parse_bool
from corten.errors import InvalidArgument, Unsupported

S3_KEYS = frozenset(
    {
        *("bucket", "region", "prefix", "blobs_prefix", "manifests_prefix", "name", "endpoint_url"),
        *("use_path_style", "access_key_id", "secret_access_key", "session_token", "touch_refresh"),
        *("upload_parallelism", "disable_accept_encoding", "retry_mode", "retry_max_attempts"),
    }
)
AZURE_KEYS = frozenset(
    {
        *("account_url", "account_name", "secret_access_key", "container", "prefix", "blobs_prefix"),
        *("manifests_prefix", "name"),
    }
)
_DEFAULT_NAME = "buildkit"
_DEFAULT_CONTAINER = "buildkit-cache"
_DAY = 24 * 3600.0


class Keys(msgspec.Struct, frozen=True):
    """Where things lie in a bucket: `blobs` and `manifests` are what comes before a digest and a name."""

    blobs: str
    manifests: str
    names: tuple[str, ...] = (_DEFAULT_NAME,)


class AccessKey(msgspec.Struct, frozen=True):
    """Who the client is to S3. It is never shown."""

    id: str
    secret: str
    session_token: str = ""

    def __repr__(self) -> str:
        return "AccessKey(…)"


class S3Cache(msgspec.Struct, frozen=True, kw_only=True):
    """A bucket of Amazon S3, or of a server with its protocol (`endpoint`, a URL). `access_key` None: what
    the engine finds itself (its environment, the machine's role). What was written longer than
    `touch_refresh` seconds ago is written anew, for buckets that forget by age. `attempts` 0: as many as
    usual."""

    bucket: str
    region: str
    keys: Keys
    endpoint: str = ""
    path_style: bool = False
    access_key: AccessKey | None = None
    touch_refresh: float = _DAY
    parallel: int = 4
    attempts: int = 0

    @property
    def name(self) -> str:
        """For messages."""
        return f"s3://{self.bucket}/{self.keys.manifests}{self.keys.names[0]}"

    @property
    def title(self) -> str:
        """The same with its kind."""
        return f"Amazon S3 {self.name}"


class AzureCache(msgspec.Struct, frozen=True, kw_only=True):
    """A container of Azure Blob Storage. `key` (base64) is the account's; empty: what the engine finds itself
    (its environment, the machine's identity)."""

    account_url: str
    account: str
    container: str
    keys: Keys
    key: str = ""
    parallel: int = 4

    @property
    def name(self) -> str:
        """For messages."""
        return f"{self.account_url.rstrip('/')}/{self.container}/{self.keys.manifests}{self.keys.names[0]}"

    @property
    def title(self) -> str:
        """The same with its kind."""
        return f"Azure Blob Storage {self.name}"

    def __repr__(self) -> str:
        return f"AzureCache({self.name!r})"


def parse_s3(flag: str, attributes: Mapping[str, str]) -> S3Cache:
    """InvalidArgument; Unsupported where obstore is not installed."""
    what = f"--{flag} type=s3"
    _require_obstore(what)
    given = {key: value for key, value in attributes.items() if value}
    for key, variable in (("bucket", "AWS_BUCKET"), ("region", "AWS_REGION")):
        if key not in given:
            raise InvalidArgument(f"{what} needs {key}=…, or the variable {variable}")
    prefix = given.get("prefix", "")
    keys = Keys(
        prefix + attributes.get("blobs_prefix", "blobs/"),
        prefix + attributes.get("manifests_prefix", "manifests/"),
        _names(what, given),
    )
    _check_keys(what, keys)
    if given.get("retry_mode", "standard") not in ("standard", "adaptive"):
        raise InvalidArgument(f"{what}: retry_mode is standard or adaptive")
    parse_bool(attributes, "disable_accept_encoding", False)  # no request of ours has one that is signed
    return S3Cache(
        bucket=given["bucket"],
        region=given["region"],
        keys=keys,
        endpoint=parse_url(what, "endpoint_url", given["endpoint_url"]) if "endpoint_url" in given else "",
        path_style=parse_bool(attributes, "use_path_style", False),
        access_key=_access_key(what, given),
        touch_refresh=parse_seconds(what, given, "touch_refresh", "24h"),
        parallel=_positive(what, "upload_parallelism", given.get("upload_parallelism", "4")),
        attempts=_positive(what, "retry_max_attempts", given["retry_max_attempts"])
        if "retry_max_attempts" in given
        else 0,
    )


def parse_azure(flag: str, attributes: Mapping[str, str]) -> AzureCache:
    """InvalidArgument; Unsupported where obstore is not installed."""
    what = f"--{flag} type=azblob"
    _require_obstore(what)
    given = {key: value for key, value in attributes.items() if value}
    if "account_url" not in given:
        raise InvalidArgument(
            f"{what} needs account_url=https://ACCOUNT.blob.core.windows.net, or the variable "
            "BUILDKIT_AZURE_STORAGE_ACCOUNT_URL"
        )
    url = parse_url(what, "account_url", given["account_url"])
    account = given.get("account_name") or (urlsplit(url).hostname or "").partition(".")[0]
    prefix = given.get("prefix", "")
    keys = Keys(
        _joined(prefix, attributes.get("blobs_prefix", "blobs")),
        _joined(prefix, attributes.get("manifests_prefix", "manifests")),
        _names(what, given),
    )
    _check_keys(what, keys)
    key = given.get("secret_access_key", "")
    try:
        base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        # The error tells what it has found.
        raise InvalidArgument(f"{what}: secret_access_key is no storage account's key: not base64") from None
    return AzureCache(
        account_url=url,
        account=account,
        container=given.get("container", _DEFAULT_CONTAINER),
        keys=keys,
        key=key,
    )


def _require_obstore(what: str) -> None:
    if importlib.util.find_spec("obstore") is None:
        raise Unsupported(f"{what} needs obstore: pip install 'corten[registry]'")


def _names(what: str, given: Mapping[str, str]) -> tuple[str, ...]:
    names = tuple(given.get("name", _DEFAULT_NAME).split(";"))
    if not all(names):
        raise InvalidArgument(f"{what}: name={given['name']} has an empty name in it")
    return names


def _joined(*parts: str) -> str:
    """As Go's path.Join, with a slash behind it unless it is empty."""
    path = posixpath.normpath("/".join(part for part in parts if part)).lstrip("/")
    return "" if path in (".", "") else f"{path}/"


def _check_keys(what: str, keys: Keys) -> None:
    for key in (keys.blobs + "x", *(keys.manifests + name for name in keys.names)):
        if any(part in ("", ".", "..") for part in key.split("/")) or not key.isprintable():
            raise InvalidArgument(
                f"{what}: {key!r} can be no object's key: its parts between slashes must not be empty or dots"
            )


def _access_key(what: str, given: Mapping[str, str]) -> AccessKey | None:
    identity, secret = given.get("access_key_id", ""), given.get("secret_access_key", "")
    if bool(identity) != bool(secret):
        raise InvalidArgument(f"{what} needs access_key_id and secret_access_key, or neither of them")
    return AccessKey(identity, secret, given.get("session_token", "")) if identity else None


def _positive(what: str, key: str, text: str) -> int:
    if not text.isdecimal() or len(text) > 4 or int(text) < 1:
        raise InvalidArgument(f"{what}: {key} is a positive number, not {text!r}")
    return int(text)
