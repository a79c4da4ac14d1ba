"""`corten registry backup FILE`: all metadata, as it was at one moment, in one file.

The file is zstd over lines of JSON: an object that says what this is and what the tables are; then for each
table its name and its rows, which are arrays; an object with the SHA-256 of everything before it is the last.
It holds the hashes of passwords and the keys that sign tokens, so only its owner can read it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec
import zstandard
from sqlalchemy import Connection

from corten.errors import (
    ArchiveError,
    CortenError,
    InvalidArgument,
    NoSpace,
    NotFound,
    Unavailable,
    Unsupported,
)
from corten.registry.metadata import dumping
from corten.registry.metadata.database import Database
from corten.registry.metadata.dumping import Dump, Row

FORMAT = "corten-registry-backup"
VERSION = 1
LEVEL = 3
LINE = 128 << 20
"""A line is not longer: a manifest of 4 MiB takes 6."""
PIECE = 1 << 20


class Header(msgspec.Struct, frozen=True):
    """The first line. `created` is in milliseconds since 1970."""

    format: str
    version: int
    created: int
    corten: str
    database: str
    dump: Dump


class End(msgspec.Struct, frozen=True):
    """The last line: how many rows there were, and the SHA-256 of all lines before."""

    rows: int
    sha256: str


class Written(msgspec.Struct, frozen=True):
    """What a backup holds, and what it takes."""

    rows: int
    size: int


def write_backup(database: Database, path: Path, version: str) -> Written:
    """Writes a backup; a file that was there is replaced when the new one is whole and on the disk.

    NotFound when there is no database, Unsupported when it is of another version, NoSpace.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            with open(fd, "wb") as file:
                rows = database.snapshot(_write, file, database.url.get_backend_name(), version)
                file.flush()
                os.fsync(file.fileno())
                size = file.tell()
            os.rename(beside, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(beside)
            raise
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise _failure(error, f"write the backup {path}") from error
    return Written(rows, size)


def _write(connection: Connection, file: IO[bytes], database: str, version: str) -> int:
    digest = hashlib.sha256()
    encoder = msgspec.json.Encoder()
    rows = 0
    compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
    with compressor.stream_writer(file, closefd=False) as writer:

        def put(value: object) -> None:
            line = encoder.encode(value) + b"\n"
            digest.update(line)
            writer.write(line)

        def take(entry: Dump | str | Row) -> None:
            nonlocal rows
            if isinstance(entry, Dump):
                put(Header(FORMAT, VERSION, int(time.time() * 1000), version, database, entry))
            else:
                put(entry)
                rows += isinstance(entry, list)

        dumping.dump(connection, take)
        writer.write(encoder.encode(End(rows, digest.hexdigest())) + b"\n")
    return rows


def read_backup(path: Path) -> Iterator[Dump | str | Row]:
    """What `dumping.restore` takes. ArchiveError where the file is no backup, or not whole: whoever has
    inserted rows by then takes them back."""
    try:
        with open(path, "rb") as file:
            yield from _read(file, path)
    except OSError as error:
        raise _failure(error, f"read the backup {path}") from error


def read_header(path: Path) -> Header:
    """What the file says of itself. ArchiveError when it is no backup."""
    try:
        with open(path, "rb") as file:
            return _header(next(_lines(file, path), b""), path)
    except OSError as error:
        raise _failure(error, f"read the backup {path}") from error


def _read(file: IO[bytes], path: Path) -> Iterator[Dump | str | Row]:
    digest = hashlib.sha256()
    rows = 0
    end: End | None = None
    decoder = msgspec.json.Decoder(str | list | End)
    for number, line in enumerate(_lines(file, path)):
        if end is not None:
            raise ArchiveError(f"{path} has more after its end")
        if number == 0:
            digest.update(line)
            yield _header(line, path).dump
            continue
        try:
            entry = decoder.decode(line)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise ArchiveError(f"line {number + 1} of {path} is damaged") from error
        if isinstance(entry, End):
            end = entry
            continue
        digest.update(line)
        rows += isinstance(entry, list)
        yield entry
    if end is None:
        raise ArchiveError(f"{path} is not whole: it ends after {rows} rows")
    if (end.rows, end.sha256) != (rows, digest.hexdigest()):
        raise ArchiveError(f"{path} is damaged: its checksum is {digest.hexdigest()}, not {end.sha256}")


def _header(line: bytes, path: Path) -> Header:
    try:
        header = msgspec.json.decode(line, type=Header)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ArchiveError(f"{path} is no backup of a registry") from error
    if header.format != FORMAT:
        raise ArchiveError(f"{path} is no backup of a registry")
    if header.version != VERSION:
        raise Unsupported(
            f"{path} is a backup of the form {header.version}, which a newer corten has written: this one"
            f" reads {VERSION}"
        )
    return header


def _lines(file: IO[bytes], path: Path) -> Iterator[bytes]:
    """With their ends. The last one may lack it."""
    held = b""
    decompressor = zstandard.ZstdDecompressor(max_window_size=1 << 27)
    try:
        for piece in decompressor.read_to_iter(file, read_size=PIECE, write_size=PIECE):
            lines = (held + piece).splitlines(keepends=True)
            held = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
            yield from lines
            if len(held) > LINE:
                raise ArchiveError(f"{path} is no backup of a registry")
    except zstandard.ZstdError as error:
        raise ArchiveError(f"{path} is damaged, or no backup of a registry: {error}") from error
    if held:
        yield held


def _failure(error: OSError, what: str) -> CortenError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpace(f"cannot {what}: no space left on the disk")
    if isinstance(error, FileNotFoundError):
        return NotFound(f"cannot {what}: there is no such file or directory")
    if isinstance(error, (PermissionError, IsADirectoryError, NotADirectoryError)):
        return InvalidArgument(f"cannot {what}: {error.strerror}")
    return Unavailable(f"cannot {what}: {error.strerror}")
