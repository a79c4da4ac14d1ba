"""The repositories, and the search over names, labels and annotations."""

from __future__ import annotations

from typing import Any

from corten.registry.metadata.browsing_records import FoundRepository
from corten.registry.page import addresses
from corten.registry.page.visit import Shown, Visit

PAGE = 50
MOST_WORDS = 6
WORD = 100
LINES = 400
MOST_ROWS = 2000
LIST_SECONDS = 0.2
WAIT_SECONDS = 0.5
"""A search waits so long for images that nobody has looked at yet, and then goes without the rest."""


async def show(visit: Visit) -> Shown:
    text = visit.query.get("q", "")[: MOST_WORDS * WORD]
    words = [word[:WORD] for word in text.lower().split()[:MOST_WORDS]]
    left = await visit.describer.catch_up(WAIT_SECONDS if words else LIST_SECONDS)
    found = await _visible(visit, words, _after(visit.query.get("after", "")))
    more = len(found) > PAGE
    found = found[:PAGE]
    details = await visit.browser.repository_details([entry.name for entry in found])
    reasons = await _reasons(visit, found, words)
    return Shown(
        "repositories.html",
        {
            "q": " ".join(text.split()),
            "rows": [
                {"details": details[entry.name], "reason": reasons.get(entry.name, "")}
                for entry in found
                if entry.name in details
            ],
            "left": left if words else 0,
            "is_first": "after" not in visit.query,
            "next": addresses.repositories(q=text, after=f"{found[-1].rank}:{found[-1].name}")
            if more
            else "",
        },
    )


def _after(text: str) -> tuple[int, str]:
    rank, _, name = text.partition(":")
    return (1 if rank == "1" else 0, name)


async def _visible(visit: Visit, words: list[str], after: tuple[int, str]) -> list[FoundRepository]:
    """One more than a page has, of those that the caller may see."""
    wanted = PAGE + 1
    limit = wanted * 2
    visible: list[FoundRepository] = []
    while True:
        found = await visit.browser.found_repositories(words, after, limit)
        for entry in found:
            if await visit.may_see(entry.name):
                visible.append(entry)
                if len(visible) == wanted:
                    return visible
        if len(found) < limit:
            return visible
        after = (found[-1].rank, found[-1].name)
        limit = min(2 * limit, MOST_ROWS)  # who sees little in a large registry needs few questions


async def _reasons(visit: Visit, found: list[FoundRepository], words: list[str]) -> dict[str, str]:
    """The label or annotation for which a repository was found, where its name does not tell."""
    names = [entry.name for entry in found if entry.rank]
    if not names:
        return {}
    reasons: dict[str, str] = {}
    missing = {name: [word for word in words if word not in name] for name in names}
    for name, lines in await visit.browser.matching_words(names, words, LINES):
        if name not in reasons:
            fitting: Any = (line for line in lines.split("\n") if any(w in line for w in missing[name]))
            if line := next(fitting, ""):
                reasons[name] = line
    return reasons
