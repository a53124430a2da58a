"""LastPass, CSV export of the vault (dossier: LastPass 3.1-3.4).

- ``http://sn`` marks a secure note, ``http://group`` a folder (no item), ``http://`` a login without address.
- Folders are paths with a backslash.
- A file that passed through a web page is HTML-escaped as a whole; it is taken unescaped, and the report says so.
- Cells that slipped, by a quote or newline LastPass forgot to escape, show in ``fav``: such a row is set aside.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import msgspec

from migrate.adapter import Signature
from migrate.columns import Beside, Dialect, Row, kept_rows, number_of, put_aside, table, with_extra
from migrate.draft import auth_of, code_of, left_of, split_path
from migrate.formats import _lastpass
from migrate.formats._lastpass import NOTE, SECTION, STREET, Reader, cut, typed_note
from migrate.formats._lastpass_types import spec_of
from migrate.giving import Outgoing
from migrate.leaving import Leaving, lines_of
from migrate.shape import changed, codes
from migrate.source import Record
from vault import model, otp
from vault.model import CustomFields, Field, Item, Provenance, Totp, Url
from vault.secret import Secret

GROUP, NO_ADDRESS = "http://group", "http://"
NO_FOLDER = frozenset({"(none)", "(keine)"})
LOGIN_CELLS = ("username", "password", "totp")
LOGIN_OF_NOTE = "lastpass-login-of-note"  # the section of what a note's row has in the cells of logins
ROW = "row"  # in a folder's ``extra``: the number of its marker
COLUMNS = ("url", "username", "password", "totp", "extra", "name", "grouping", "fav")

SIGNATURE = Signature(
    product="LastPass",
    suffix=".csv",
    kind="csv",
    header=frozenset({"url", "username", "password", "name", "grouping"}),
    export_steps="browser extension > Account > Fix a problem yourself > Export vault items",
    cannot_hold=("attachments", "old passwords", "dates", "passkeys", "hidden passwords of shared folders"),
)

_split = split_path("\\")


def _slipped(row: Mapping[str, str]) -> str:
    return (
        ""
        if row.get("fav", "") in ("0", "1", "")
        else "the cell fav is neither 0 nor 1: the cells of this row have slipped"
    )


def _item(record: Record, beside: Beside) -> Item | None:
    data, source = record.data, record.source
    address = data.pop("url")
    if address == GROUP:
        _folder_marker(record, beside)
        return None
    urls: tuple[Url, ...] = ()
    template = None
    if address == NOTE:
        credentials, template = _note(data)
    else:
        credentials = _login(record, data)
        urls = (Url(url=address),) if address and address != NO_ADDRESS else ()
    folder = data.pop("grouping")
    return Item(
        id=source.identify("item", record.place),
        title=data.pop("name"),
        favorite=data.pop("fav", "") == "1",
        urls=urls,
        credentials=tuple(credentials),
        template=template,
        collections=(source.folders.at(_split(folder), folder),) if folder and folder not in NO_FOLDER else (),
        provenance=Provenance(format=source.format),
        extra=_extra(record) if data else data,
    )


def _login(record: Record, data: dict[str, Any]) -> list[Any]:
    made: list[Any] = [auth_of(data.pop("username"), data.pop("password"))]
    if code := data.pop("totp", ""):
        made.append(code_of(record, code, "totp"))
    if note := data.pop("extra", ""):
        made.append(model.Note(content=Secret(note)))
    return made


def _note(data: dict[str, Any]) -> tuple[list[Any], str | None]:
    text = data.pop("extra", "")
    typed = cut(text)
    made: list[Any] = [model.Note(content=Secret(text))]
    if typed is not None:
        reader = Reader(typed)
        if reader.kept:
            data["extra"] = reader.kept
        made = reader.credentials()
    cells = {name: cell for name in LOGIN_CELLS if (cell := data.pop(name, ""))}
    if cells:
        fields = tuple([_login_field(name, cell) for name, cell in cells.items()])
        made.append(CustomFields(id=LOGIN_OF_NOTE, fields=fields))
    return made, typed.type if typed else None


def _login_field(name: str, cell: str) -> Field:
    return Field(value=cell, label=name) if name == "username" else model.concealed(cell, label=name)


def _extra(record: Record) -> dict[str, Any]:
    """Return what is left; what a typed note says to programs only was counted with the note."""
    kept = record.data.pop("extra", None)
    left: dict[str, Any] = left_of(record)
    return {**left, "extra": kept} if kept else left


def _folder_marker(record: Record, beside: Beside) -> None:
    """Make the folder; a marker that says anything but its path is kept beside the items as well."""
    data, folders = record.data, record.source.folders
    folder = data["grouping"] or data["name"]
    made = folders.at(_split(folder), folder) if folder and folder not in NO_FOLDER else ""
    if not made or any(cell for name, cell in data.items() if name != "grouping" and (name, cell) != ("fav", "0")):
        data["url"] = GROUP
        put_aside(record, beside)
        return
    path, one = next((path, one) for path, one in folders.made.items() if one.id == made)
    folders.made[path] = msgspec.structs.replace(one, extra={**one.extra, ROW: number_of(record)})


def _rows(leaving: Leaving) -> Iterator[Row]:
    row: Row = {"fav": "1" if leaving.offer.take("favorite") else "0", "grouping": leaving.folder("\\", _split)}
    row["name"] = leaving.title()
    row |= {field.label or "": field.text for field in _section(leaving, LOGIN_OF_NOTE)}
    kind = _note_type(leaving)
    if kind is not None:
        row |= {"url": NOTE, "extra": _typed_text(leaving, kind)}
    elif _is_note(leaving):
        row |= {"url": NOTE, "extra": lines_of(leaving.notes(), leaving.fields())}
    else:
        row |= {"url": leaving.url(), "username": leaving.username(), "password": leaving.password()}
        row["totp"] = leaving.totp(otp.text_of if leaving.own else _bare)
        row["extra"] = lines_of(leaving.notes(), leaving.fields())
    leaving.settle(fields=True)
    yield with_extra(leaving, row)


def _bare(totp: Totp) -> str | None:
    """Return the secret of a code that has nothing but defaults: LastPass knows no other."""
    usual = Totp(secret=totp.secret)
    return totp.secret.reveal() if all(getattr(totp, name) == getattr(usual, name) for name in _NUMBERS) else None


_NUMBERS = ("kind", "period", "digits", "algorithm")


_BY_KIND = (
    (model.CreditCard, "Credit Card"),
    (model.SshKey, "SSH Key"),
    (model.Wifi, "Wi-Fi Password"),
    (model.Passport, "Passport"),
    (model.DriversLicense, "Driver's License"),
    (model.PersonName, "Address"),
    (model.Address, "Address"),
    (model.IdentityDocument, "Social Security"),
)
_LOGIN_KINDS = frozenset({model.BasicAuth, model.Totp, model.Passkey, model.GeneratedPassword})


def _note_type(leaving: Leaving) -> str | None:
    """Return the type under which an item is written as a typed note; None if it is none."""
    if leaving.own:
        return leaving.item.template
    kinds = {type(credential) for credential, _ in leaving.parts}
    if kinds & _LOGIN_KINDS or leaving.urls or leaving.item.android_apps:
        return None
    return next((name for kind, name in _BY_KIND if kind in kinds), None)


def _is_note(leaving: Leaving) -> bool:
    kinds = {type(credential) for credential, _ in leaving.parts}
    return not (kinds & _LOGIN_KINDS or leaving.urls or leaving.item.android_apps)


def _typed_text(leaving: Leaving, own_type: str) -> str:
    """Take what the type has labels for; the rest stands below the notes."""
    kept = leaving.item.extra.get("extra", {}) if leaving.own else {}
    values = _labelled(leaving, own_type)
    notes = leaving.notes()
    pairs = _lastpass.arranged(own_type, values, _section(leaving, SECTION), kept)
    moved: list[Field] = []
    if not _lastpass.reads_back(own_type, pairs):
        moved = [Field(value=text, label=label) for label, text in pairs if not _is_safe(own_type, label, text)]
        pairs = [pair for pair in pairs if _is_safe(own_type, *pair)]
    language = kept.get("Language", _lastpass.USUAL_LANGUAGE)
    return _lastpass.joined(own_type, language, pairs, lines_of(notes, [*moved, *leaving.fields()]))


def _is_safe(own_type: str, label: str, text: str) -> bool:
    return bool(label) and _lastpass.reads_back(own_type, [(label, text)])


def _labelled(leaving: Leaving, own_type: str) -> dict[str, str]:
    """Take the members that the type has labels for."""
    values: dict[str, str] = {}
    for label, (kind, name, how) in spec_of(own_type).members.items():
        part = leaving.part(kind)
        if part is None:
            continue
        value = getattr(part[0], name)
        if isinstance(value, Field):
            part[1].take(name)
            text = _lastpass.text_of(value)
        else:
            text = part[1].text(name)
        if how == "street":
            lines = text.split("\n")
            values |= dict(zip(STREET, (*lines[:2], "\n".join(lines[2:])), strict=False))
        else:
            values[label] = text
    return values


def _section(leaving: Leaving, own_id: str) -> list[Field]:
    """Take the fields of a section of LastPass' own, such as those that came out of a typed note."""
    for part in leaving.parts if leaving.own else ():
        if isinstance(part[0], CustomFields) and part[0].id == own_id:
            leaving.remove(part)
            return list(part[0].fields)
    return []


def _markers(out: Outgoing, used: Collection[str]) -> Iterator[tuple[int, Row]]:
    """Yield a marker for each folder that had one, and for each that no item and no other marker brings back."""
    paths = out.paths()
    needed = {part for own_id in used if own_id in paths for part in _upwards(paths[own_id])}
    for _, row in kept_rows(out):
        needed |= _upwards(_split(row.get("grouping") or row.get("name") or ""))
    for one in sorted(out.collections, key=lambda c: -len(paths[c.id])):
        had = one.extra.get(ROW) if one.format == out.format else None
        if isinstance(had, int) or paths[one.id] not in needed:
            needed |= _upwards(paths[one.id])
            row = {"url": GROUP, "grouping": "\\".join(paths[one.id]), "fav": "0"}
            yield had if isinstance(had, int) else _LAST, row


def _upwards(path: tuple[str, ...]) -> set[tuple[str, ...]]:
    return {path[:length] for length in range(1, len(path) + 1)}


_LAST = 1 << 40  # after all other rows

ADAPTER = table(
    SIGNATURE,
    dict.fromkeys(COLUMNS),
    from_row=_item,
    to_row=_rows,
    beside_rows=_markers,
    standards=(COLUMNS, tuple(name for name in COLUMNS if name != "totp")),
    aliases={"otp": "totp"},  # other tools' spelling
    shape={
        "url": codes(NOTE, GROUP, NO_ADDRESS),
        "fav": codes("0", "1"),
        "grouping": codes(*sorted(NO_FOLDER)),
        "extra": changed(typed_note),
    },
    dialect=Dialect(quote_all=True, whole=frozenset({"0", "1"}), may_be_escaped=True, check=_slipped),
)
