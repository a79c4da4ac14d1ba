"""Tables as plain data, and back: a backup says itself what its tables were, so that it can be restored by a
newer registry, which then upgrades what it has restored as it would upgrade any old database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.types import TypeEngine

from corten.errors import Unsupported

# The first that fits counts: Text is a String, and BigInteger an Integer, to SQLAlchemy.
_KINDS: tuple[tuple[str, type[TypeEngine[Any]]], ...] = (
    ("boolean", Boolean),
    ("bytes", LargeBinary),
    ("text", Text),
    ("string", String),
    ("bigint", BigInteger),
    ("integer", Integer),
    ("float", Float),
)


class ColumnDefinition(msgspec.Struct, frozen=True, omit_defaults=True):
    """A column. `collation` is PostgreSQL's; `serial`: the database gives it numbers; `default` is SQL."""

    name: str
    kind: str
    nullable: bool = False
    serial: bool = False
    collation: str = ""
    default: str = ""


class ForeignKeyDefinition(msgspec.Struct, frozen=True, omit_defaults=True):
    """Columns that are another table's."""

    columns: tuple[str, ...]
    targets: tuple[str, ...]
    on_delete: str = ""


class IndexDefinition(msgspec.Struct, frozen=True, omit_defaults=True):
    """An index by columns."""

    name: str
    columns: tuple[str, ...]
    unique: bool = False


class TableDefinition(msgspec.Struct, frozen=True, omit_defaults=True):
    """A table, without its rows."""

    name: str
    columns: tuple[ColumnDefinition, ...]
    key: tuple[str, ...]
    unique: tuple[tuple[str, ...], ...] = ()
    foreign_keys: tuple[ForeignKeyDefinition, ...] = ()
    indexes: tuple[IndexDefinition, ...] = ()


def define(table: Table) -> TableDefinition:
    """What `table` is. Unsupported for what cannot be said of it here."""
    unique = [constraint for constraint in table.constraints if isinstance(constraint, UniqueConstraint)]
    return TableDefinition(
        name=str(table.name),
        columns=tuple(_define_column(table, column) for column in table.columns),
        key=_names(table.primary_key.columns),
        unique=tuple(sorted(_names(one.columns) for one in unique)),
        foreign_keys=tuple(
            sorted(
                (
                    ForeignKeyDefinition(
                        tuple(str(name) for name in constraint.column_keys),
                        tuple(str(element.target_fullname) for element in constraint.elements),
                        constraint.ondelete or "",
                    )
                    for constraint in table.foreign_key_constraints
                ),
                key=lambda found: found.columns,
            )
        ),
        indexes=tuple(
            sorted(
                (
                    IndexDefinition(str(index.name), _names(index.columns), bool(index.unique))
                    for index in table.indexes
                ),
                key=lambda found: found.name,
            )
        ),
    )


def _names(columns: Iterable[Column[Any]]) -> tuple[str, ...]:
    # SQLAlchemy's names know whether they need quotes; these are plain.
    return tuple(str(column.name) for column in columns)


def _define_column(table: Table, column: Column[Any]) -> ColumnDefinition:
    kind = next((name for name, cls in _KINDS if isinstance(column.type, cls)), "")
    if not kind:
        raise Unsupported(f"{table.name}.{column.name} is of a type that no backup can hold: {column.type!r}")
    default = getattr(column.server_default, "arg", None)
    return ColumnDefinition(
        name=str(column.name),
        kind=kind,
        nullable=bool(column.nullable),
        serial=table.autoincrement_column is column,
        collation=getattr(column.type, "collation", None) or "",
        default=str(getattr(default, "text", default)) if default is not None else "",
    )


def build(definitions: Sequence[TableDefinition]) -> MetaData:
    """Tables as they were defined, for SQLite and for PostgreSQL. Unsupported when a kind is not known."""
    metadata = MetaData()
    for definition in definitions:
        Table(
            definition.name,
            metadata,
            *(_build_column(column) for column in definition.columns),
            PrimaryKeyConstraint(*definition.key),
            *(UniqueConstraint(*columns) for columns in definition.unique),
            *(
                ForeignKeyConstraint(key.columns, key.targets, ondelete=key.on_delete or None)
                for key in definition.foreign_keys
            ),
            *(Index(index.name, *index.columns, unique=index.unique) for index in definition.indexes),
        )
    return metadata


def _build_column(definition: ColumnDefinition) -> Column[Any]:
    cls = dict(_KINDS).get(definition.kind)
    if cls is None:
        raise Unsupported(f"a column of the kind {definition.kind!r} is not known to this corten")
    kind: TypeEngine[Any]
    if definition.collation:
        kind = String(collation=definition.collation).with_variant(String(), "sqlite")
    elif cls is BigInteger:
        # SQLite gives numbers only to keys whose type is exactly INTEGER.
        kind = BigInteger().with_variant(Integer(), "sqlite")
    else:
        kind = cls()
    return Column(
        definition.name,
        kind,
        nullable=definition.nullable,
        autoincrement=definition.serial,
        server_default=text(definition.default) if definition.default else None,
    )
