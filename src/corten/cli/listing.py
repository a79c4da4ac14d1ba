"""Rows for a person or a program: `--format`, `-q`, tables with Docker's columns and spacing."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    Row = dict[str, Any]


def align(rows: Sequence[Sequence[str]], padding: int = 3, minimum: int = 10) -> list[str]:
    """Columns as Go's tabwriter sets them for Docker: the widest cell and three spaces, ten at least."""
    widths: list[int] = []
    for row in rows:
        for column, cell in enumerate(row[:-1]):
            if column == len(widths):
                widths.append(minimum)
            widths[column] = max(widths[column], len(cell) + padding)
    return [
        "".join(cell.ljust(widths[column]) for column, cell in enumerate(row[:-1])) + (row[-1] if row else "")
        for row in rows
    ]


def show(
    rows: Sequence[Row],
    *,
    headers: Mapping[str, str],
    columns: Sequence[str],
    style: str = "",
    quiet: str = "",
) -> None:
    """Prints `rows`: placeholders by name. `style` is `--format`; `quiet` names the only field to print.

    `headers` gives each placeholder's column title, `columns` those of the default table.
    """
    text = render(rows, headers=headers, columns=columns, style=style, quiet=quiet)
    if text:
        sys.stdout.write(text)


def render(
    rows: Sequence[Row],
    *,
    headers: Mapping[str, str],
    columns: Sequence[str],
    style: str = "",
    quiet: str = "",
) -> str:
    """The text that `show` prints."""
    if quiet and (not style or style == "table"):
        return "".join(f"{row[quiet]}\n" for row in rows)
    if style in ("", "table"):
        table = [[headers[column] for column in columns]]
        table += [[str(row[column]) for column in columns] for row in rows]
        return "".join(f"{line}\n" for line in align(table))
    from corten.cli.template import Template, to_json

    if style == "json":
        return "".join(f"{to_json(dict(sorted(row.items())))}\n" for row in rows)
    if not style.startswith("table "):
        template = Template(_unescape(style))
        return "".join(f"{template.render(_Sorted(row))}\n" for row in rows)
    template = Template(_unescape(style[6:]))
    titles: dict[str, Any] = dict(headers)
    titles["Label"] = lambda name: name
    lines = [template.render(titles), *(template.render(_Sorted(row)) for row in rows)]
    return "".join(f"{line}\n" for line in align([line.split("\t") for line in lines]))


class _Sorted(dict):  # type: ignore[type-arg]
    """A row whose `{{json .}}` has its keys in order, as Docker's has."""

    def __init__(self, row: Mapping[str, object]) -> None:
        super().__init__(sorted(row.items()))


def _unescape(text: str) -> str:
    """A shell's single quotes keep `\\t` and `\\n` as they are typed; Docker's client turns them."""
    return text.replace("\\t", "\t").replace("\\n", "\n")


def filters(values: Sequence[str]) -> dict[str, str]:
    """The query of `--filter KEY=VALUE ...`."""
    if not values:
        return {}
    from corten.client import jsontext
    from corten.errors import InvalidArgument

    table: dict[str, list[str]] = {}
    for value in values:
        key, equals, rest = value.partition("=")
        if not equals or not key:
            raise InvalidArgument(f"invalid filter {value!r}: write it as KEY=VALUE")
        table.setdefault(key.strip().lower(), []).append(rest.strip())
    return {"filters": jsontext.dumps(table).decode()}


def print_json(value: object, indent: int = 4) -> None:
    """Pretty JSON on stdout, as `docker inspect` prints it."""
    import json

    print(json.dumps(value, indent=indent, ensure_ascii=False))
