"""The commands that look after a registry, whether or not it serves meanwhile: `gc` and `check`."""

from __future__ import annotations

import asyncio

from corten.registry.blobs.opening import open_blobs
from corten.registry.check import Checker, Problem
from corten.registry.collect import Collector
from corten.registry.config import Config
from corten.registry.metadata.database import Database
from corten.registry.metadata.store import SqlMetadata

SHOWN = 100_000


def collect(config: Config, *, dry_run: bool, quiet: bool) -> int:
    """Collects garbage now, or tells what would go and why; the exit code."""
    return asyncio.run(_collect(config, dry_run=dry_run, quiet=quiet))


async def _collect(config: Config, *, dry_run: bool, quiet: bool) -> int:
    metadata = _open(config)
    collector = Collector(metadata, open_blobs(config), config.collection)
    try:
        if dry_run:
            reasons = await collector.explain(SHOWN)
            for reason in reasons:
                verb = "would go" if reason.goes else "stays"
                print(f"{verb:8} {reason.size:>12} {reason.repository} {reason.digest}: {reason.why}")
            going = {reason.digest: reason.size for reason in reasons if reason.goes}
            print(f"{len(going)} blobs, {sum(going.values())} bytes would go, unless others have them")
            return 0
        done = await collector.collect()
        if not quiet:
            print(
                f"{done.blobs} blobs, {done.bytes} bytes deleted;"
                f" {done.links} links, {done.uploads} unfinished uploads gone"
            )
        return 0
    finally:
        await collector.close()
        await metadata.close()


def check(config: Config, *, repair: bool, read_all: bool) -> int:
    """Checks everything that is stored; 1 when something is wrong and was not repaired."""
    return asyncio.run(_check(config, repair=repair, read_all=read_all))


async def _check(config: Config, *, repair: bool, read_all: bool) -> int:
    metadata = _open(config)
    checker = Checker(
        metadata,
        open_blobs(config),
        settle=config.collection.grace_seconds,
        repair=repair,
        read_all=read_all,
    )
    wrong = repaired = 0
    try:
        async for finding in checker.run():
            if finding.repaired:
                repaired += 1
            else:
                wrong += 1
            done = " (deleted)" if finding.repaired else ""
            print(f"{finding.what}: {finding.problem.value}{done}")
            if finding.problem in (Problem.MISSING, Problem.SIZE, Problem.CONTENT):
                again = "push an image that has it, and it is taken anew"
                print(f"    {again}" if repair else f"    run this with --repair, then {again}")
        counts = await metadata.counts()
        print(
            f"{counts['repositories']} repositories, {counts['tags']} tags, {counts['manifests']} manifests,"
            f" {counts['blobs']} blobs: {wrong or 'no'} problem{'s' if wrong != 1 else ''}"
            + (f", {repaired} repaired" if repaired else "")
        )
        return 1 if wrong else 0
    finally:
        await metadata.close()


def _open(config: Config) -> SqlMetadata:
    database = Database(config.database_url)
    database.migrate()
    return SqlMetadata(database)
