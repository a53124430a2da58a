"""Tables of unknown origin: what each column is, said by the user, suggested from headers and contents.

Nothing is read before every column has a decision, a *role* (``migrate.roles``); ``drop`` leaves a column out, which is
recorded. What is shown of a table never holds one of its values.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from migrate.recognised import MAP, Look, is_row
from migrate.roles import MANY, OF_LOGINS, ROLES, SECRET, role_of, suggestions
from migrate.tables import Table, read_table
from vault.errors import UndecidedColumns, UnknownFormat, UsageError
from vault.screen import numbered

if TYPE_CHECKING:
    from vault.screen import Session

PROFILES = "columns.json"  # in the home: roles of columns by profile; names only, nothing secret


def parse_map(pairs: Iterable[str]) -> dict[str, str]:
    """Return ``COLUMN=ROLE`` pairs as a mapping; raises ``UsageError`` for an unknown role."""
    made: dict[str, str] = {}
    for pair in pairs:
        column, mark, role = pair.rpartition("=")
        if not mark or not column:
            raise UsageError("--map takes COLUMN=ROLE", hint=f"roles: {', '.join(ROLES)}")
        if role.strip() not in ROLES:
            raise UsageError(f"there is no role {role.strip()[:20]!r}", hint=f"roles: {', '.join(ROLES)}")
        made[column.strip()] = role.strip()
    return made


def resolve(maps: Sequence[str], profile: str | None, home: Path) -> dict[str, str]:
    """Return the roles of ``--map``, over those saved under the profile's name; with both, the result is saved.

    Raises ``UsageError`` where the profile is not known and nothing defines it.
    """
    given = parse_map(maps)
    if profile is None:
        return given
    known = load_profiles(home / PROFILES)
    if profile not in known and not given:
        raise UsageError(
            f"there is no profile {profile[:40]!r}",
            hint=f"known: {', '.join(sorted(known))}" if known else "name the columns' roles with --map to make it",
        )
    mapping = {**known.get(profile, {}), **given}
    if given:
        save_profiles(home / PROFILES, {**known, profile: mapping})
    return mapping


def load_profiles(path: Path) -> dict[str, dict[str, str]]:
    """Return all saved profiles; none where there is no file, or it is not one of ours."""
    from vault.files import read_file

    try:
        found = json.loads(read_file(path)) if path.exists() else {}
    except ValueError:
        raise UsageError(f"{path.name} in the home is damaged", hint="delete it; it holds only column names") from None
    return {
        str(name): {str(column): role for column, role in roles.items() if role in ROLES}
        for name, roles in (found.items() if isinstance(found, dict) else ())
        if isinstance(roles, dict)
    }


def save_profiles(path: Path, profiles: Mapping[str, Mapping[str, str]]) -> None:
    """Write all profiles."""
    from vault.files import make_private_folder, write_private

    make_private_folder(path.parent)
    write_private(path, json.dumps(profiles, indent=1, ensure_ascii=False, sort_keys=True).encode())


def check(header: Sequence[str], mapping: Mapping[str, str], filled: Iterable[str], name: str) -> None:
    """Refuse a table before it is read.

    Raises ``UnknownFormat`` where the first line may be no header, ``UndecidedColumns`` where a column has no role, or
    none with a filled secret is among them, ``UsageError`` where the roles do not fit the table.
    """
    missing = [column for column in mapping if column not in header]
    undecided = [column for column in header if column not in mapping]
    if undecided:
        raise undecided_columns(header, mapping, name)
    if missing:
        raise UsageError(
            f"{name} has no column {_names(missing)}",
            hint="keyferry inspect shows the columns, spelled as they must be",
        )
    roles = [mapping[column] for column in header]
    twice = sorted({role for role in roles if role not in MANY and roles.count(role) > 1})
    if twice:
        raise UsageError(
            f"two columns cannot both be the {twice[0]}", hint="map one of them to field, which keeps it too"
        )
    secrets = {column for column in header if mapping[column] in SECRET}
    if OF_LOGINS & set(roles) and not secrets & set(filled):
        raise UndecidedColumns(
            f"no column of {name} that is mapped to the password has anything in it",
            hint="map the column of the passwords: --map COLUMN=password; or keep addresses and names as field",
        )


def undecided_columns(
    header: Sequence[str], mapping: Mapping[str, str], name: str, *, is_header: bool = False
) -> UndecidedColumns | UnknownFormat:
    """Return the error that lists what is undecided, with the command to type.

    Nothing of the first line is listed where it holds values, or may because hardly a name in it is known; it does not
    where ``is_header`` says that a product writes it.
    """
    if is_row(tuple(header)):
        return UnknownFormat(f"{name} is a table without a header: its first line holds values", hint=ADD_HEADER)
    if not (is_header or is_known(header, mapping)):
        return UnknownFormat(
            f"the first line of {name} is no header that is known, so it may hold values",
            hint=f"if it is a header, say what each column is with --map COLUMN=ROLE; if not, {ADD_HEADER}",
        )
    open_ones = [column for column in header if column not in mapping]
    suggested = suggestions(header)
    words = " ".join(
        f"--map {shlex.quote(f'{column}={mapping.get(column) or suggested[column]}')}" for column in header
    )
    return UndecidedColumns(
        f"{name} has columns without a decision: {_names(open_ones)}",
        hint=f"say what each is, for instance: keyferry migrate {shlex.quote(name)} {words}",
    )


ADD_HEADER = "add a first line with the names of the columns, then say what each is with --map COLUMN=ROLE"


def is_known(header: Sequence[str], mapping: Mapping[str, str]) -> bool:
    """Whether a first line is surely a header: the user spelled one of its names, or two are known.

    One is not enough: the first item of a table without a header may be called Mail.
    """
    return any(column in mapping for column in header) or sum(role_of(column) is not None for column in header) > 1


def _names(columns: Sequence[str]) -> str:
    shown = ", ".join(f"{column[:40]}" for column in columns[:20])
    return f"{shown} and {len(columns) - 20} more" if len(columns) > 20 else shown


class ColumnFacts(msgspec.Struct, frozen=True):
    """What can be said of a column without showing a value."""

    name: str
    filled: int  # rows with something in it
    distinct: int
    sample: str  # the first value, letters as x and digits as 9; nothing of a secret
    role: str  # suggested


class TableFacts(msgspec.Struct, frozen=True):
    """What can be said of a table without showing a value."""

    rows: int
    duplicates: int  # rows that repeat an earlier one
    columns: tuple[ColumnFacts, ...]


def describe(table: Table) -> TableFacts:
    """Return fill rates, masked samples, duplicates and suggested roles; reads all rows."""
    import pandas as pd

    width = len(table.header)
    rows = [(line.cells + [""] * width)[:width] for line in table.lines if any(line.cells)]
    frame = pd.DataFrame(rows, columns=table.header, dtype=object)
    contents = {column: role for column in table.header if (role := _content_role(frame[column]))}
    roles = suggestions(table.header, contents)
    facts = tuple(
        ColumnFacts(
            name=column,
            filled=int((frame[column] != "").sum()),
            distinct=int(frame[column][frame[column] != ""].nunique()),
            sample=_masked(frame[column], roles[column]),
            role=roles[column],
        )
        for column in table.header
    )
    return TableFacts(len(rows), int(frame.duplicated().sum()), facts)


def _content_role(cells: Any) -> str | None:
    """Return what most filled cells of a column are; None where they say nothing."""
    filled = cells[cells != ""]
    if not len(filled):
        return None
    for role, pattern in _CONTENTS:
        if filled.str.contains(pattern, regex=True).mean() > 0.8:
            return role
    return None


_CONTENTS = (
    ("totp", r"^otpauth://"),
    ("url", r"^[a-z][a-z0-9+.-]*://"),
    ("username", r"^\S+@\S+\.\S+$"),
)
_SHOWN = frozenset({"url", "username", "title", "folder", "tags", "favorite", "created", "modified"})


def _masked(cells: Any, role: str) -> str:
    filled = cells[cells != ""]
    if not len(filled):
        return ""
    if role not in _SHOWN:
        return "****"
    text = re.sub(r"[^\W\d_]", "x", str(filled.iloc[0])[:24])
    return re.sub(r"[^x@.:/ _-]", "*", re.sub(r"\d", "9", text).replace("9", "x"))


def show(session: Session, data: bytes, name: str, encoding: str | None = None, look: Look | None = None) -> bool:
    """Show the columns of a table, and whose it looks like; False, and nothing shown, where it has no header."""
    table = read_table(data, name, encoding=encoding)
    if is_row(tuple(table.header)) or not (look or is_known(table.header, {})):
        return False
    facts = describe(table)
    whose = f"looks like {look.what}" if look else "is a table of no known product"
    session.say(f"{name} {whose}: {numbered(facts.rows, 'row')}, {numbered(len(facts.columns), 'column')}")
    rows = [(c.name, f"{c.filled:,}", f"{c.distinct:,}", c.sample, c.role) for c in facts.columns]
    session.table(("column", "filled", "distinct", "looks like", "role it may have"), rows)
    if facts.duplicates:
        session.say(f"rows that repeat an earlier one: {facts.duplicates:,}")
    if look and look.instead != MAP:
        session.say(f"better: {look.instead}")
    error = undecided_columns(table.header, {}, name, is_header=True)
    session.out(
        {
            "format": None,
            "kinds": {},
            "cannot_hold": [],
            "rows": facts.rows,
            "duplicates": facts.duplicates,
            "columns": [
                {"name": c.name, "filled": c.filled, "distinct": c.distinct, "role": c.role} for c in facts.columns
            ],
        }
    )
    session.done(error.hint)
    return True
