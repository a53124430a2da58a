"""Bitwarden, JSON export of a person or an organisation (dossier: Bitwarden 1.2)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from migrate import rules, taking
from migrate.adapter import Adapter, Parsed, Signature
from migrate.formats._bitwarden import (
    ADDRESS,
    BANK,
    BANK_ACCOUNT,
    BANK_SECTION,
    CARD,
    CARD_MEMBERS,
    CONTACT_SECTION,
    EXPIRY_SECTION,
    FIELD,
    HIDDEN,
    IDENTITY,
    LICENSE,
    LICENSE_MEMBERS,
    LICENSE_NAME,
    LINES,
    LOGIN,
    MATCH,
    NAME,
    NOTE,
    PARTS,
    PASSPORT,
    PASSPORT_MEMBERS,
    PASSPORT_NAME,
    SECTIONS,
    SSH,
    bitwarden_address,
    bitwarden_credential_id,
    bitwarden_expiry,
    type_of,
)
from migrate.formats._bitwarden_zip import render, zipped
from migrate.leaving import UNREADABLE
from migrate.recognised import OF_ACCOUNT, unread
from migrate.shape import changed, codes
from migrate.source import Record, Source
from migrate.taking import hidden, instant, keep, nested, objects, optional, text
from vault import model, otp
from vault.model import CONCEALED, CustomFields, Field, Item, Past, Provenance, Url, concealed
from vault.secret import Secret

SIGNATURE = Signature(
    product="Bitwarden",
    suffix=".json",
    kind="json",
    any_keys=frozenset({"folders", "collections", "encrypted"}),
    keys=frozenset({"items"}),
    no_keys=frozenset({"vaults", "encKeyValidation_DO_NOT_EDIT"}),
    record_keys=frozenset({"name"}),
    record_numbers=frozenset({"type"}),
    record_parts=frozenset({*PARTS, "folderId"}),
    empty_keys=frozenset({"encrypted"}),
    export_steps="Settings > Export vault > file format .json, .json (Encrypted) with a password of its own, or .zip",
    cannot_hold=("attachments", "items in the trash", "Sends", "items of organisations (export those apart)"),
    encrypted=True,
)

SHAPE: dict[str, Any] = {
    "type": codes(*range(1, len(PARTS) + 1), *"12345678"),
    "reprompt": codes(0, 1),
    "favorite": codes(0, 1),
    "fields": {"*": {"type": codes(*FIELD)}},
    "secureNote": {"type": codes(0)},
    "login": {
        "uris": {"*": {"match": codes(*MATCH)}},
        "fido2Credentials": {
            "*": {"credentialId": changed(bitwarden_credential_id), "discoverable": codes("true", "false")}
        },
    },
    "card": {"expMonth": changed(bitwarden_expiry), "expYear": changed(bitwarden_expiry)},
    "identity": dict.fromkeys(LINES, changed(bitwarden_address)),
}
FRAME: dict[str, Any] = {"encrypted": codes(0, 1)}


_Ids = dict[str, str]  # an id of the source -> the collection's


def parse(source: Source) -> Parsed:
    """Read folders and items; nested folders are a convention of ``/`` in names."""
    frame, records = source.json()
    if taking.flag(frame, "encrypted"):  # without a password of its own: else it was opened before
        raise unread(OF_ACCOUNT, source.name)
    folders, collections = (_listed(source, frame, kind) for kind in ("folder", "collection"))
    if frame.pop("items", None) not in (None, []):
        raise TypeError("items is no list")
    source.ledger.elsewhere("", frame)
    return Parsed(records, partial(_item, folders, collections), extras=frame)


def _listed(source: Source, frame: dict[str, Any], kind: str) -> _Ids:
    ids: _Ids = {}
    for folder in objects(frame, f"{kind}s"):
        name, own_id = text(folder, "name"), text(folder, "id")
        source.ledger.elsewhere("", folder, f"{kind}s[]")
        aliases = (own_id, name) if own_id else (name,)
        make = source.folders.apart if aliases[0] in source.folders.by_alias else source.folders.at
        made = make(split_path(name), *aliases, kind=kind, extra=folder)
        if own_id:
            ids.setdefault(own_id, made)
    return ids


def split_path(name: str) -> tuple[str, ...]:
    """Return the folder names of a path; a name with an empty part is one name."""
    parts = name.split("/")
    return (name,) if "" in parts else tuple(parts)


_SILENT = frozenset({"organizationId", "key", "attachments", *PARTS})  # they say nothing while they are null or empty


def _item(folders: _Ids, collections: _Ids, record: Record) -> Item:
    source, data = record.source, record.data
    kind = type_of(data)
    if kind is not None:
        data.pop("type", None)
    read = READERS[kind]
    credentials, urls = read(record, data)
    note = text(data, "notes")
    if note or kind == NOTE:
        credentials.append(model.Note(content=Secret(note)))
    if fields := objects(data, "fields"):
        credentials.append(CustomFields(fields=tuple([_field(record, one) for one in fields])))
    past = objects(data, "passwordHistory")
    trashed_at, archived_at = instant(data, "deletedDate"), instant(data, "archivedDate")
    made = Item(
        id=source.identify("item", record.place),
        title=text(data, "name"),
        favorite=taking.flag(data, "favorite"),
        urls=urls,
        credentials=tuple(credentials),
        creation_at=instant(data, "creationDate"),
        modified_at=instant(data, "revisionDate"),
        collections=_places(data, folders, collections),
        trashed=trashed_at is not None or bool(data.get("deletedDate")),  # a date that cannot be read is one
        trashed_at=trashed_at,
        archived=archived_at is not None or bool(data.get("archivedDate")),
        archived_at=archived_at,
        template=BANK_ACCOUNT if kind == BANK else None,
        reprompt=taking.flag(data, "reprompt"),
        history=tuple([_past(record, one) for one in past]) if past else (),
        provenance=Provenance(format=source.format, source_id=optional(data, "id")),
        extra=data,
    )
    if data:
        taking.forget_empty(data, *_SILENT.intersection(data))
        record.rest(data)
    return made


_Read = tuple[list[Any], tuple[Url, ...]]  # credentials and addresses
_Reader = Callable[[Record, dict[str, Any]], _Read]


def _places(data: dict[str, Any], folders: _Ids, collections: _Ids) -> tuple[str, ...]:
    """Pop where the item is; ids of no folder or collection of the file stay."""
    found = []
    folder, members = data.pop("folderId", None), data.pop("collectionIds", None)
    if isinstance(members, str) and members in collections:  # Bitwarden's own example
        members = [members]
    if isinstance(folder, str) and folder in folders:
        found.append(folders[folder])
    elif folder is not None and folder != "":
        data["folderId"] = folder
    if isinstance(members, list):
        mine = [one for one in members if isinstance(one, str) and one in collections]
        found += [collections[one] for one in mine]
        if len(mine) != len(members) and members != [None]:
            data["collectionIds"] = [one for one in members if one not in mine]
    elif members is not None:
        data["collectionIds"] = members
    return tuple(dict.fromkeys(found))


def _field(record: Record, data: dict[str, Any]) -> Field:
    kind, original = taking.code(data, "type", FIELD, FIELD[0])
    if "type" in data:
        kind = CONCEALED  # nobody knows what an unknown type hides
    if kind == "boolean" and isinstance(data.get("value"), bool):
        data["value"] = "true" if data["value"] else "false"
    link = taking.integer(data, "linkedId")
    return Field(
        value=text(data, "value"),
        field_type=kind,
        label=text(data, "name"),
        original=original,
        link=None if link is None else str(link),
        extra=record.rest(data, "fields[]"),
    )


def _past(record: Record, data: dict[str, Any]) -> Past:
    old, at = Secret(text(data, "password")), instant(data, "lastUsedDate")
    return Past(value=old, at=at, extra=record.rest(data, "passwordHistory[]"))


def _login(record: Record, data: dict[str, Any]) -> _Read:
    login = nested(data, "login")
    username, password = text(login, "username"), text(login, "password")
    auth = model.BasicAuth(
        username=Field(value=username) if username else None,
        password=Field(value=password, field_type=CONCEALED) if password else None,
    )
    credentials: list[Any] = [auth]
    if code := text(login, "totp"):
        credentials.append(_totp(record, code))
    for passkey in objects(login, "fido2Credentials"):
        credentials.append(_passkey(record, passkey))
    urls = tuple([_url(record, one) for one in objects(login, "uris")])
    if login:
        if not urls and "uris" not in login and (first := text(login, "uri")):  # very old files have no list
            urls = (Url(url=first),)
        keep(data, "login", login)
    return credentials, urls


def _totp(record: Record, code: str) -> Any:
    try:
        return otp.parse(code)
    except ValueError:
        record.source.ledger.warn(f"{record.place}: the one-time code's key cannot be read; kept as a hidden field")
        return CustomFields(id=UNREADABLE, fields=(concealed(code, label="totp"),))


def _url(record: Record, data: dict[str, Any]) -> Url:
    match = taking.code(data, "match", MATCH)
    url = text(data, "uri")
    return Url(url=url, match=match, extra=record.rest(data, "login.uris[]") if data else data)


def _passkey(record: Record, data: dict[str, Any]) -> model.Passkey:
    own_id = rules.uuid_base64url(data.get("credentialId"), data)
    if own_id is not None:
        data["credentialId"] = own_id[0]
    return model.Passkey(
        credential_id=text(data, "credentialId"),
        rp_id=text(data, "rpId"),
        rp_name=optional(data, "rpName"),
        username=text(data, "userName"),
        user_display_name=text(data, "userDisplayName"),
        user_handle=text(data, "userHandle"),
        key=Secret(text(data, "keyValue")),
        key_type=optional(data, "keyType"),
        algorithm=optional(data, "keyAlgorithm"),
        curve=optional(data, "keyCurve"),
        counter=taking.integer(data, "counter"),
        discoverable=taking.code(data, "discoverable", {"true": True, "false": False}),
        created_at=instant(data, "creationDate"),
        extra=record.rest(data, "login.fido2Credentials[]"),
    )


def _note(record: Record, data: dict[str, Any]) -> _Read:
    note = nested(data, "secureNote")
    taking.code(note, "type", {0: 0})
    keep(data, "secureNote", note)
    return [], ()


def _card(record: Record, data: dict[str, Any]) -> _Read:
    card = nested(data, "card")
    expiry = rules.expiry_month(None, card)
    if expiry is not None:
        del card["expMonth"], card["expYear"]
    month = Field(value=expiry[0], field_type="year-month") if expiry else None
    made: list[Any] = [model.CreditCard(expiry_date=month, **taking.fields(card, CARD_MEMBERS))]
    half = _section(EXPIRY_SECTION, card)
    if half.fields:
        made.append(half)
    keep(data, "card", card)
    return made, ()


def _identity(record: Record, data: dict[str, Any]) -> _Read:
    one = nested(data, "identity")
    lines = rules.address_lines(None, one)
    for key in LINES:
        if lines is not None or one.get(key) in (None, ""):
            one.pop(key, None)
    street = Field(value=lines[0]) if lines and lines[0] else None
    made: list[Any] = [
        model.PersonName(**taking.fields(one, NAME)),
        model.Address(street_address=street, **taking.fields(one, ADDRESS)),
    ]
    if ssn := hidden(one, "ssn"):
        made.append(model.IdentityDocument(identification_number=ssn))
    if number := taking.field(one, "passportNumber"):
        made.append(model.Passport(passport_number=number))
    if number := taking.field(one, "licenseNumber"):
        made.append(model.DriversLicense(license_number=number))
    contact = _section(CONTACT_SECTION, one)
    if contact.fields:
        made.append(contact)
    keep(data, "identity", one)
    return made, ()


def _section(own_id: str, data: dict[str, Any]) -> CustomFields:
    """Pop what CXF has no members for into a section of custom fields that the writer knows again."""
    made = [
        Field(label=key, value=value, field_type=CONCEALED if key in HIDDEN else "string")
        for key in SECTIONS[own_id]
        if (value := text(data, key))
    ]
    return CustomFields(id=own_id, label=BANK_ACCOUNT if own_id == BANK_SECTION else None, fields=tuple(made))


def _ssh(record: Record, data: dict[str, Any]) -> _Read:
    key = nested(data, "sshKey")
    made = model.SshKey(
        private_key=Secret(text(key, "privateKey")),
        public_key=optional(key, "publicKey"),
        fingerprint=optional(key, "keyFingerprint"),
    )
    keep(data, "sshKey", key)
    return [made], ()


def _bank(record: Record, data: dict[str, Any]) -> _Read:
    bank = nested(data, "bankAccount")
    made = _section(BANK_SECTION, bank)
    keep(data, "bankAccount", bank)
    return [made], ()


def _license(record: Record, data: dict[str, Any]) -> _Read:
    one = nested(data, "driversLicense")
    made = model.DriversLicense(**taking.fields(one, LICENSE_MEMBERS))
    name = model.PersonName(**taking.fields(one, LICENSE_NAME))
    keep(data, "driversLicense", one)
    return [made, name], ()


def _passport(record: Record, data: dict[str, Any]) -> _Read:
    one = nested(data, "passport")
    made = model.Passport(**taking.fields(one, PASSPORT_MEMBERS))
    name = model.PersonName(**taking.fields(one, PASSPORT_NAME))
    keep(data, "passport", one)
    return [made, name], ()


def _untyped(record: Record, data: dict[str, Any]) -> _Read:
    """Leave everything that depends on the type where it is."""
    return [], ()


READERS: dict[int | None, _Reader] = {
    LOGIN: _login,
    NOTE: _note,
    CARD: _card,
    IDENTITY: _identity,
    SSH: _ssh,
    BANK: _bank,
    LICENSE: _license,
    PASSPORT: _passport,
    None: _untyped,
}

KEPT_RAW = frozenset({"organizationId", "externalId", "key"})

ADAPTER = Adapter(SIGNATURE, parse, render, shape=SHAPE, frame=FRAME, kept_raw=KEPT_RAW)
VARIANTS = (zipped(ADAPTER),)
