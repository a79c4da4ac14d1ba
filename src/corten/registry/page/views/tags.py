"""A repository: its tags with platforms, sizes, ages and referrers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from corten.registry.errors import Code, RegistryError
from corten.registry.metadata.browsing_records import ManifestRow, TagRow
from corten.registry.page import addresses, kinds
from corten.registry.page.commands import pull_commands
from corten.registry.page.visit import Shown, Visit

PAGE = 50
MOST_REFERRERS = 500
MOST_UNTAGGED = 50
WORD = 128


async def show(visit: Visit) -> Shown:
    repository = visit.address.repository
    if "untagged" in visit.query:
        return await _untagged(visit)
    word = visit.query.get("q", "").strip()[:WORD]
    by_name = visit.query.get("order") == "name"
    rows = await visit.browser.tag_rows(repository, word.lower(), _after(visit, by_name), PAGE + 1)
    total = await visit.browser.tag_count(repository)
    if not total:
        return await _untagged(visit)
    more, rows = len(rows) > PAGE, rows[:PAGE]
    facts = await visit.facts({row.digest: row.facts for row in rows})
    referrers = await _referrers(visit, [row.digest for row in rows])
    shown = [_row(row, facts, referrers) for row in rows]
    images = [row for row in shown if row["attached"] is None]
    newest = next(iter(images), None)
    return Shown(
        "tags.html",
        {
            "repository": repository,
            "q": word,
            "by_name": by_name,
            "rows": shown,
            "total": total,
            "is_first": "after" not in visit.query,
            "next": _next(repository, word, by_name, rows[-1]) if more else "",
            "comparable": [row["tag"].name for row in images],
            "newest": newest,
            "commands": pull_commands(
                visit, newest["facts"].kind if newest["facts"] else "", tag=newest["tag"].name
            )
            if newest
            else [],
        },
    )


def _after(visit: Visit, by_name: bool) -> tuple[int, str] | str | None:
    text = visit.query.get("after", "")[:160]
    if by_name:
        return text
    moment, _, name = text.partition(":")
    return (int(moment), name) if moment.isascii() and moment.isdigit() and len(moment) < 16 else None


def _next(repository: str, word: str, by_name: bool, last: TagRow) -> str:
    after = last.name if by_name else f"{last.updated}:{last.name}"
    return addresses.tags(repository, q=word, order="name" if by_name else "", after=after)


def _row(row: TagRow, facts: dict[str, Any], referrers: dict[str, Counter[str]]) -> dict[str, Any]:
    attached = kinds.legacy_referrer(row.name)
    return {
        "tag": row,
        "facts": facts.get(row.digest),
        "referrers": sorted(referrers.get(row.digest, Counter()).items()),
        "attached": attached,
    }


async def _referrers(visit: Visit, digests: Sequence[str]) -> dict[str, Counter[str]]:
    """Kinds of what refers to each, with how many there are."""
    found: dict[str, Counter[str]] = {}
    rows: list[ManifestRow] = await visit.browser.referrer_rows(
        visit.address.repository, list(dict.fromkeys(digests)), MOST_REFERRERS
    )
    for row in rows:
        found.setdefault(row.subject, Counter())[kinds.of_type(row.artifact_type)] += 1
    legacy = {tag: (digest, kind) for digest in digests for tag, kind in kinds.legacy_tags(digest).items()}
    for tag in await visit.browser.existing_tags(visit.address.repository, list(legacy)):
        digest, kind = legacy[tag]
        found.setdefault(digest, Counter())[kind] += 1
    return found


async def _untagged(visit: Visit) -> Shown:
    repository = visit.address.repository
    rows = await visit.browser.untagged_rows(repository, MOST_UNTAGGED + 1)
    total = await visit.browser.tag_count(repository)
    if not rows and not total and not await visit.browser.has_manifests(repository):
        raise RegistryError(Code.NAME_UNKNOWN, f"there is no repository {repository} in this registry")
    facts = await visit.facts({row.digest: row.facts for row in rows})
    return Shown(
        "untagged.html",
        {
            "repository": repository,
            "rows": [{"manifest": row, "facts": facts.get(row.digest)} for row in rows[:MOST_UNTAGGED]],
            "more": len(rows) > MOST_UNTAGGED,
            "total": total,
        },
    )
