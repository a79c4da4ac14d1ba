"""Files from http(s) URLs: verified, bounded, and downloaded again only when the server says that they
changed.

::

    <directory>/<digest of the URL>.json    what the server told of it the last time
    <directory>/<sha256>                    the bytes
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import secrets
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit
from weakref import WeakValueDictionary

import aiohttp
import msgspec

from corten.build.context.git_command import without_credentials
from corten.errors import CortenError, IntegrityError, InvalidArgument, NoSpace, NotFound, Unavailable
from corten.version import __version__

Progress = Callable[[int, int], None]
"""(bytes done, bytes in all, or 0)."""

_PIECE = 1 << 20
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_ATTEMPTS = 3
_REDIRECTS = 10
_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=120)
_FILENAME = re.compile(r"""filename\*?=(?:UTF-8'[^']*')?("?)([^";]+)\1""", re.IGNORECASE)


class Download(msgspec.Struct, frozen=True):
    """What a URL yields. `digest` is `sha256:…`; `modified` seconds since 1970 (0: not told); `filename`
    that of the Content-Disposition, or of the URL."""

    digest: str
    size: int
    filename: str
    etag: str = ""
    last_modified: str = ""

    @property
    def modified(self) -> int:
        try:
            return int(parsedate_to_datetime(self.last_modified).timestamp())
        except (ValueError, TypeError, IndexError):
            return 0


class HttpDownloads:
    """Beneath `directory`; one for the engine. `limit` in bytes."""

    def __init__(self, directory: Path, *, limit: int = 64 << 30) -> None:
        self._directory = directory
        self._limit = limit
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # while one is held

    def path(self, download: Download) -> Path:
        """Its bytes; must not be written to."""
        return self._directory / download.digest.partition(":")[2]

    async def fetch(self, url: str, *, checksum: str = "", progress: Progress | None = None) -> Download:
        """What is at `url` now. With `checksum` (`sha256:…`), what has it: anything else is an
        IntegrityError, and what is here already is not asked for again. NotFound, Unavailable."""
        if urlsplit(url).scheme not in ("http", "https"):
            raise InvalidArgument(f"{without_credentials(url)!r} cannot be downloaded: only http(s) URLs can")
        async with self._locks.setdefault(url, asyncio.Lock()):
            known = await asyncio.to_thread(self._known, url)
            if known is not None and checksum and known.digest == checksum:
                return known
            for attempt in range(1, _ATTEMPTS + 1):
                try:
                    found = await self._ask(url, known, progress)
                    break
                except (aiohttp.ClientError, TimeoutError) as error:
                    if attempt == _ATTEMPTS or isinstance(error, aiohttp.ClientSSLError):
                        raise Unavailable(
                            f"cannot download {without_credentials(url)}: {_why(error)}"
                        ) from error
                    await asyncio.sleep(0.3 * attempt)
            if checksum and found.digest != checksum:
                raise IntegrityError(
                    f"{without_credentials(url)} has the digest {found.digest}, not {checksum} as its "
                    "checksum says"
                )
            return found

    async def _ask(self, url: str, known: Download | None, progress: Progress | None) -> Download:
        headers = {"User-Agent": f"corten/{__version__}", "Accept-Encoding": "identity"}
        if known is not None and known.etag:
            headers["If-None-Match"] = known.etag
        elif known is not None and known.last_modified:
            headers["If-Modified-Since"] = known.last_modified
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=True, auto_decompress=False) as session,
            session.get(url, headers=headers, max_redirects=_REDIRECTS) as response,
        ):
            if response.status == 304 and known is not None:
                return known
            if response.status in (404, 410):
                raise NotFound(f"there is nothing at {without_credentials(url)} ({response.status})")
            if response.status >= 500:
                raise aiohttp.ClientError(f"the server answers {response.status}")
            if response.status != 200:
                raise Unavailable(
                    f"cannot download {without_credentials(url)}: the server answers {response.status} "
                    f"{response.reason or ''}".rstrip()
                )
            return await self._store(url, response, progress)

    async def _store(self, url: str, response: aiohttp.ClientResponse, progress: Progress | None) -> Download:
        total = response.content_length or 0
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = self._directory / f".{secrets.token_hex(8)}"
        digest = hashlib.sha256()
        size = 0
        try:
            with os.fdopen(os.open(temporary, _CREATE, 0o600), "wb") as file:
                async for piece in response.content.iter_chunked(_PIECE):
                    size += len(piece)
                    if max(size, total) > self._limit:
                        raise InvalidArgument(
                            f"{without_credentials(url)} has more than the limit of {self._limit} bytes"
                        )
                    await asyncio.to_thread(_append, file.fileno(), piece, digest)
                    if progress is not None:
                        progress(size, total)
            if total and size != total:
                raise aiohttp.ClientPayloadError(f"{size} of {total} bytes came")
            found = Download(
                f"sha256:{digest.hexdigest()}",
                size,
                _filename(url, response.headers.get("Content-Disposition", "")),
                response.headers.get("ETag", ""),
                response.headers.get("Last-Modified", ""),
            )
            modified = found.modified
            os.utime(temporary, (modified, modified))
            temporary.rename(self.path(found))
        finally:
            temporary.unlink(missing_ok=True)
        self._note(url, found)
        return found

    def _record(self, url: str) -> Path:
        return self._directory / f"{hashlib.sha256(url.encode()).hexdigest()}.json"

    def _known(self, url: str) -> Download | None:
        try:
            found = msgspec.json.decode(self._record(url).read_bytes(), type=Download)
        except (OSError, msgspec.DecodeError):
            return None
        try:
            size = self.path(found).stat().st_size
            os.utime(self._record(url))
        except OSError:
            return None
        return found if size == found.size else None

    def _note(self, url: str, found: Download) -> None:
        record = self._record(url)
        temporary = record.with_name(f".{secrets.token_hex(8)}")
        temporary.write_bytes(msgspec.json.encode(found))
        temporary.rename(record)


def _append(fd: int, piece: bytes, digest: hashlib._Hash) -> None:
    digest.update(piece)
    view = memoryview(piece)
    try:
        while view:
            view = view[os.write(fd, view) :]
    except OSError as error:
        if error.errno in (28, 122):
            raise NoSpace("cannot store a download: the disk is full") from error
        raise CortenError(f"cannot store a download: {error.strerror}") from error


def _why(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "the server does not answer"
    if isinstance(error, aiohttp.TooManyRedirects):
        return f"it redirects more than {_REDIRECTS} times"
    return without_credentials(str(error) or type(error).__name__)


def _filename(url: str, disposition: str) -> str:
    """As BuildKit: that of the Content-Disposition, else the last part of the URL's path."""
    match = _FILENAME.search(disposition)
    for name in (unquote(match[2]) if match else "", unquote(urlsplit(url).path)):
        name = os.path.basename(name.rstrip("/")).replace("\0", "")
        if name not in ("", ".", ".."):
            return name
    return "download"
