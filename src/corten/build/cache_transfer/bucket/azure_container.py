"""Creating a container of Azure Blob Storage, which obstore cannot: one request, signed with the account's
key (Microsoft's documentation, "Create Container" and "Authorize with Shared Key")."""

from __future__ import annotations

import base64
import hashlib
import hmac
from email.utils import formatdate
from urllib.parse import quote, urlsplit

import aiohttp

from corten.build.cache_transfer.bucket.options import AzureCache
from corten.errors import CortenError, Denied, InvalidArgument, Unavailable
from corten.image.registry.proxy import proxy_for

_VERSION = "2021-08-06"
_TIMEOUT = aiohttp.ClientTimeout(total=60, sock_connect=15)


async def create_container(place: AzureCache) -> None:
    """One that is there already stays. Denied, InvalidArgument, Unavailable."""
    url = f"{place.account_url}/{quote(place.container)}"
    date = formatdate(usegmt=True)
    headers = {
        "x-ms-date": date,
        "x-ms-version": _VERSION,
        "Content-Length": "0",
        "Authorization": _authorization(place, urlsplit(url).path, date),
    }
    what = f"create the container {place.container} of {place.account_url}"
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT) as session,
            session.put(
                f"{url}?restype=container",
                headers=headers,
                skip_auto_headers=("Content-Type",),  # it would have to be signed
                proxy=proxy_for(url),
                allow_redirects=False,
            ) as response,
        ):
            status, code = response.status, response.headers.get("x-ms-error-code", "")
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        reason = "it does not answer" if isinstance(error, TimeoutError) else str(error).partition("\n")[0]
        raise Unavailable(f"cannot {what}: {reason}") from error
    if status != 201 and code != "ContainerAlreadyExists":
        raise _refusal(status, code, what)


def _authorization(place: AzureCache, path: str, date: str) -> str:
    lines = [
        "PUT",
        *[""] * 11,  # none of the standard headers counts here
        f"x-ms-date:{date}",
        f"x-ms-version:{_VERSION}",
        f"/{place.account}{path}",
        "restype:container",
    ]
    key = base64.b64decode(place.key)
    digest = hmac.new(key, "\n".join(lines).encode(), hashlib.sha256).digest()
    return f"SharedKey {place.account}:{base64.b64encode(digest).decode()}"


def _refusal(status: int, code: str, what: str) -> CortenError:
    if status in (401, 403):
        return Denied(f"cannot {what}: the key is not accepted, or may not do that ({code or status})")
    if status >= 500:
        return Unavailable(f"cannot {what}: the server answers {status} {code}".rstrip())
    return InvalidArgument(f"cannot {what}: it is refused ({code or status})")
