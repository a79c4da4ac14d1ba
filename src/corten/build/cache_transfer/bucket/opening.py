"""Buckets as obstore opens them. Imported only when there is one: obstore is not always installed."""

from __future__ import annotations

import ipaddress
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from obstore.exceptions import BaseError
from obstore.store import AzureStore, S3Store

from corten.build.cache_transfer.bucket.azure_container import create_container
from corten.build.cache_transfer.bucket.options import AccessKey, AzureCache, S3Cache
from corten.build.cache_transfer.bucket.store import BucketStore
from corten.errors import InvalidArgument

_ATTEMPTS = 5
# CopyObject onto itself is refused unless the metadata is replaced; and this is how obstore takes a header
# that is signed along with the request.
_REPLACED = "header:x-amz-metadata-directive:REPLACE"


def open_s3(place: S3Cache) -> BucketStore:
    """InvalidArgument."""
    config: dict[str, Any] = {"region": place.region, "copy_if_not_exists": _REPLACED}
    config |= _address(place)
    options: dict[str, Any] = {}
    key = place.access_key
    if key is not None:
        # Not as configuration, which the engine's own environment would complete.
        options["credential_provider"] = lambda: _credential(key)
    try:
        store = S3Store(
            place.bucket,
            config=config,  # type: ignore[arg-type]
            client_options=_client(place.endpoint),
            retry_config=_retries(place.attempts or _ATTEMPTS),
            **options,
        )
    except (BaseError, ValueError) as error:
        raise InvalidArgument(f"cannot use the bucket {place.bucket!r}: its settings are refused") from error
    secrets = (key.id, key.secret, key.session_token) if key is not None else ()
    return BucketStore(
        store,
        place.keys,
        place.name,
        f"cache:s3:{place.endpoint or place.region}/{place.bucket}/{place.keys.blobs}",
        parallel=place.parallel,
        refresh=place.touch_refresh,
        secrets=secrets,
    )


def open_azure(place: AzureCache) -> BucketStore:
    """InvalidArgument."""
    config: dict[str, Any] = {"account_name": place.account, "endpoint": place.account_url}
    if place.key:
        config |= {"account_key": place.key, "credential_type": "access_key"}
    try:
        store = AzureStore(
            place.container,
            config=config,  # type: ignore[arg-type]
            client_options=_client(place.account_url),
            retry_config=_retries(_ATTEMPTS),
        )
    except (BaseError, ValueError) as error:
        raise InvalidArgument(
            f"cannot use the container {place.container!r}: its settings are refused"
        ) from error

    async def prepare() -> None:
        if place.key:
            await create_container(place)

    return BucketStore(
        store,
        place.keys,
        place.name,
        f"cache:azblob:{place.account_url}/{place.container}/{place.keys.blobs}",
        parallel=place.parallel,
        prepare=prepare,
        secrets=(place.key,),
    )


def _credential(key: AccessKey) -> Any:
    return {
        "access_key_id": key.id,
        "secret_access_key": key.secret,
        "token": key.session_token or None,
        "expires_at": None,
    }


def _address(place: S3Cache) -> dict[str, Any]:
    """The bucket is the host's first part or the path's, as the AWS SDK has it: the path's where it was asked
    for, for addresses that are no names, and for buckets whose dots no certificate covers."""
    if not place.endpoint:
        return {"virtual_hosted_style_request": "." not in place.bucket}
    parts = urlsplit(place.endpoint)
    if place.path_style or _is_address(parts.hostname or ""):
        return {"endpoint": place.endpoint, "virtual_hosted_style_request": False}
    endpoint = parts._replace(netloc=f"{place.bucket}.{parts.netloc}").geturl()
    return {"endpoint": endpoint, "virtual_hosted_style_request": True}


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _client(url: str) -> Any:
    options: dict[str, Any] = {"timeout": "120s", "connect_timeout": "10s"}
    if url.startswith("http://"):
        options["allow_http"] = True
    return options


def _retries(attempts: int) -> Any:
    return {
        "max_retries": attempts - 1,
        "retry_timeout": timedelta(seconds=90),
        "backoff": {
            "init_backoff": timedelta(milliseconds=200),
            "max_backoff": timedelta(seconds=5),
            "base": 2,
        },
    }
