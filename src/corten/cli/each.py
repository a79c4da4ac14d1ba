"""One operation on each of several objects: what works is printed, what fails is told, and the exit code says
so."""

from __future__ import annotations

import sys

from corten.errors import CortenError, NotModified

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def each(names: Sequence[str], operation: Callable[[str], object], *, show: bool = True) -> int:
    """Runs `operation` for each name; 0 when all went well. What is so already (a 304) counts as done."""
    code = 0
    for name in names:
        try:
            operation(name)
        except NotModified:
            pass
        except CortenError as error:
            sys.stdout.flush()
            print(f"corten: {error.message}", file=sys.stderr)
            code = 1
            continue
        if show:
            print(name, flush=True)
    return code


def confirm(question: str, force: bool) -> bool:
    """Docker's question before a prune. Without a terminal nobody can answer: then only --force goes on."""
    if force:
        return True
    print(f"WARNING! {question}", file=sys.stderr)
    try:
        answer = input("Are you sure you want to continue? [y/N] ")
    except EOFError:
        answer = ""
    return answer.strip().lower() in ("y", "yes")
