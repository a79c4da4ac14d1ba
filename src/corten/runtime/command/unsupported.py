"""`checkpoint` and `restore`."""

from __future__ import annotations

from corten.errors import Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.runtime.command.main import Context


def run(context: Context, arguments: list[str]) -> int:
    raise Unsupported(f"{context.verb} is not implemented: this runtime has no CRIU support")
