"""Help texts: `corten --help`, of a group, and of a command, from the same tables that the parser reads."""

from __future__ import annotations

import os
import sys

from corten.cli import commands, options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_INTRODUCTION = "Corten runs containers: images, isolation, volumes and networks, in pure Python."


class Style:
    """Bold and dim text for a terminal; nothing where there is none or NO_COLOR is set."""

    def __init__(self) -> None:
        self.on = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def heading(self, text: str) -> str:
        """A section's title."""
        return f"\x1b[1;33m{text}\x1b[0m" if self.on else text

    def name(self, text: str) -> str:
        """A command or a flag."""
        return f"\x1b[1m{text}\x1b[0m" if self.on else text

    def dim(self, text: str) -> str:
        """What is less important."""
        return f"\x1b[2m{text}\x1b[0m" if self.on else text


def show(words: Sequence[str]) -> int:
    """Prints the help of the command in `words`, or of all."""
    style = Style()
    if not words:
        _print(_overview(style))
        return 0
    module = commands.find(words[0])
    if module is None:
        raise options.UsageError(f"{words[0]!r} is not a corten command")
    own, rest = [words[0]], list(words[1:])
    while not module:
        group = " ".join(own)
        if not rest:
            _print(_group(group, style))
            return 0
        module = commands.find_sub(group, rest[0])
        if module is None:
            raise options.UsageError(f"'{group} {rest[0]}' is not a corten command")
        own.append(rest.pop(0))
    _print(command_help(module, own, style))
    return 0


def _print(lines: list[str]) -> None:
    print("\n".join(lines))


def summary(words: Sequence[str]) -> str:
    """The line that a table of commands has for the command in `words`."""
    if len(words) > 1:
        group, name = " ".join(words[:-1]), words[-1]
        real = commands.ALIASES.get(group, {}).get(name, name)
        return next(text for name, _module, text in commands.SUBCOMMANDS[group] if name == real)
    return next(
        text for _title, members in commands.GROUPS for name, _module, text in members if name == words[0]
    )


def _overview(style: Style) -> list[str]:
    lines = [
        f"{style.heading('Usage:')}  corten [OPTIONS] COMMAND",
        "",
        _INTRODUCTION,
    ]
    for title, members in commands.GROUPS:
        lines += ["", style.heading(f"{title}:")]
        lines += [f"  {style.name(name.ljust(11))} {text}" for name, _module, text in members]
    from corten.cli.main import GLOBAL_OPTIONS

    lines += ["", style.heading("Options:"), *_options(GLOBAL_OPTIONS, style)]
    lines += [
        "",
        style.heading("Examples:"),
        f"  corten image bootstrap busybox       {style.dim('# a base image, without internet')}",
        f"  corten run --rm -it busybox          {style.dim('# a shell in a container')}",
        "  corten run -d --name web -p 8080:80 -v site:/www busybox httpd -f -h /www",
        "",
        "'corten COMMAND --help' tells more about a command. 'corten doctor' checks this host.",
    ]
    return lines


def _group(name: str, style: Style) -> list[str]:
    lines = [f"{style.heading('Usage:')}  corten {name} COMMAND", "", summary(name.split()), ""]
    lines.append(style.heading("Commands:"))
    lines += [f"  {style.name(sub.ljust(11))} {text}" for sub, _module, text in commands.SUBCOMMANDS[name]]
    sub, module, _summary = commands.SUBCOMMANDS[name][0]
    example = __import__(f"corten.cli.command.{module}", fromlist=("run",)).EXAMPLES[0]
    lines += ["", style.heading("Example:"), f"  {_as_called(example, [*name.split(), sub])}"]
    lines += ["", f"'corten {name} COMMAND --help' tells more about a command."]
    return lines


def _as_called(text: str, words: Sequence[str]) -> str:
    """An example or usage line of a module that serves two names (`ps` and `container ls`), under this
    name."""
    parts = text.split(" ")
    if parts[0] != "corten" or parts[1 : 1 + len(words)] == list(words):
        return text
    own = 2 if parts[1] in commands.SUBCOMMANDS and len(parts) > 2 else 1
    return " ".join(["corten", *words, *parts[1 + own :]])


def command_help(module_name: str, words: Sequence[str], style: Style) -> list[str]:
    """Usage, what it does, examples, options."""
    module = __import__(f"corten.cli.command.{module_name}", fromlist=("run",))
    lines = [f"{style.heading('Usage:')}  {_as_called(module.USAGE, words)}", "", summary(words)]
    if detail := getattr(module, "DETAIL", ""):
        lines += ["", detail.strip()]
    examples = [_as_called(example, words) for example in module.EXAMPLES]
    lines += ["", style.heading("Examples:" if len(examples) > 1 else "Example:")]
    lines += [f"  {example}" for example in examples]
    lines += ["", style.heading("Options:"), *_options((*module.OPTIONS, options.HELP), style)]
    return lines


def _options(table: Sequence[options.Option], style: Style) -> list[str]:
    labels = []
    for long, short, kind, metavar, text in sorted(table, key=lambda option: option[0]):
        if text.startswith("(hidden)"):
            continue
        value = "" if kind == "bool" else f" {metavar or ('N' if kind == 'int' else 'VALUE')}"
        labels.append((f"-{short}," if short else "   ", f"--{long}", value, text))
    width = min(max(len(label[1]) + len(label[2]) for label in labels), 34)
    import shutil
    import textwrap

    room = max(shutil.get_terminal_size((100, 24)).columns - width - 9, 30)
    lines = []
    for short, name, value, text in labels:
        pad = " " * max(width - len(name) - len(value), 0)
        wrapped = textwrap.wrap(text, room) or [""]
        lines.append(f"  {short} {style.name(name)}{style.dim(value)}{pad}  {wrapped[0]}")
        lines += [" " * (width + 8) + line for line in wrapped[1:]]
    return lines
