"""The word that was meant: the one that is nearest to what was written."""

from __future__ import annotations

from collections.abc import Iterable

_FARTHEST = 2


def suggestion(written: str, known: Iterable[str], *, fold_case: bool = False) -> str:
    """` (did you mean WORD?)`, or nothing where no word of `known` is two changes away or nearer. With
    `fold_case` case does not matter, and the word comes in the case of what was written."""
    wanted = written.lower() if fold_case else written
    nearest, distance = "", _FARTHEST + 1
    for word in known:
        if wanted == word:
            return ""
        changes = _distance(wanted, word, distance)
        if changes < distance:
            nearest, distance = word, changes
    if not nearest:
        return ""
    if fold_case and written == written.upper():
        nearest = nearest.upper()
    return f" (did you mean {nearest}?)"


def _distance(left: str, right: str, limit: int) -> int:
    """Levenshtein's; `limit` where it is that much or more."""
    if abs(len(left) - len(right)) >= limit:
        return limit
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        previous = row[0]
        row[0] = i
        for j, b in enumerate(right, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (a != b))
        if min(row) >= limit:
            return limit
    return min(row[-1], limit)
