"""One item as Bitwarden's JSON has it (dossier: Bitwarden 1.2, 1.7).

An item of Bitwarden goes back as it came. Of another product's item, what Bitwarden has a place for goes there and all
else becomes custom fields; only attachments, links to other items, icons and further folders are losses.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from migrate.formats._bitwarden import BANK, BANK_ACCOUNT, FIELD, LINKED, NOTE
from migrate.formats._bitwarden_ids import as_uuid
from migrate.formats._bitwarden_types import typed
from migrate.formats._bitwarden_writing import OF_CODE, Writing, give_back
from migrate.giving import Offer, code_field
from migrate.rules import number_of
from vault import model
from vault.model import CustomFields, Field, Totp, kind_of
from vault.views import display_title, extra_fields

_LONG_AGO = "1970-01-01T00:00:00Z"  # a state needs a date in Bitwarden; without any this one tells the least lie
_CODES = {kind: code for code, (kind, original) in reversed(FIELD.items()) if original is None}
_LINKED = next(code for code, (_, original) in FIELD.items() if original == LINKED)


def record_of(writing: Writing, ids: dict[str, str], of_organization: bool) -> dict[str, Any]:
    """Return the whole item; ``ids`` are those of folders in this file."""
    item, own = writing.item, writing.own
    kind, name, part = typed(writing)
    notes = _notes(writing)
    fields = _fields(writing, kind)
    members = [ids[c] for c in item.collections if c in ids]
    if len(members) > 1 and not of_organization:
        writing.out.lose(item, "further folders", len(members) - 1)
    source_id = item.provenance.source_id if own and item.provenance else None
    made = {
        "passwordHistory": [_past(writing, one) for one in item.history] or None,
        "revisionDate": item.modified_at if own else item.modified_at or item.creation_at,
        "creationDate": item.creation_at,
        "deletedDate": _date_of(writing, item.trashed, item.trashed_at),
        **({"archivedDate": _date_of(writing, item.archived, item.archived_at)} if item.archived else {}),
        "id": source_id if own else as_uuid(item.id),
        "organizationId": None,
        "folderId": members[0] if members and not of_organization else None,
        "type": kind,
        "reprompt": int(item.reprompt),
        "name": item.title if item.title or own else display_title(item),
        "notes": notes or None,
        "favorite": item.favorite,
        **({"fields": fields} if fields else {}),
        **({name: part} if name else {}),
        "collectionIds": members if of_organization else None,
    }
    return give_back(made, item.extra) if own else made


def _date_of(writing: Writing, state: bool, at: str | None) -> str | None:
    """Return the date that says the item is in the state."""
    return (at or writing.item.modified_at or writing.item.creation_at or _LONG_AGO) if state else None


def _past(writing: Writing, past: model.Past) -> dict[str, Any]:
    """Return an old value; of other members than the password Bitwarden writes the name before it."""
    old = past.value.reveal()
    made = {"lastUsedDate": past.at, "password": old if past.field == "password" else f"{past.field}: {old}"}
    return give_back(made, past.extra) if writing.own else made


def _notes(writing: Writing) -> str:
    """Take every note; several are joined by an empty line."""
    found = []
    while (note := writing.pop(model.Note)) is not None:
        offer = Offer(note)
        found.append(offer.text("content"))
        writing.move(offer)
    return "\n\n".join(found)


def _fields(writing: Writing, kind: int | None) -> list[dict[str, Any]]:
    """Take everything that is left: the item's own custom fields first, then what has no place of its own."""
    made = []
    for credential in writing.left:
        if isinstance(credential, CustomFields):
            for one in _labelled(credential):
                made.append(_field(writing, one))
                if one.link and not (writing.own or _is_link(one)):
                    writing.spare.append(Field(label=f"{one.label or ''} link".strip(), value=one.link))
            if writing.own and credential.extra:
                writing.out.lose(writing.item, "custom fields.extra", len(credential.extra))
        else:
            _credential(writing, credential)
    _beside(writing, kind)
    if writing.spare:
        writing.out.moved.update(one.label or "" for one in writing.spare)
    unknown = () if writing.own else extra_fields(writing.item)
    return made + [_field(writing, one) for one in (*writing.spare, *unknown)]


def _credential(writing: Writing, credential: Any) -> None:
    """Make custom fields of a credential that Bitwarden has no type for, or not here; a file or a link is lost."""
    offer = Offer(credential)
    if isinstance(credential, Totp):
        offer.skip(*OF_CODE, "label")
        writing.spare.append(code_field(credential, "one-time code"))
    elif isinstance(credential, model.File):
        writing.out.lose(writing.item, "attachment")
        return
    elif isinstance(credential, model.ItemReference):
        writing.out.lose(writing.item, "link to another item")
        return
    writing.move(offer)


def _beside(writing: Writing, kind: int | None) -> None:
    """Make custom fields of what is left of the item itself; its icon is lost."""
    offer, item = writing.offer, writing.item
    for member, title in (("urls", "website"), ("android_apps", "app")):
        if member in offer.left:
            for part in offer.take(member):
                writing.move(Offer(part), title)
    if "icon" in offer.left:
        offer.skip("icon")
        writing.out.lose(item, "icon")
    said = BANK_ACCOUNT if kind == BANK else None
    if item.template not in (None, said) and (writing.own or (kind == NOTE and kind_of(item) != "note")):
        writing.spare.append(Field(value=item.template, label="category"))
    if writing.own:
        offer.skip("extra")
    writing.move(offer, "")


def _field(writing: Writing, field: Field) -> dict[str, Any]:
    """Return a custom field."""
    is_link = writing.own or _is_link(field)
    kind = _LINKED if field.original == LINKED and is_link else _CODES.get(field.field_type, 0)
    made: dict[str, Any] = {
        "name": field.label or "",
        "value": (field.text or None) if kind == _LINKED else field.text,
        "type": kind,
        "linkedId": number_of(field.link) if is_link else None,
    }
    return give_back(made, field.extra) if writing.own else made


def _is_link(field: Field) -> bool:
    """Whether a field mirrors a property that Bitwarden has a number for."""
    return field.original == LINKED and number_of(field.link) is not None


def _labelled(section: CustomFields) -> Iterator[Field]:
    """Yield the fields of a section with its title before their labels."""
    if not section.label:
        yield from section.fields
        return
    for field in section.fields or (Field(),):
        yield msgspec.structs.replace(field, label=f"{section.label}: {field.label or ''}".rstrip(": "))
