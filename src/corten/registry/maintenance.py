"""The commands that look after a registry, whether or not it serves meanwhile: `gc`, `check`, `backup`,
`restore` and `import`."""

from __future__ import annotations

import asyncio
import os
import pwd
import time
from pathlib import Path

from sqlalchemy.engine import make_url

from corten.errors import InvalidArgument, NotFound
from corten.registry import backup
from corten.registry.access import Identity
from corten.registry.audit import Record
from corten.registry.audit_log import auditing
from corten.registry.blobs.opening import open_blobs
from corten.registry.check import BYTES, Checker, Finding
from corten.registry.collect import Collector
from corten.registry.config import Config
from corten.registry.importing import command
from corten.registry.metadata import dumping
from corten.registry.metadata.database import Database
from corten.registry.metadata.store import SqlMetadata
from corten.version import __version__

SHOWN = 100_000


def operator() -> Identity:
    """Who gives a command on this machine, for the audit log."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = f"uid {os.getuid()}"
    return Identity(name)


def collect(config: Config, *, dry_run: bool, quiet: bool) -> int:
    """Collects garbage now, or tells what would go and why; the exit code."""
    return asyncio.run(_collect(config, dry_run=dry_run, quiet=quiet))


async def _collect(config: Config, *, dry_run: bool, quiet: bool) -> int:
    _require_database(config)
    metadata = _open(config)
    with auditing(config) as audit:
        collector = Collector(metadata, open_blobs(config), config.collection, audit, operator())
        try:
            if dry_run:
                await _explain(collector)
                return 0
            done = await collector.collect()
            if not quiet:
                print(
                    f"{done.blobs} blobs, {done.bytes} bytes deleted;"
                    f" {done.links} links, {done.uploads} unfinished uploads gone"
                )
                if config.collection.keep_deleted_hours:
                    print(f"what goes now is deleted after {config.collection.keep_deleted_hours:g} h")
            return 0
        finally:
            await collector.close()
            await metadata.close()


async def _explain(collector: Collector) -> None:
    reasons = await collector.explain(SHOWN)
    for reason in reasons:
        verb = "would go" if reason.goes else "stays"
        print(f"{verb:8} {reason.size:>12} {reason.repository} {reason.digest}: {reason.why}")
    going = {reason.digest: reason.size for reason in reasons if reason.goes}
    print(f"{len(going)} blobs, {sum(going.values())} bytes would go, unless others have them")


def check(config: Config, *, repair: bool, read_all: bool) -> int:
    """Checks everything that is stored; 1 when something is wrong and was not repaired."""
    return asyncio.run(_check(config, repair=repair, read_all=read_all))


async def _check(config: Config, *, repair: bool, read_all: bool) -> int:
    _require_database(config)
    metadata = _open(config)
    checker = Checker(
        metadata,
        open_blobs(config),
        settle=config.collection.grace_seconds,
        repair=repair,
        read_all=read_all,
    )
    wrong = repaired = spoilt = 0
    try:
        with auditing(config) as audit:
            async for finding in checker.run():
                if finding.repaired:
                    repaired += 1
                    audit.record(Record(operator(), "check.repair", "", _line(finding), source="command"))
                else:
                    wrong += 1
                    spoilt += finding.problem in BYTES
                print(_line(finding))
        if spoilt:
            again = "push an image that has such a blob, and it is taken anew"
            print(again if repair else f"run this with --repair, then {again}")
        stored = await metadata.stored()
        print(
            f"{stored.repositories} repositories, {stored.tags} tags, {stored.manifests} manifests,"
            f" {stored.blobs} blobs: {wrong or 'no'} problem{'s' if wrong != 1 else ''}"
            + (f", {repaired} repaired" if repaired else "")
        )
        return 1 if wrong else 0
    finally:
        await metadata.close()


def _line(finding: Finding) -> str:
    named = ", ".join(finding.needed_by)
    more = finding.needed - len(finding.needed_by)
    needed = f" ({named}{f' and {more} more' if more > 0 else ''} cannot be pulled)" if named else ""
    return f"{finding.what}: {finding.problem.value}{needed if not finding.repaired else ' (repaired)'}"


def write_backup(config: Config, path: str) -> int:
    """Writes all metadata to a file; the exit code."""
    begun = time.monotonic()
    _require_database(config)
    database = Database(config.database_url)
    try:
        with auditing(config) as audit:
            written = backup.write_backup(database, Path(path), __version__)
            audit.record(Record(operator(), "backup", "", path, source="command"))
    finally:
        database.close()
    print(
        f"{path}: {written.rows} rows, {written.size} bytes, in {time.monotonic() - begun:.1f} s; it holds no"
        " blobs, but hashes of passwords and keys"
    )
    return 0


def restore_backup(config: Config, path: str, *, replace: bool) -> int:
    """Puts a backup in the place of all metadata; 1 when the storage lacks blobs that it knows."""
    header = backup.read_header(Path(path))
    database = Database(config.database_url)
    try:
        with auditing(config) as audit:
            audit.require()
            rows = database.write(dumping.restore, lambda: backup.read_backup(Path(path)), replace)
            audit.record(Record(operator(), "restore", "", path, source="command"))
    finally:
        database.close()
    made = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(header.created / 1000))
    print(f"restored {rows} rows from {path}, made {made} by corten {header.corten} ({header.database})")
    return asyncio.run(_tell_missing(config))


def take_over(config: Config, path: str, workers: int) -> int:
    """Imports the directory of Docker's registry; 1 when something in it was left out."""
    if not 0 <= workers <= 256:
        raise InvalidArgument(f"invalid number of workers {workers}: 0 (one for each core) to 256")
    with auditing(config) as audit:
        return command.run(config, path, workers, audit, operator())


async def _tell_missing(config: Config) -> int:
    """What a collection after the backup has deleted, or what was restored without its storage."""
    metadata = _open(config)
    checker = Checker(metadata, open_blobs(config), settle=0, repair=False, read_all=False)
    missing = 0
    try:
        async for finding in checker.blobs():
            missing += 1
            print(_line(finding))
        stored = await metadata.stored()
    finally:
        await metadata.close()
    if missing:
        print(f"{missing} of {stored.blobs} blobs are not in the storage: corten registry check --repair")
        print("looks for them at other places of it; else push images that have them")
        return 1
    print(f"all of {stored.blobs} blobs are in the storage")
    return 0


def _require_database(config: Config) -> None:
    """A place that was mistyped must not become an empty registry."""
    path = make_url(config.database_url).database if config.uses_sqlite else None
    if path and not os.path.exists(path):
        raise NotFound(f"there is no registry's database {path}: give its --root, --database or --config")


def _open(config: Config) -> SqlMetadata:
    database = Database(config.database_url)
    database.migrate()
    return SqlMetadata(database)
