"""LastPass, CSV export of form fills (dossier: LastPass 3.3).

One row is a person, an address and a card at once, and becomes one item. The product's own order of columns is not
known: a file's header is kept and written back.
"""

from __future__ import annotations

import re
from typing import Any

from migrate import rules, taking
from migrate.adapter import Signature
from migrate.columns import Beside, Dialect, Row, table, with_extra
from migrate.draft import left_of
from migrate.leaving import Leaving, lines_of
from migrate.shape import changed
from migrate.source import Record
from migrate.taking import Members
from vault import model
from vault.model import CONCEALED, CustomFields, Field, Item, Provenance, concealed
from vault.secret import Secret

NAME: Members = {
    "title": ("title", "string"),
    "given": ("firstname", "string"),
    "given2": ("middlename", "string"),
    "surname": ("lastname", "string"),
}
ADDRESS: Members = {
    "city": ("city", "string"),
    "territory": ("state", "string"),
    "postal_code": ("zip", "string"),
    "country": ("country", "string"),
    "tel": ("phone", "string"),
}
CARD: Members = {
    "number": ("ccnum", CONCEALED),
    "full_name": ("ccname", "string"),
    "card_type": ("cctype", "string"),
    "verification_number": ("cccsc", CONCEALED),
    "expiry_date": ("ccexp", "string"),
    "valid_from": ("ccstart", "string"),
}
SSN: Members = {"identification_number": ("ssn", CONCEALED)}
LINES = ("address1", "address2", "address3")
OTHERS = (
    *("username", "gender", "birthday", "company", "county", "timezone", "email"),
    *("ccissuenum", "bankname", "bankacctnum", "bankroutingnum"),
)
HIDDEN = frozenset({"bankacctnum"})
SECTION = "lastpass-form"

COLUMNS = (
    *("profilename", "profilelanguage", "title", "firstname", "middlename", "lastname", "username", "gender", "ssn"),
    *("birthday", "company", *LINES, "city", "county", "state", "zip", "country", "timezone", "email", "phone"),
    *("ccname", "ccnum", "cctype", "ccstart", "ccexp", "cccsc", "ccissuenum"),
    *("bankname", "bankacctnum", "bankroutingnum", "notes"),
)

SIGNATURE = Signature(
    product="LastPass (form fills)",
    suffix=".csv",
    kind="csv",
    header=frozenset({"profilename", "profilelanguage"}),
    export_steps="browser extension > Account > Fix a problem yourself > Export form fills",
    cannot_hold=("logins and notes (they are in the export of vault items)", "dates", "attachments"),
    experimental=True,
)


def _item(record: Record, _: Beside) -> Item:
    data = record.data
    lines = rules.address_lines(None, data)
    for name in LINES if lines is not None else ():
        data.pop(name, None)
    street = Field(value=lines[0]) if lines and lines[0] else None
    made: list[Any] = [
        model.PersonName(**taking.fields(data, NAME)),
        *_if_any(model.Address, {"street_address": street, **taking.fields(data, ADDRESS)}),
        *_if_any(model.IdentityDocument, taking.fields(data, SSN)),
        *_if_any(model.CreditCard, {name: _dated(one) for name, one in taking.fields(data, CARD).items()}),
    ]
    others = [(name, data.pop(name, "")) for name in OTHERS]
    fields = [concealed(text, label=n) if n in HIDDEN else Field(value=text, label=n) for n, text in others if text]
    if fields:
        made.append(CustomFields(id=SECTION, fields=tuple(fields)))
    if note := data.pop("notes", ""):
        made.append(model.Note(content=Secret(note)))
    return Item(
        id=record.source.identify("item", record.place),
        title=data.pop("profilename"),
        credentials=tuple(made),
        provenance=Provenance(format=record.source.format),
        extra=left_of(record),
    )


def _if_any(kind: type[Any], members: dict[str, Any]) -> list[Any]:
    return [kind(**members)] if any(member is not None for member in members.values()) else []


def _dated(one: Field | None) -> Field | None:
    """Return a month as one; any other field as it is."""
    is_month = one is not None and not one.is_concealed and re.fullmatch(r"\d{4}-\d\d", one.text)
    return Field(value=one.text, field_type="year-month") if one is not None and is_month else one


def _is_form(leaving: Leaving) -> bool:
    kinds = {type(credential) for credential, _ in leaving.parts}
    return bool(kinds & {model.PersonName, model.Address, model.CreditCard}) and model.BasicAuth not in kinds


def _rows(leaving: Leaving) -> list[Row]:
    row: Row = {"profilename": leaving.title()}
    for kind, members in (
        (model.PersonName, NAME),
        (model.Address, ADDRESS),
        (model.IdentityDocument, SSN),
        (model.CreditCard, CARD),
    ):
        row |= {key: leaving.member(kind, ours) for ours, (key, _) in members.items()}
    street = leaving.member(model.Address, "street_address").split("\n")
    row |= {"address1": street[0], "address2": "".join(street[1:2]), "address3": "\n".join(street[2:])}
    for one in _section(leaving):
        if one.label in OTHERS and not row.get(one.label):
            row[one.label] = one.text
    note = leaving.notes()
    row["notes"] = lines_of(note, leaving.fields())
    leaving.settle(fields=True)
    return [with_extra(leaving, row)]


def _section(leaving: Leaving) -> tuple[Field, ...]:
    for part in leaving.parts:
        if type(part[0]) is CustomFields and part[0].id == SECTION:
            leaving.remove(part)
            fields: tuple[Field, ...] = part[0].fields
            return fields
    return ()


ADAPTER = table(
    SIGNATURE,
    dict.fromkeys(COLUMNS),
    from_row=_item,
    to_row=_rows,
    standards=((),),
    header_for=lambda _: COLUMNS,
    shape={name: changed(rules.address_lines) for name in LINES},
    dialect=Dialect(takes=_is_form, may_be_escaped=True),
    kept_raw=("profilelanguage",),
)
