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

_taken: list[object] = []


def fill_object_pools() -> None:
    """Take all blocks that are free between others, up to the first of a pool that is new, for good."""
    for size in _BLOCKS:
        for _number in range(_MOST):
            block = _block(size)
            _taken.append(block)
            if id(block) % _POOL == _HEADER:
                break
        else:
            break


def _block(size: int) -> object:
    if size == 16:
        return object()
    if size == 32:
        return float(size)  # 24 bytes, which are rounded up
    return bytes(size - 33)  # these come before the contents
