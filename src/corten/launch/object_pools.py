"""Room for new objects in one place.

CPython keeps free blocks of one size in lists, wherever they lie. A fork that makes some fifty objects gets a
copy of each page that it puts one on: with blocks that lie about between others, of fifty pages. Where none
is free, new objects lie side by side on few pages: an idle monitor has 660 KiB of its own instead of 780 to
800 (Linux 6.18, CPython 3.11).
"""

from __future__ import annotations

_POOL = 1 << 14  # bytes: what the allocator divides into blocks of one size, ...
_HEADER = 48  # ... of which the first begins here
_BLOCKS = range(16, 513, 16)
_MOST = 4096  # of one size; a CPython that was built without this allocator has no pools to wait for
_BATCH = 2048  # bytes that are taken between two looks at where they are: to look takes blocks, too
_RUN = 8  # so many side by side from a pool's beginning are no holes, of which one may be there as well

_taken: list[object] = []


def fill_object_pools() -> None:
    """Take all blocks that are free between others, up to the first ones of a pool that is new, for good."""
    for size in _BLOCKS:
        if not _fill(size):
            break


def _fill(size: int) -> bool:
    """Whether a new pool was found."""
    batch = _BATCH // size
    for _number in range(_MOST // batch):
        for _block_number in range(batch):
            _taken.append(_block(size))
        if _is_in_new_pool(size, batch + _RUN):
            return True
    return False


def _is_in_new_pool(size: int, count: int) -> bool:
    """Whether a new pool has begun among the last `count` blocks."""
    places = [id(block) for block in _taken[-count:]]
    return any(
        place % _POOL == _HEADER
        and places[index : index + _RUN] == [place + size * step for step in range(_RUN)]
        for index, place in enumerate(places)
    )


def _block(size: int) -> object:
    if size == 16:
        return object()
    if size == 32:
        return float(size)  # 24 bytes, which are rounded up
    return bytes(size - 33)  # these come before the contents
