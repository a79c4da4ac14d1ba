"""What a backup says of its tables is all that there is to say."""

from __future__ import annotations

import pytest

pytest.importorskip("sqlalchemy")

import msgspec
from sqlalchemy import Column, Interval, MetaData, Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from corten.errors import Unsupported
from corten.registry.metadata.definitions import TableDefinition, build, define
from corten.registry.metadata.schema import TABLES


@pytest.mark.parametrize("name", sorted(TABLES.tables))
def test_every_table_is_built_as_it_was(name: str) -> None:
    definitions = [define(table) for table in TABLES.sorted_tables]
    written = msgspec.json.decode(msgspec.json.encode(definitions), type=list[TableDefinition])
    assert written == definitions
    ours, theirs = TABLES.tables[name], build(written).tables[name]
    assert define(theirs) == define(ours)
    dialect = postgresql.dialect()

    def lines(table: Table) -> list[str]:
        text = str(CreateTable(table).compile(dialect=dialect))
        return sorted(line.strip(", \t") for line in text.splitlines())

    assert lines(theirs) == lines(ours)
    indexes = [
        sorted(str(CreateIndex(index).compile(dialect=dialect)) for index in table.indexes)
        for table in (ours, theirs)
    ]
    assert indexes[0] == indexes[1]


def test_what_cannot_be_said_is_refused() -> None:
    with pytest.raises(Unsupported, match=r"odd\.time"):
        define(Table("odd", MetaData(), Column("time", Interval, primary_key=True)))
