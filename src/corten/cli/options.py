"""Command line options from a table, with Docker's syntax; argparse alone costs more than the whole start-up.

An option is a tuple `(long, short, kind, metavar, help)`. `kind` is "bool", "str", "int" or "list" (which may
be given again). Accepted: `--flag`, `--flag=value`, `--flag value`, `-f value`, `-fvalue`, `-f=value`,
bundles (`-it`), and `--`.
"""

from __future__ import annotations

from corten.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    Option = tuple[str, str, str, str, str]

HELP: Option = ("help", "h", "bool", "", "Show this help")
_TRUE = ("1", "t", "true")
_FALSE = ("0", "f", "false")


class UsageError(InvalidArgument):
    """A command line that cannot be understood; the caller adds where to find help."""


class HelpWanted(Exception):
    """`--help` was given."""


class Arguments:
    """The options that were given, by long name, and the positional arguments."""

    __slots__ = ("rest", "values")

    def __init__(self, values: dict[str, bool | str | int | list[str]], rest: list[str]) -> None:
        self.values = values
        self.rest = rest

    def has(self, name: str) -> bool:
        """Whether the option was given."""
        return name in self.values

    def on(self, name: str, default: bool = False) -> bool:
        """A "bool" option."""
        return bool(self.values.get(name, default))

    def text(self, name: str, default: str = "") -> str:
        """A "str" option."""
        return str(self.values.get(name, default))

    def number(self, name: str, default: int = 0) -> int:
        """An "int" option."""
        value = self.values.get(name, default)
        return value if isinstance(value, int) else default

    def many(self, name: str) -> list[str]:
        """A "list" option: every value, in order."""
        value = self.values.get(name)
        return value if isinstance(value, list) else []


def parse(tokens: Sequence[str], options: Sequence[Option], *, interspersed: bool = True) -> Arguments:
    """Parses `tokens`. Not `interspersed`: options end at the first positional (run, exec)."""
    by_name = {f"--{option[0]}": option for option in options}
    by_name.update((f"-{option[1]}", option) for option in options if option[1])
    by_name.setdefault("--help", HELP)
    by_name.setdefault("-h", HELP)
    values: dict[str, bool | str | int | list[str]] = {}
    rest: list[str] = []
    position, end = 0, len(tokens)
    while position < end:
        token = tokens[position]
        position += 1
        if token == "--":
            rest.extend(tokens[position:])
            break
        if not token.startswith("-") or token == "-":
            if not interspersed:
                rest.extend(tokens[position - 1 :])
                break
            rest.append(token)
            continue
        for option, name, value in _split(token, by_name):
            if value is None and option[2] == "bool":
                value = "true"
            elif value is None:
                if position == end:
                    raise UsageError(f"flag needs an argument: {name}")
                value = tokens[position]
                position += 1
            _store(values, option, name, value)
    if values.get("help"):
        raise HelpWanted
    return Arguments(values, rest)


def _split(token: str, by_name: dict[str, Option]) -> list[tuple[Option, str, str | None]]:
    """The options in one token with the value that is part of it, if any."""
    if token.startswith("--"):
        name, equals, value = token.partition("=")
        option = by_name.get(name)
        if option is None:
            raise UsageError(f"unknown flag: {name}{_suggestion(name, by_name)}")
        return [(option, name, value if equals else None)]
    found: list[tuple[Option, str, str | None]] = []
    letters = token[1:]
    while letters:
        name, letters = f"-{letters[0]}", letters[1:]
        option = by_name.get(name)
        if option is None:
            where = f" in {token}" if len(token) > 2 else ""
            hint = _suggestion(f"-{token}", by_name) if len(token) > 3 else ""
            raise UsageError(f"unknown shorthand flag: {name[1]!r}{where}{hint}")
        if letters.startswith("="):
            return [*found, (option, name, letters[1:])]
        if option[2] != "bool":
            return [*found, (option, name, letters or None)]
        found.append((option, name, None))
    return found


def _suggestion(name: str, by_name: dict[str, Option]) -> str:
    from corten.cli.suggestion import closest

    near = closest(name, [known for known in by_name if known.startswith("--")])
    return f", did you mean {near}?" if near else ""


def _store(values: dict[str, bool | str | int | list[str]], option: Option, name: str, value: str) -> None:
    long, _short, kind, _metavar, _help = option
    if kind == "bool":
        if value.lower() not in _TRUE + _FALSE:
            raise UsageError(f"invalid value {value!r} for flag {name}: it is either true or false")
        values[long] = value.lower() in _TRUE
    elif kind == "int":
        try:
            values[long] = int(value, 0)
        except ValueError:
            raise UsageError(f"invalid value {value!r} for flag {name}: it must be a whole number") from None
    elif kind == "list":
        known = values.setdefault(long, [])
        assert isinstance(known, list)
        known.append(value)
    else:
        values[long] = value
