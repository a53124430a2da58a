"""Bitwarden, JSON export of a person or an organisation (dossier: Bitwarden 1.2)."""

from __future__ import annotations

from typing import Any

from migrate import rules, taking
from migrate.adapter import Adapter, Parsed, Signature
from migrate.formats._bitwarden import (
    ADDRESS,
    BANK,
    BANK_HIDDEN,
    CARD,
    CONTACT,
    FIELD,
    LICENSE,
    LICENSE_NAME,
    LINKED,
    MATCH,
    NAME,
    PASSPORT,
    PASSPORT_NAME,
    TOTP_UNREADABLE,
    render,
)
from migrate.shape import changed, codes
from migrate.source import Record, Source
from migrate.taking import field, hidden, instant, keep, nested, objects, optional, text
from vault import model
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
    export_steps="Settings > Export vault > file format .json, or .json (Encrypted) with a password of its own",
    cannot_hold=("attachments", "items in the trash", "Sends", "items of organisations (export those apart)"),
    encrypted=True,
)

PASSKEY_SHAPE = {"credentialId": changed(rules.uuid_base64url), "discoverable": codes("true", "false")}

SHAPE: dict[str, Any] = {
    "type": codes(*range(1, 9)),
    "reprompt": codes(0, 1),
    "favorite": codes(0, 1),
    "fields": {"*": {"type": codes(0, 1, 2, 3)}},
    "secureNote": {"type": codes(0)},
    "login": {
        "uris": {"*": {"match": codes(*MATCH)}},
        "fido2Credentials": {"*": PASSKEY_SHAPE},
    },
    "card": {"expMonth": changed(rules.expiry_month), "expYear": changed(rules.expiry_month)},
    "identity": {f"address{n}": changed(rules.address_lines) for n in (1, 2, 3)},
}


def parse(source: Source) -> Parsed:
    """Read folders and items; nested folders are a convention of ``/`` in names."""
    frame, records = source.json()
    taking.flag(frame, "encrypted")
    for kind in ("folders", "collections"):
        for folder in objects(frame, kind):
            _folder(source, kind.removesuffix("s"), folder)
    frame.pop("items", None)
    source.ledger.elsewhere("", frame)
    return Parsed(records, _item, extras=frame)


def _folder(source: Source, kind: str, folder: dict[str, Any]) -> None:
    name, own_id = text(folder, "name"), text(folder, "id")
    if folder:
        source.ledger.elsewhere("", folder, kind)
    source.folders.at(split_path(name), own_id or name, name, kind=kind, extra=folder)


def split_path(name: str) -> tuple[str, ...]:
    """Return the folder names of a path; a name with an empty part is one name."""
    parts = name.split("/")
    return (name,) if "" in parts else tuple(parts)


def _item(record: Record) -> Item:
    source, data = record.source, record.data
    read = READERS.get(data.get("type"))
    if read is not None:
        del data["type"]
    credentials, urls, template = read(record, data) if read else ([], (), None)
    note = text(data, "notes")
    if note or read is _note:
        credentials.append(model.Note(content=Secret(note)))
    fields = tuple(_field(record, f) for f in objects(data, "fields"))
    if fields:
        credentials.append(CustomFields(fields=fields))
    deleted, archived = instant(data, "deletedDate"), instant(data, "archivedDate")
    source_id = optional(data, "id")
    taking.forget_empty(data, "organizationId", "key", "login", "card", "identity", "secureNote", "sshKey")
    members = {
        "title": text(data, "name"),
        "collections": _collections(source, data),
        "favorite": taking.flag(data, "favorite"),
        "reprompt": taking.flag(data, "reprompt"),
        "creation_at": instant(data, "creationDate"),
        "modified_at": instant(data, "revisionDate"),
        "history": tuple(_past(record, p) for p in objects(data, "passwordHistory")),
    }
    return Item(
        id=source.identify("item", record.place),
        urls=urls,
        credentials=tuple(credentials),
        template=template,
        trashed=deleted is not None,
        trashed_at=deleted,
        archived=archived is not None,
        archived_at=archived,
        provenance=Provenance(format=source.format, source_id=source_id),
        extra=record.rest(data),
        **members,
    )


def _collections(source: Source, data: dict[str, Any]) -> tuple[str, ...]:
    by_alias = source.folders.by_alias
    found = []
    if data.get("folderId") in by_alias:
        found.append(by_alias[data.pop("folderId")])
    elif not data.get("folderId"):
        data.pop("folderId", None)
    ids = data.get("collectionIds")
    if not ids or ids == [None]:
        data.pop("collectionIds", None)
    elif isinstance(ids, list) and all(isinstance(one, str) and one in by_alias for one in ids):
        del data["collectionIds"]
        found.extend(by_alias[one] for one in ids)
    return tuple(dict.fromkeys(found))


def _field(record: Record, data: dict[str, Any]) -> Field:
    code = data.get("type", 0)
    kind = taking.code(data, "type", FIELD, "string")
    link = taking.integer(data, "linkedId")
    value = taking.text(data, "value")
    return Field(
        label=text(data, "name"),
        value=Secret(value) if kind == CONCEALED else value,
        field_type=kind,
        original="linked" if code == LINKED else None,
        link=None if link is None else str(link),
        extra=record.rest(data, "fields[]"),
    )


def _past(record: Record, data: dict[str, Any]) -> Past:
    old, at = Secret(text(data, "password")), instant(data, "lastUsedDate")
    return Past(value=old, at=at, extra=record.rest(data, "passwordHistory[]"))


_Read = tuple[list[Any], tuple[Url, ...], str | None]


def _login(record: Record, data: dict[str, Any]) -> _Read:
    login = nested(data, "login")
    auth = model.BasicAuth(username=field(login, "username"), password=hidden(login, "password"))
    credentials: list[Any] = [auth]
    code = text(login, "totp")
    if code:
        credentials.append(_totp(record, code))
    credentials.extend(_passkey(record, p) for p in objects(login, "fido2Credentials"))
    urls = tuple(_url(record, u) for u in objects(login, "uris"))
    if "uri" in login and not urls:  # very old files
        first = text(login, "uri")
        urls = (Url(url=first),) if first else ()
    keep(data, "login", login)
    return credentials, urls, None


def _totp(record: Record, code: str) -> Any:
    from vault import otp

    try:
        return otp.parse(code)
    except ValueError:
        record.source.ledger.warn(f"{record.place}: the one-time code's key cannot be read; kept as a hidden field")
        return CustomFields(id=TOTP_UNREADABLE, fields=(concealed(code, label="totp"),))


def _url(record: Record, data: dict[str, Any]) -> Url:
    match = taking.code(data, "match", MATCH)
    return Url(url=text(data, "uri"), match=match, extra=record.rest(data, "login.uris[]"))


def _passkey(record: Record, data: dict[str, Any]) -> model.Passkey:
    own_id = data.get("credentialId")
    made = rules.uuid_base64url(own_id, data)
    if made is not None:
        del data["credentialId"]
    return model.Passkey(
        credential_id=made[0] if made else text(data, "credentialId"),
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
    return [], (), None


def _section(section: dict[str, Any], data: dict[str, Any], label: str | None = None) -> CustomFields:
    made = [
        concealed(value, label=key) if key in BANK_HIDDEN else Field(label=key, value=value)
        for key in section["keys"]
        if (value := text(data, key))
    ]
    return CustomFields(id=section["id"], label=label, fields=tuple(made))


def _card(record: Record, data: dict[str, Any]) -> _Read:
    card = nested(data, "card")
    expiry = rules.expiry_month(None, card)
    if expiry is not None:
        del card["expMonth"], card["expYear"]
    for key in ("expMonth", "expYear"):
        if not card.get(key):
            card.pop(key, None)
    month = Field(value=expiry[0], field_type="year-month") if expiry else None
    made = model.CreditCard(expiry_date=month, **taking.fields(card, CARD))
    keep(data, "card", card)
    return [made], (), None


def _identity(record: Record, data: dict[str, Any]) -> _Read:
    one = nested(data, "identity")
    lines = rules.address_lines(None, one)
    if lines is not None:
        for n in (1, 2, 3):
            one.pop(f"address{n}", None)
    street = Field(value=lines[0]) if lines and lines[0] else None
    contact = _section(CONTACT, one)
    made: list[Any] = [
        model.PersonName(**taking.fields(one, NAME)),
        model.Address(street_address=street, **taking.fields(one, ADDRESS)),
    ]
    if ssn := hidden(one, "ssn"):
        made.append(model.IdentityDocument(identification_number=ssn))
    if number := field(one, "passportNumber"):
        made.append(model.Passport(passport_number=number))
    if number := field(one, "licenseNumber"):
        made.append(model.DriversLicense(license_number=number))
    if contact.fields:
        made.append(contact)
    keep(data, "identity", one)
    return made, (), None


def _ssh(record: Record, data: dict[str, Any]) -> _Read:
    key = nested(data, "sshKey")
    made = model.SshKey(
        private_key=Secret(text(key, "privateKey")),
        public_key=optional(key, "publicKey"),
        fingerprint=optional(key, "keyFingerprint"),
    )
    keep(data, "sshKey", key)
    return [made], (), None


def _bank(record: Record, data: dict[str, Any]) -> _Read:
    bank = nested(data, "bankAccount")
    made = _section(BANK, bank, "Bank account")
    keep(data, "bankAccount", bank)
    return [made], (), "Bank Account"


def _license(record: Record, data: dict[str, Any]) -> _Read:
    one = nested(data, "driversLicense")
    made = model.DriversLicense(**taking.fields(one, LICENSE)), model.PersonName(**taking.fields(one, LICENSE_NAME))
    keep(data, "driversLicense", one)
    return [*made], (), None


def _passport(record: Record, data: dict[str, Any]) -> _Read:
    one = nested(data, "passport")
    made = model.Passport(**taking.fields(one, PASSPORT)), model.PersonName(**taking.fields(one, PASSPORT_NAME))
    keep(data, "passport", one)
    return [*made], (), None


READERS: dict[Any, Any] = {
    1: _login,
    2: _note,
    3: _card,
    4: _identity,
    5: _ssh,
    6: _bank,
    7: _license,
    8: _passport,
}

KEPT_RAW = frozenset({"organizationId", "externalId", "key"})

ADAPTER = Adapter(SIGNATURE, parse, render, shape=SHAPE, kept_raw=KEPT_RAW)
