"""Bitwarden, CSV export of a person or an organisation (dossier: Bitwarden 1.3).

- Only logins and notes exist; ``login_uri`` holds all addresses, ``fields`` a line ``name: value`` for each.
- Of an organisation ``collections`` holds all names, joined with commas. A row with nothing else makes it.
- Bitwarden itself cuts a line of ``fields`` at its last ``": "`` and knows no values of several lines; what it would
  misread goes to the notes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from migrate.adapter import Signature
from migrate.columns import Beside, Dialect, Row, put_aside, table, with_extra
from migrate.draft import YES_OR_NO, Draft, any_code, code_of, flag, split_path
from migrate.giving import Outgoing
from migrate.leaving import Leaving, lines_of
from migrate.packed import (
    comma_list,
    is_line,
    join_labels,
    join_uris,
    joined_uris,
    labelled_lines,
    split_labels,
    split_list,
    split_uris,
)
from migrate.shape import changed, codes
from migrate.source import Record
from vault import model
from vault.model import BasicAuth, Field, Item, Totp, Url, concealed
from vault.secret import Secret
from vault.views import speaks_of_secret

_CONTENT = (
    "type",
    "name",
    "notes",
    "fields",
    "reprompt",
    "login_uri",
    "login_username",
    "login_password",
    "login_totp",
)
PERSONAL = ("folder", "favorite", *_CONTENT)
ORGANIZATION = ("collections", *_CONTENT)
_LOGIN_CELLS = ("login_uri", "login_username", "login_password", "login_totp")
_LOGIN_KINDS = frozenset({BasicAuth, Totp, model.Passkey, model.GeneratedPassword})

SIGNATURE = Signature(
    product="Bitwarden",
    suffix=".csv",
    kind="csv",
    header=frozenset({"type", "name", "login_uri", "login_username", "login_password"}),
    export_steps="Settings > Export vault > file format .csv",
    cannot_hold=(
        *("cards", "identities", "SSH keys", "passkeys", "old passwords", "attachments"),
        *("dates", "kinds of fields", "items in the trash"),
    ),
    better="bitwarden_json",
)

_split = split_path("/")
_favorite, _reprompt = flag("favorite"), flag("reprompt")


def _item(record: Record, beside: Beside) -> Item | None:
    draft, data = Draft(record), record.data
    filled = {name: cell for name, cell in data.items() if cell}
    if filled.keys() in ({"folder"}, {"collections"}):
        _folders(draft)
        put_aside(record, beside, filled)
        return None
    draft.title = data.pop("name")
    kind = data.pop("type") if data["type"] in ("login", "note") else ""
    draft.auth = kind == "login" or (not kind and any(data.get(name) for name in _LOGIN_CELLS))
    if draft.auth:
        _login(draft)
    note = data.pop("notes", "")
    if note:
        draft.notes.append(note)
    if fields := data.pop("fields", ""):
        draft.fields += [_field(label, value) for label, value in split_labels(fields)]
    _folders(draft)
    for name in ("folder", "collections"):
        data.pop(name, None)
    for name, column in (("favorite", _favorite), ("reprompt", _reprompt)):
        cell = data.pop(name, "")
        if cell and not column.read(draft, name, cell):
            data[name] = cell
    credentials = draft.credentials()
    if not draft.auth and not note:
        credentials.insert(0, model.Note(content=Secret("")))
    return draft.item(credentials=tuple(credentials))


def _login(draft: Draft) -> None:
    data = draft.record.data
    draft.urls += [Url(url=address) for address in split_uris(data.pop("login_uri", ""))]
    draft.username, draft.password = data.pop("login_username", ""), data.pop("login_password", "")
    if code := data.pop("login_totp", ""):
        draft.codes.append(code_of(draft.record, code, "totp"))


def _field(label: str, value: str) -> Field:
    """Return a field; the file does not say which are hidden, so one whose label speaks of a secret is."""
    return concealed(value, label=label) if speaks_of_secret(label) else Field(label=label, value=value)


def _folders(draft: Draft) -> None:
    data, folders = draft.record.data, draft.record.source.folders
    if folder := data.get("folder", ""):
        draft.collections.append(folders.at(_split(folder), folder))
    for name in split_list(cell) if (cell := data.get("collections", "")) else ():
        draft.collections.append(folders.at(_split(name), name, kind="collection"))


def _rows(leaving: Leaving) -> list[Row]:
    row: Row = {"favorite": _favorite.write(leaving), "reprompt": _reprompt.write(leaving), "name": leaving.title()}
    kinds = {type(credential) for credential, _ in leaving.parts}
    is_login = bool(kinds & _LOGIN_KINDS or leaving.urls or leaving.item.android_apps)
    row["type"] = (leaving.own and leaving.item.extra.get("type")) or ("login" if is_login else "note")
    if is_of_organization(leaving.out):
        row["collections"] = _collections(leaving)
    else:
        row["folder"] = leaving.folder("/", _split)
    if is_login:
        row["login_uri"] = join_uris([*leaving.all_urls(), *_apps(leaving)])
        row |= {"login_username": leaving.username(), "login_password": leaving.password()}
        row["login_totp"] = leaving.totp(any_code)
    note, fields = leaving.notes(), list(leaving.fields())
    lines = [one for one in fields if _is_field(one, leaving.own)]
    row["fields"] = join_labels([(one.label or "", one.text) for one in lines])
    row["notes"] = lines_of(note, [one for one in fields if not _is_field(one, leaving.own)])
    leaving.settle(fields=True)
    return [with_extra(leaving, row)]


def _apps(leaving: Leaving) -> list[str]:
    return [f"androidapp://{app.bundle_id}" for app in leaving.offer.take("android_apps")]


def _is_field(one: Field, own: bool) -> bool:
    """Whether a field can stand in the column, and Bitwarden reads it the same; its own fields stand as they stood."""
    label, value = one.label or "", one.text
    return is_line(label, value) and (own or not ("\n" in value or ": " in value or not label))


def _collections(leaving: Leaving) -> str:
    names = ["/".join(leaving.paths[own_id]) for own_id in leaving.item.collections if own_id in leaving.paths]
    text = ",".join(names)
    if names and split_list(text) != tuple(names):
        leaving.out.lose(leaving.item, "a collection's name that holds a comma")
    return text


def is_of_organization(out: Outgoing) -> bool:
    """Whether the vault came from an organisation's export."""
    header = out.extras.get(out.format, {}).get("header")
    if isinstance(header, list):
        return "collections" in header
    kinds = {one.kind for one in out.collections if one.format == out.format and one.aliases}
    return "collection" in kinds and "folder" not in kinds


def _header(out: Outgoing) -> Sequence[str]:
    return ORGANIZATION if is_of_organization(out) else PERSONAL


def _holds_no_login(row: Mapping[str, str]) -> bool:
    """Whether no cell of a row can have slipped, however many empty ones it lacks: Bitwarden's own examples have such.

    Its kind stands in its place, and nothing in those of logins.
    """
    fields, reprompt = row.get("fields", ""), row.get("reprompt", "")
    is_sound = row.get("type") in ("login", "note") and (not fields or ": " in fields) and reprompt in ("", "0", "1")
    return is_sound and not any(row.get(name) for name in _LOGIN_CELLS)


def _older(header: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in header if name != "reprompt")


ADAPTER = table(
    SIGNATURE,
    dict.fromkeys(("collections", *PERSONAL)),
    from_row=_item,
    to_row=_rows,
    standards=tuple(header for full in (PERSONAL, ORGANIZATION) for header in (full, _older(full))),
    header_for=_header,
    aliases={name.removeprefix("login_"): name for name in _LOGIN_CELLS},
    shape={
        "type": codes("login", "note"),
        "favorite": YES_OR_NO,
        "reprompt": YES_OR_NO,
        "collections": changed(comma_list),
        "login_uri": changed(joined_uris),
        "fields": changed(labelled_lines),
    },
    dialect=Dialect(writes_last_end=False, may_be_short=_holds_no_login),
)
