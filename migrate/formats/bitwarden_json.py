"""Bitwarden, JSON export of a person or an organisation (dossier: Bitwarden 1.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from migrate import rules, taking
from migrate.adapter import Adapter, Parsed, Signature
from migrate.formats._bitwarden import (
    ADDRESS,
    BANK,
    BANK_ACCOUNT,
    CARD,
    CONTACT,
    FIELD,
    HIDDEN,
    LICENSE,
    LICENSE_NAME,
    MATCH,
    NAME,
    PASSPORT,
    PASSPORT_NAME,
    SECTIONS,
)
from migrate.formats._bitwarden_zip import render, zipped
from migrate.leaving import UNREADABLE
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
    record_keys=frozenset({"type", "name"}),
    empty_keys=frozenset({"encrypted"}),
    export_steps="Settings > Export vault > file format .json, .json (Encrypted) with a password of its own, or .zip",
    cannot_hold=("attachments", "items in the trash", "Sends", "items of organisations (export those apart)"),
    encrypted=True,
)

SHAPE: dict[str, Any] = {
    "type": codes(*range(1, 9), *map(str, range(1, 9))),
    "reprompt": codes(0, 1),
    "favorite": codes(0, 1),
    "fields": {"*": {"type": codes(*FIELD)}},
    "secureNote": {"type": codes(0)},
    "login": {
        "uris": {"*": {"match": codes(*MATCH)}},
        "fido2Credentials": {
            "*": {"credentialId": changed(rules.uuid_base64url), "discoverable": codes("true", "false")}
        },
    },
    "card": {"expMonth": changed(rules.expiry_month), "expYear": changed(rules.expiry_month)},
    "identity": {f"address{n}": changed(rules.address_lines) for n in (1, 2, 3)},
}


def parse(source: Source) -> Parsed:
    """Read folders and items; nested folders are a convention of ``/`` in names."""
    frame, records = source.json()
    taking.flag(frame, "encrypted")
    for kind in ("folder", "collection"):
        for folder in objects(frame, f"{kind}s"):
            _folder(source, kind, folder)
    if frame.pop("items", None):
        raise TypeError("items is no list")
    source.ledger.elsewhere("", frame)
    return Parsed(records, _item, extras=frame)


def _folder(source: Source, kind: str, folder: dict[str, Any]) -> None:
    name, own_id = text(folder, "name"), text(folder, "id")
    if folder:
        source.ledger.elsewhere("", folder, kind)
    known_as = own_id or name
    made = source.folders.apart if known_as in source.folders.by_alias else source.folders.at
    made(split_path(name), known_as, name, kind=kind, extra=folder)


def split_path(name: str) -> tuple[str, ...]:
    """Return the folder names of a path; a name with an empty part is one name."""
    parts = name.split("/")
    return (name,) if "" in parts else tuple(parts)


_SILENT = (  # keys of the format that say nothing while they are null or empty
    *("organizationId", "key", "attachments"),
    *("login", "secureNote", "card", "identity", "sshKey", "bankAccount", "driversLicense", "passport"),
)


def _item(record: Record) -> Item:
    source, data = record.source, record.data
    read = _reader(data)
    credentials, urls = read(record, data)
    note = text(data, "notes")
    if note or read is _note:
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
        collections=_collections(source, data),
        trashed=trashed_at is not None or bool(data.get("deletedDate")),  # a date that cannot be read is one
        trashed_at=trashed_at,
        archived=archived_at is not None or bool(data.get("archivedDate")),
        archived_at=archived_at,
        template=BANK_ACCOUNT if read is _bank else None,
        reprompt=taking.flag(data, "reprompt"),
        history=tuple([_past(record, one) for one in past]) if past else (),
        provenance=Provenance(format=source.format, source_id=optional(data, "id")),
        extra=data,
    )
    if data:
        taking.forget_empty(data, *_SILENT)
        record.rest(data)
    return made


_Read = tuple[list[Any], tuple[Url, ...]]  # credentials and addresses
_Reader = Callable[[Record, dict[str, Any]], _Read]


def _reader(data: dict[str, Any]) -> _Reader:
    """Pop the type; without one the object that is there decides, an unknown one stays."""
    kind = data.pop("type", None)
    if kind is None:
        return next((read for key, read in _BY_OBJECT.items() if isinstance(data.get(key), dict)), _note)
    if type(kind) in (int, str) and kind in READERS:
        return READERS[kind]
    data["type"] = kind
    return _untyped


def _collections(source: Source, data: dict[str, Any]) -> tuple[str, ...]:
    known = source.folders.by_alias
    found = []
    folder, members = data.pop("folderId", None), data.pop("collectionIds", None)
    if isinstance(folder, str) and folder in known:
        found.append(known[folder])
    elif folder is not None and folder != "":
        data["folderId"] = folder
    if isinstance(members, list):
        mine = [one for one in members if isinstance(one, str) and one in known]
        found += [known[one] for one in mine]
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
        if not urls and (first := text(login, "uri")):  # very old files have no list
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
    return Url(url=text(data, "uri"), match=match, extra=record.rest(data, "login.uris[]"))


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
    taking.forget_empty(card, "expMonth", "expYear")
    month = Field(value=expiry[0], field_type="year-month") if expiry else None
    made = model.CreditCard(expiry_date=month, **taking.fields(card, CARD))
    keep(data, "card", card)
    return [made], ()


def _identity(record: Record, data: dict[str, Any]) -> _Read:
    one = nested(data, "identity")
    lines = rules.address_lines(None, one)
    if lines is not None:
        for n in (1, 2, 3):
            one.pop(f"address{n}", None)
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
    contact = _section(CONTACT, one)
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
    return CustomFields(id=own_id, fields=tuple(made))


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
    made = _section(BANK, bank)
    keep(data, "bankAccount", bank)
    return [made], ()


def _license(record: Record, data: dict[str, Any]) -> _Read:
    one = nested(data, "driversLicense")
    made = model.DriversLicense(**taking.fields(one, LICENSE)), model.PersonName(**taking.fields(one, LICENSE_NAME))
    keep(data, "driversLicense", one)
    return [*made], ()


def _passport(record: Record, data: dict[str, Any]) -> _Read:
    one = nested(data, "passport")
    made = model.Passport(**taking.fields(one, PASSPORT)), model.PersonName(**taking.fields(one, PASSPORT_NAME))
    keep(data, "passport", one)
    return [*made], ()


def _untyped(record: Record, data: dict[str, Any]) -> _Read:
    """Leave everything that depends on the type where it is."""
    return [], ()


_BY_OBJECT: dict[str, _Reader] = {
    "login": _login,
    "secureNote": _note,
    "card": _card,
    "identity": _identity,
    "sshKey": _ssh,
    "bankAccount": _bank,
    "driversLicense": _license,
    "passport": _passport,
}
READERS: dict[int | str, _Reader] = {}
for _type, _read in enumerate(_BY_OBJECT.values(), 1):
    READERS[_type] = READERS[str(_type)] = _read

KEPT_RAW = frozenset({"organizationId", "externalId", "key"})

ADAPTER = Adapter(SIGNATURE, parse, render, shape=SHAPE, kept_raw=KEPT_RAW)
VARIANTS = (zipped(ADAPTER),)
