"""A table of unknown origin, read by the roles the user gives its columns; never recognised by itself.

Written, it has a column for each role, and one for each custom field under its label.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

from migrate.adapter import Adapter, Parsed, Signature
from migrate.columns import Dialect, Plan, Row, reader, with_extra
from migrate.decoding import decode
from migrate.draft import Column
from migrate.giving import Outgoing
from migrate.leaving import Leaving
from migrate.shape import Shape
from migrate.source import Source
from migrate.tables import Table, table_of

SIGNATURE = Signature(
    product="mapped table",
    suffix=".csv",
    kind="csv",
    export_steps="say what each column is: --map COLUMN=ROLE; keyferry inspect shows the columns",
    cannot_hold=("attachments", "passkeys", "old passwords"),
)
USUAL = ("title", "username", "password", "url", "totp", "notes", "folder", "tags", "favorite")


def parse(source: Source) -> Parsed:
    """Read the rows; raises ``UndecidedColumns`` before the first where a column has no role."""
    from migrate import mapping
    from migrate.roles import SECRET

    roles: dict[str, str] = source.options.get("map") or {}
    text = decode(source.data, source.name, source.options.get("encoding"))
    table = table_of(text, source.name, delimiter=source.options.get("delimiter"))
    secrets = [number for number, column in enumerate(table.header) if roles.get(column) in SECRET]
    filled = _filled(table, secrets) if len(roles) >= len(table.header) else set()
    mapping.check(table.header, roles, filled, source.name)
    parsed = _plan(roles).parse(source)
    parsed.extras["map"] = roles
    return parsed


def _filled(table: Table, columns: Sequence[int]) -> set[str]:
    """Return the names of those columns that have something in them; of all where there is no row."""
    found, is_empty = set[str](), True
    for line in table.lines:
        is_empty = is_empty and not any(line.cells)
        found.update(table.header[n] for n in columns if n < len(line.cells) and line.cells[n])
    return {table.header[n] for n in columns} if is_empty else found


def shape_of(options: Mapping[str, Any]) -> Shape:
    """Return the shape of a row, which is what its columns were said to be."""
    from migrate.roles import COLUMNS

    roles = options.get("map") or {}
    return {
        name: column.shape
        for name, role in roles.items()
        if (column := COLUMNS.get(role)) is not None and column.shape is not None
    }


def render(out: Outgoing, file: BinaryIO) -> None:
    """Write the columns the table had, or one for each usual role."""
    kept = out.extras.get(out.format, {}).get("map")
    roles = kept if isinstance(kept, dict) and kept else {role: role for role in USUAL}
    _plan(roles).render(out, file)


def _plan(roles: Mapping[str, str]) -> Plan:
    from migrate.roles import COLUMNS

    columns = {name: COLUMNS[role] for name, role in roles.items() if role in COLUMNS}
    return Plan(
        SIGNATURE,
        columns,
        Dialect(),
        reader(columns),
        lambda leaving: [_row(leaving, columns)],
        {},
        lambda _: tuple(roles),
        lambda _, __: (),
    )


def _row(leaving: Leaving, columns: Mapping[str, Column]) -> Row:
    """Return the item's row: its columns, then a further one for each text that has none."""
    row: Row = {name: column.write(leaving) for name, column in columns.items()}
    for one in leaving.fields():
        label, number = one.label or "field", 1
        while row.get(label if number == 1 else f"{label} ({number})"):
            number += 1
        row[label if number == 1 else f"{label} ({number})"] = one.text
    leaving.settle(fields=True)
    return with_extra(leaving, row)


ADAPTER = Adapter(SIGNATURE, parse, render, shape_of=shape_of)
