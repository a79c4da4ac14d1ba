"""A small parser of command lines: argparse alone would take longer to import than a container to start."""

from __future__ import annotations

from corten.errors import InvalidArgument


class Options:
    """What a verb accepts: `values` take an argument, `lists` may be given again, `flags` stand alone.

    Keys are long names; the value is the short letter or "".
    """

    def __init__(
        self,
        usage: str,
        *,
        values: dict[str, str] | None = None,
        lists: dict[str, str] | None = None,
        flags: dict[str, str] | None = None,
    ) -> None:
        self.usage = usage
        self.values = values or {}
        self.lists = lists or {}
        self.flags = flags or {}

    def parse(self, arguments: list[str], *, count: tuple[int, int | None] = (0, 0)) -> Parsed:
        """The options, up to the first word that is none, and the words; `count` is how many there may be."""
        parsed, rest = self.parse_leading(arguments)
        minimum, maximum = count
        if len(rest) < minimum or (maximum is not None and len(rest) > maximum):
            raise InvalidArgument(f"usage: corten-runtime {self.usage}")
        parsed.words = rest
        return parsed

    def parse_leading(self, arguments: list[str]) -> tuple[Parsed, list[str]]:
        parsed = Parsed()
        rest = list(arguments)
        while rest and rest[0].startswith("-") and rest[0] != "-":
            word = rest.pop(0)
            if word == "--":
                break
            name, separator, value = word.lstrip("-").partition("=")
            name = self._long(name)
            if name in self.flags:
                if separator and value not in ("true", "false"):
                    raise InvalidArgument(f"option --{name} takes no argument")
                if value != "false":
                    parsed.flags.add(name)
                continue
            if not separator:
                if not rest:
                    raise InvalidArgument(f"option --{name} needs an argument")
                value = rest.pop(0)
            if name in self.lists:
                parsed.lists.setdefault(name, []).append(value)
            else:
                parsed.values[name] = value
        return parsed, rest

    def _long(self, name: str) -> str:
        for table in (self.flags, self.values, self.lists):
            for long, short in table.items():
                if name in (long, short):
                    return long
        raise InvalidArgument(f"there is no option --{name}; usage: corten-runtime {self.usage}")


class Parsed:
    """The options of one command line."""

    def __init__(self) -> None:
        self.flags: set[str] = set()
        self.values: dict[str, str] = {}
        self.lists: dict[str, list[str]] = {}
        self.words: list[str] = []

    def number(self, name: str, default: int = 0) -> int:
        text = self.values.get(name)
        if text is None:
            return default
        try:
            return int(text)
        except ValueError:
            raise InvalidArgument(f"option --{name} needs a number, not {text!r}") from None
