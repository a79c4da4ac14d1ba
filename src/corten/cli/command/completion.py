"""corten completion: scripts for bash, zsh and fish, made from the same tables as the help."""

from __future__ import annotations

from corten.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten completion bash|zsh|fish"
EXAMPLES = (
    "source <(corten completion bash)",
    "corten completion zsh > ~/.zfunc/_corten",
    "corten completion fish > ~/.config/fish/completions/corten.fish",
)
ARGS = (1, 1)
OPTIONS = ()


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    from corten.cli import completion

    shell = arguments.rest[0]
    scripts = {"bash": completion.bash, "zsh": completion.zsh, "fish": completion.fish}
    if shell not in scripts:
        raise InvalidArgument(f"no completion for {shell!r}: there is one for {', '.join(scripts)}")
    print(scripts[shell](), end="")
    return 0
