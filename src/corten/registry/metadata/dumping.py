"""Every row of every table, as it was at one moment; and back into a database.

What is in the tables decides: a table that is added to `schema.py` is in the next backup.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Column, Connection, MetaData, Table, exists, func, inspect, select, text

from corten.errors import ArchiveError, Conflict, NotFound, Unsupported
from corten.registry.metadata.definitions import TableDefinition, build, define
from corten.registry.metadata.migrations import CURRENT, STEPS, Step, lock, migrate, version
from corten.registry.metadata.schema import TABLES

# Who does what at this moment is nothing to come back to, and two registries must not have one name. Versions
# are said in the backup's own words.
LEFT_OUT = frozenset({"instance", "leases", "schema_version"})
# A registry that has been started, and has nothing, may have rows in these.
_ITS_OWN = LEFT_OUT | {"account_state", "signing_keys", "upstream_pauses"}
BATCH = 500

Row = list[Any]


class Dump(msgspec.Struct, frozen=True):
    """What the rows of a backup are rows of."""

    schema: int
    tables: tuple[TableDefinition, ...]


def dump(connection: Connection, take: Callable[[Dump | str | Row], None]) -> None:
    """Gives `take` a Dump, then each table's name and its rows, in an order in which they can be inserted.

    Unsupported when the database is of another version than this corten's.
    """
    found = version(connection)
    if not found:
        raise NotFound("there is no registry in this database")
    if found != CURRENT:
        raise Unsupported(
            f"the registry's database is of version {found}, and this corten makes backups of {CURRENT}: use"
            " the corten that serves it, or let this one serve it once, which upgrades it"
        )
    tables = TABLES.sorted_tables
    take(Dump(CURRENT, tuple(define(table) for table in tables)))
    for table in tables:
        if table.name in LEFT_OUT:
            continue
        take(str(table.name))
        rows = connection.execute(
            select(table).order_by(*table.primary_key.columns), execution_options={"yield_per": BATCH}
        )
        for row in rows:
            take([_plain(value) for value in row])


def _plain(value: Any) -> Any:
    if isinstance(value, (bytes, memoryview)):
        return base64.b64encode(value).decode()
    return value


def restore(
    connection: Connection,
    open_rows: Callable[[], Iterable[Dump | str | Row]],
    replace: bool,
    steps: Mapping[int, Step] = STEPS,
) -> int:
    """Puts what `dump` has given in the place of what is there, and upgrades it; how many rows that were.

    All of it in the caller's transaction. Conflict when something is there and `replace` is not set,
    Unsupported when a newer registry has made the backup, ArchiveError when its rows are none.
    """
    lock(connection)
    current = max(steps, default=1)
    if version(connection) > current:
        migrate(connection, steps)  # says why not
    if not replace:
        _require_empty(connection)
    entries = iter(open_rows())
    described = next(entries, None)
    if not isinstance(described, Dump):
        raise ArchiveError("the backup does not say what its tables are")
    if described.schema > current:
        raise Unsupported(
            f"the backup is of version {described.schema}, and this corten knows {current}: restore it with"
            " the corten that made it, or a newer one"
        )
    tables = build(described.tables)
    TABLES.drop_all(connection)
    tables.create_all(connection)
    connection.execute(tables.tables["schema_version"].insert().values(version=described.schema))
    count = _load(connection, tables, entries)
    _number_on(connection, tables)
    migrate(connection, steps)
    return count


def _require_empty(connection: Connection) -> None:
    here = set(inspect(connection).get_table_names())
    for table in TABLES.sorted_tables:
        if table.name in _ITS_OWN or table.name not in here:
            continue
        if connection.execute(select(exists(select(table.primary_key.columns[0])))).scalar_one():
            number = connection.execute(select(func.count()).select_from(table)).scalar_one()
            raise Conflict(
                f"the registry's database is not empty, it has {number} {table.name.replace('_', ' ')}:"
                " restore into another one, or give --replace to lose all that it knows"
            )


def _load(connection: Connection, tables: MetaData, entries: Iterator[Dump | str | Row]) -> int:
    count = 0
    table: Table | None = None
    decoders: Sequence[Callable[[Any], Any]] = ()
    names: Sequence[str] = ()
    batch: list[dict[str, Any]] = []

    def flush() -> None:
        if batch and table is not None:
            connection.execute(table.insert(), batch)
            batch.clear()

    for entry in entries:
        if isinstance(entry, str):
            flush()
            table = tables.tables.get(entry)
            if table is None:
                raise ArchiveError(f"the backup has rows of {entry!r}, and does not say what that is")
            names = [column.name for column in table.columns]
            decoders = [_decoder(column) for column in table.columns]
        elif isinstance(entry, list) and table is not None and len(entry) == len(names):
            batch.append(
                {name: decode(value) for name, decode, value in zip(names, decoders, entry, strict=True)}
            )
            count += 1
            if len(batch) == BATCH:
                flush()
        else:
            raise ArchiveError("the backup has a row that is none of its tables'")
    flush()
    return count


def _decoder(column: Column[Any]) -> Callable[[Any], Any]:
    if column.type.python_type is bytes:
        return lambda value: base64.b64decode(value) if value is not None else None
    return lambda value: value


def _number_on(connection: Connection, tables: MetaData) -> None:
    """New rows get numbers behind those that were restored."""
    if connection.dialect.name != "postgresql":
        return  # SQLite looks for the largest itself
    for table in tables.sorted_tables:
        column = table.autoincrement_column
        if column is not None:
            last = connection.execute(select(func.max(column))).scalar()
            connection.execute(
                text("SELECT setval(pg_get_serial_sequence(:table, :column), :value, false)"),
                {"table": table.name, "column": column.name, "value": (last or 0) + 1},
            )
