"""One request and the ways to answer it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qs

import msgspec

from corten.api.image import ErrorDetail, ProgressLine
from corten.api.message import decode, encode
from corten.api.system import ErrorMessage
from corten.daemon.message import JSON_HEADERS, STANDARD_HEADERS, Request, Response, Stream
from corten.engine.registry_access import Access
from corten.errors import CortenError, InvalidArgument, status_of
from corten.oci.platform import Platform

if TYPE_CHECKING:
    from corten.daemon.server import Daemon
    from corten.engine.engine import Engine

T = TypeVar("T")
Version = tuple[int, int]

RAW_STREAM = "application/vnd.docker.raw-stream"
MULTIPLEXED_STREAM = "application/vnd.docker.multiplexed-stream"

_FALSE = frozenset({"", "0", "no", "false", "none"})


class Call:
    """A request to the daemon: path parameters, query, body; and constructors of answers."""

    __slots__ = ("_query", "daemon", "http", "parameters", "query_string", "version")

    def __init__(
        self,
        http: Request,
        daemon: Daemon,
        version: Version,
        parameters: dict[str, str],
        query_string: str,
    ) -> None:
        self.http = http
        self.daemon = daemon
        self.version = version
        self.parameters = parameters
        self.query_string = query_string
        self._query: dict[str, list[str]] | None = None

    @property
    def engine(self) -> Engine:
        return self.daemon.engine

    def __getitem__(self, name: str) -> str:
        """The path's parameter `name`."""
        return self.parameters[name]

    # -- the query ----------------------------------------------------------------------------------------

    def many(self, name: str) -> list[str]:
        """All values of a parameter that may be repeated."""
        if self._query is None:
            try:
                self._query = (
                    parse_qs(self.query_string, keep_blank_values=True, max_num_fields=1000)
                    if self.query_string
                    else {}
                )
            except ValueError as error:
                raise InvalidArgument(f"invalid query: {error}") from error
        return self._query.get(name, [])

    def text(self, name: str, default: str = "") -> str:
        values = self.many(name)
        return values[0] if values else default

    def flag(self, name: str, default: bool = False) -> bool:
        """Docker's booleans: everything is true but "", 0, no, false and none."""
        values = self.many(name)
        return values[0].strip().lower() not in _FALSE if values else default

    def number(self, name: str) -> int | None:
        """An integer; None when it is absent or empty."""
        text = self.text(name)
        if not text:
            return None
        try:
            return int(text)
        except ValueError as error:
            raise InvalidArgument(f'invalid value for "{name}": "{text}" is not an integer') from error

    def required_number(self, name: str) -> int:
        value = self.number(name)
        if value is None:
            raise InvalidArgument(f'invalid value for "{name}": a number is needed')
        return value

    def filters(self) -> dict[str, list[str]]:
        """`filters={"status": ["running"]}`, or the older form {"status": {"running": true}}."""
        text = self.text("filters")
        if not text:
            return {}
        try:
            raw = msgspec.json.decode(text)
        except msgspec.DecodeError as error:
            raise InvalidArgument(f"invalid filters: {error}") from error
        if not isinstance(raw, dict):
            raise InvalidArgument("invalid filters: a JSON object is needed")
        result = {}
        for key, values in raw.items():
            if isinstance(values, dict):
                values = [value for value, wanted in values.items() if wanted]
            if not isinstance(values, list):
                raise InvalidArgument(f'invalid filter "{key}": a list of values is needed')
            result[key] = [str(value) for value in values]
        return result

    def repository(self) -> tuple[str, str]:
        """The name for an image in `repo` and `tag`; some clients put both into `repo`."""
        repository, tag = self.text("repo"), self.text("tag")
        if not tag and ":" in repository.rpartition("/")[2]:
            repository, _, tag = repository.rpartition(":")
        return repository, tag

    def header(self, name: str) -> str:
        """A header of the request; "" when it is absent."""
        return self.http.header(name) or ""

    # -- the body -----------------------------------------------------------------------------------------

    async def body(self, type: type[T]) -> T:
        """The JSON body as a `type`; InvalidArgument names the field that is wrong."""
        return decode(await self.http.read(), type)

    def upload(self) -> AsyncIterator[bytes]:
        """The body in pieces."""
        return self.http.pieces()

    def access(self) -> Access:
        """Who the client is to registries (X-Registry-Auth), and whether certificates matter: tlsVerify is
        podman's, and Corten's own clients send it."""
        return Access(
            auth=self.header("X-Registry-Auth").strip(),
            insecure=not self.flag("tlsVerify", True),
        )

    def platform(self) -> str:
        """The query's platform as os/architecture/variant; newer clients send it as a JSON object."""
        text = self.text("platform").strip()
        if not text.startswith("{"):
            return text
        try:
            chosen = msgspec.json.decode(text, type=Platform)
        except msgspec.MsgspecError as error:
            raise InvalidArgument(f"invalid platform: {error}") from error
        return str(chosen.normalized())

    # -- the answer ---------------------------------------------------------------------------------------

    def json(self, value: Any, status: int = 200) -> Response:
        return Response(status, encode(value), JSON_HEADERS)

    def empty(self, status: int = 204) -> Response:
        return Response(status)

    def ends_with_client(self) -> None:
        """From here on the handler is cancelled when the client goes away; operations are not."""
        self.http.end_with_client()

    async def open_stream(self, content_type: str, headers: dict[str, str] | None = None) -> Stream:
        """An answer whose body follows piece by piece; the headers are sent at once."""
        self.ends_with_client()
        return await self.http.open_stream(
            {**STANDARD_HEADERS, "Content-Type": content_type, **(headers or {})}
        )

    async def send_bytes(
        self, pieces: AsyncIterator[bytes], content_type: str, headers: dict[str, str] | None = None
    ) -> Stream:
        """Streams `pieces`. An error before the first gets its status; a later one breaks the connection."""
        first = await anext(pieces, None)
        response = await self.open_stream(content_type, headers)
        try:
            if first is not None:
                await response.write(first)
                async for piece in pieces:
                    await response.write(piece)
        except CortenError:
            # No trailer could tell it: a body that ends too early is what makes the client fail.
            if self.http.transport is not None:
                self.http.transport.abort()
            raise
        finally:
            await _close(pieces)
        await response.write_eof()
        return response

    async def send_lines(self, objects: AsyncIterator[Any]) -> Stream:
        """Streams `objects` as JSON lines; an error after the first becomes the last line, as in Docker."""
        self.ends_with_client()
        first = await anext(objects, None)
        response = await self.open_stream("application/json")
        try:
            if first is not None:
                await response.write(encode(first) + b"\r\n")
            async for item in objects:
                await response.write(encode(item) + b"\r\n")
        except CortenError as error:
            line = ProgressLine(error=error.message, error_detail=ErrorDetail(message=error.message))
            await response.write(encode(line) + b"\r\n")
        finally:
            await _close(objects)
        await response.write_eof()
        return response


async def _close(iterator: AsyncIterator[Any]) -> None:
    close = getattr(iterator, "aclose", None)
    if close is not None:
        await close()


def error_response(error: CortenError) -> Response:
    """Docker's form of an error; X-Corten-Exit-Code is what the corten command exits with."""
    status, _, exit_code = status_of(error)
    body = b"" if status == 304 else encode(ErrorMessage(message=error.message)) + b"\n"
    return Response(status, body, {**JSON_HEADERS, "X-Corten-Exit-Code": str(exit_code)})
