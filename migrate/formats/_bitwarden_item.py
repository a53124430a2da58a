"""One item as Bitwarden's JSON has it (dossier: Bitwarden 1.2, 1.7).

An item of Bitwarden goes back as it came. Of another product's item, what Bitwarden has a place for goes there and all
else becomes custom fields; only attachments, links to other items, icons and further folders are losses.
"""

from __future__ import annotations

import re
import uuid
from base64 import urlsafe_b64encode
from binascii import a2b_base64
from collections.abc import Iterator
from typing import Any

import msgspec

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
    IDENTITY,
    LICENSE,
    LICENSE_MEMBERS,
    LICENSE_NAME,
    LINKED,
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
)
from migrate.giving import Offer, Outgoing, as_fields, code_field
from migrate.leaving import UNREADABLE
from migrate.rules import number_of
from migrate.sshkeys import complete
from migrate.taking import Members
from vault import model, otp
from vault.model import CONCEALED, CustomFields, Field, Item, Totp, kind_of
from vault.views import display_title, extra_fields

_LONG_AGO = "1970-01-01T00:00:00Z"  # a state needs a date in Bitwarden; without any this one tells the least lie


def as_uuid(own_id: str) -> str:
    """Return one of our ids as the UUID text Bitwarden expects; a foreign one as it is."""
    raw = _bytes_of(own_id)
    if raw is None or len(raw) != 16:
        return own_id
    digits = raw.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _bytes_of(base64url: str) -> bytes | None:
    """Return the bytes of base64url without padding; None where it is not spelled as we would."""
    try:
        usual = base64url.replace("-", "+").replace("_", "/")
        raw = a2b_base64(usual + "=" * (-len(usual) % 4))
    except ValueError:
        return None
    if len(raw) == 16:  # our own ids: two bits to spare, which must be nought
        return raw if len(base64url) == 22 and base64url[-1] in "AQgw" else None
    return raw if urlsafe_b64encode(raw).rstrip(b"=").decode() == base64url else None


def give_back(made: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
    """Put ``extra`` back where it came from: objects and lists are joined, all else stands as the source had it."""
    for key, value in extra.items():
        mine = made.get(key)
        if isinstance(mine, dict) and isinstance(value, dict):
            give_back(mine, value)
        elif isinstance(mine, list) and isinstance(value, list):
            made[key] = mine + value
        elif not (key == "folders" and mine):
            made[key] = value
    return made


_CODES = {kind: code for code, (kind, original) in reversed(FIELD.items()) if original is None}
_MATCHES = {meaning: code for code, meaning in MATCH.items()} | {None: None}
_LOGIN_MEMBERS: Members = {"username": ("username", "string"), "password": ("password", CONCEALED)}
_SSN: Members = {"identification_number": ("ssn", CONCEALED)}
_PASSPORT_NUMBER: Members = {"passport_number": ("passportNumber", "string")}
_LICENSE_NUMBER: Members = {"license_number": ("licenseNumber", "string")}

_TYPES: dict[type[Any], int] = {
    model.BasicAuth: LOGIN,
    model.Passkey: LOGIN,
    model.CreditCard: CARD,
    model.SshKey: SSH,
    model.PersonName: IDENTITY,
    model.Address: IDENTITY,
    model.IdentityDocument: IDENTITY,
    model.DriversLicense: LICENSE,
    model.Passport: PASSPORT,
    Totp: LOGIN,
    model.GeneratedPassword: LOGIN,
}
_NEW_TYPES = {LICENSE, PASSPORT}  # most of Bitwarden's own importers refuse them; identities are read by all

# Members of an item that say nothing by themselves, or are written beside the offer.
_SILENT = frozenset(
    {
        *("id", "provenance", "conflict", "credentials", "collections", "template"),
        *("title", "favorite", "reprompt", "history", "trashed", "archived", "modified_at", "creation_at"),
    }
)


class Writer:
    """One item; each of its parts is written once: in its place, in the object of its type, or as a custom field."""

    def __init__(self, out: Outgoing, item: Item) -> None:
        self.out, self.item, self.own = out, item, out.own(item)
        self.offer = Offer(item, _SILENT)
        if item.trashed:
            self.offer.skip("trashed_at")
        if item.archived:
            self.offer.skip("archived_at")
        self.left: list[Any] = list(item.credentials)
        self.spare: list[Field] = []  # what has no place of its own

    def item_in(self, ids: dict[str, str], of_organization: bool) -> dict[str, Any]:
        """Return the whole item; ``ids`` are those of folders in this file."""
        item, own = self.item, self.own
        kind, name, typed = self.typed()
        notes = self.notes()
        fields = self.fields(kind)
        members = [ids[c] for c in item.collections if c in ids]
        if len(members) > 1 and not of_organization:
            self.out.lose(item, "further folders", len(members) - 1)
        source_id = item.provenance.source_id if own and item.provenance else None
        made = {
            "passwordHistory": [self.past(one) for one in item.history] or None,
            "revisionDate": item.modified_at if own else item.modified_at or item.creation_at,
            "creationDate": item.creation_at,
            "deletedDate": self.date_of(item.trashed, item.trashed_at),
            **({"archivedDate": self.date_of(item.archived, item.archived_at)} if item.archived else {}),
            "id": source_id if own else as_uuid(item.id),
            "organizationId": None,
            "folderId": members[0] if members and not of_organization else None,
            "type": kind,
            "reprompt": int(item.reprompt),
            "name": item.title if item.title or own else display_title(item),
            "notes": notes or None,
            "favorite": item.favorite,
            **({"fields": fields} if fields else {}),
            **({name: typed} if name else {}),
            "collectionIds": members if of_organization else None,
        }
        return give_back(made, item.extra) if own else made

    def date_of(self, state: bool, at: str | None) -> str | None:
        """Return the date that says the item is in the state."""
        return (at or self.item.modified_at or self.item.creation_at or _LONG_AGO) if state else None

    def past(self, past: model.Past) -> dict[str, Any]:
        """Return an old value; of other members than the password Bitwarden writes the name before it."""
        old = past.value.reveal()
        made = {"lastUsedDate": past.at, "password": old if past.field == "password" else f"{past.field}: {old}"}
        return give_back(made, past.extra) if self.own else made

    def typed(self) -> tuple[int | None, str, dict[str, Any]]:
        """Return the item's type, and name and content of the object that goes with it."""
        kind = self.kind()
        made = None if kind is None else self.part(kind)
        if kind is None or made is None:
            return (NOTE, PARTS[NOTE - 1], {"type": 0}) if kind is not None else (None, "", {})
        return kind, PARTS[kind - 1], made

    def part(self, kind: int) -> dict[str, Any] | None:
        """Return the object of a type; None if it has to be a note after all."""
        if kind == LOGIN:
            return self.login()
        if kind == CARD:
            return self.card()
        if kind == IDENTITY:
            return self.identity()
        if kind == SSH:
            return self.ssh()
        if kind == BANK:
            return self.section(BANK_SECTION)
        if kind == LICENSE:
            return self.members(model.DriversLicense, LICENSE_MEMBERS) | self.members(model.PersonName, LICENSE_NAME)
        if kind == PASSPORT:
            return self.members(model.Passport, PASSPORT_MEMBERS) | self.members(model.PersonName, PASSPORT_NAME)
        return None

    def kind(self) -> int | None:
        """Return the type as which the item is written; None for one of Bitwarden's that nobody knows.

        An item of Bitwarden is what its first credential is. In one of another product a login comes first: only a
        login is filled in by browsers.
        """
        if self.own and "type" in self.item.extra:
            return None
        kinds = [kind for c in self.left if (kind := _type_of(c, own=self.own))]
        if kinds:
            return kinds[0] if self.own or LOGIN not in kinds else LOGIN
        return LOGIN if self.item.urls or self.item.android_apps else NOTE

    def pop(self, kind: type[Any]) -> Any:
        """Take the first credential of the kind out of what is left; None if there is none."""
        for at, credential in enumerate(self.left):
            if type(credential) is kind:
                return self.left.pop(at)
        return None

    def members(self, kind: type[Any], members: Members) -> dict[str, Any]:
        """Take the first credential of the kind and return its members under Bitwarden's keys."""
        credential = self.pop(kind)
        if credential is None:
            return {key: None for key, _ in members.values()}
        offer = Offer(credential)
        made = {key: offer.text(ours) or None for ours, (key, _) in members.items()}
        self.move(offer)
        return made

    def move(self, offer: Offer, title: str | None = None) -> None:
        """Make custom fields of what is left of a part; what has no text is lost."""
        if not self.own:
            offer.left.discard("extra")  # written by ``fields``, wherever it stood
        if offer.left:
            title = _title(offer.part) if title is None else title
            self.spare += as_fields(offer, title)
            self.out.settle(self.item, title, offer)

    def section(self, own_id: str) -> dict[str, Any]:
        """Take the section of custom fields that stands for members CXF has no place for."""
        made: dict[str, Any] = dict.fromkeys(SECTIONS[own_id])
        for at, credential in enumerate(self.left):
            if isinstance(credential, CustomFields) and credential.id == own_id:
                del self.left[at]
                for field in credential.fields:
                    if field.label in made and made[field.label] is None:
                        made[field.label] = field.text
                    else:
                        self.spare.append(field)
                break
        return made

    def card(self) -> dict[str, Any]:
        """Take a card; a month of a year becomes two members."""
        card = self.pop(model.CreditCard)
        month = year = None
        expiry = card.expiry_date.text if card.expiry_date else ""
        if found := re.fullmatch(r"([0-9]{4})-([0-9]{2})", expiry):
            card = msgspec.structs.replace(card, expiry_date=None)
            month, year = str(int(found[2])), found[1]
        self.left.append(card)
        made = self.members(model.CreditCard, CARD_MEMBERS)
        return made | ({"expMonth": month, "expYear": year} if month else self.section(EXPIRY_SECTION))

    def identity(self) -> dict[str, Any]:
        """Take a person: name, address, contact and numbers of documents."""
        address = self.pop(model.Address)
        lines: list[str] = []
        if address is not None:
            if address.street_address is not None:
                lines = address.street_address.text.split("\n")
                address = msgspec.structs.replace(address, street_address=None)
            self.left.insert(0, address)
        return {
            **self.members(model.PersonName, NAME),
            "address1": "".join(lines[:1]) or None,
            "address2": "".join(lines[1:2]) or None,
            "address3": "\n".join(lines[2:]) or None,
            **self.members(model.Address, ADDRESS),
            **self.section(CONTACT_SECTION),
            **self.members(model.IdentityDocument, _SSN),
            **self.members(model.Passport, _PASSPORT_NUMBER),
            **self.members(model.DriversLicense, _LICENSE_NUMBER),
        }

    def ssh(self) -> dict[str, Any] | None:
        """Take a key pair; None where it is not whole: Bitwarden refuses an item without all three texts."""
        at = next(i for i, c in enumerate(self.left) if isinstance(c, model.SshKey))
        key = self.left[at] if self.own else complete(self.left[at])
        if key is None:
            return None
        del self.left[at]
        offer = Offer(key)
        offer.skip("key_type")
        made = {
            "privateKey": offer.text("private_key"),
            "publicKey": offer.text("public_key"),
            "keyFingerprint": offer.text("fingerprint"),
        }
        self.move(offer)
        return made

    def login(self) -> dict[str, Any]:
        """Take user name, password, addresses, one code and all passkeys."""
        uris = [self.uri(url) for url in self.offer.take("urls")]
        for app in self.offer.take("android_apps"):
            offer = Offer(app)
            uris.append({"match": None, "uri": f"androidapp://{offer.take('bundle_id')}"})
            self.move(offer, "app")
        auth = self.members(model.BasicAuth, _LOGIN_MEMBERS)
        if auth["password"] is None and (generated := self.pop(model.GeneratedPassword)) is not None:
            offer = Offer(generated)
            auth["password"] = offer.text("password") or None
            self.move(offer)
        passkeys = []
        while (passkey := self.pop(model.Passkey)) is not None:
            passkeys.append(self.passkey(passkey))
        return {"uris": uris, **auth, "totp": self.totp(), "fido2Credentials": passkeys}

    def uri(self, url: model.Url) -> dict[str, Any]:
        """Return an address with its rule; a rule Bitwarden does not know becomes a custom field."""
        made = {"match": _MATCHES.get(url.match), "uri": url.url or None}
        if self.own:
            give_back(made, url.extra)
        if url.label is not None or url.match not in _MATCHES:
            offer = Offer(url)
            offer.skip("url", "extra", *(["match"] if url.match in _MATCHES else []))
            self.move(offer, "website")
        return made

    def totp(self) -> str | None:
        """Take the first code that Bitwarden can compute, or the text it could not read either."""
        for at, credential in enumerate(self.left):
            if isinstance(credential, CustomFields) and credential.id == UNREADABLE and credential.fields:
                self.left[at] = msgspec.structs.replace(credential, id=None, fields=credential.fields[1:])
                return credential.fields[0].text
            if isinstance(credential, Totp) and (text := self.code(credential)) is not None:
                del self.left[at]
                offer = Offer(credential)
                offer.skip(*_OF_CODE)
                self.move(offer)
                return text
        return None

    def code(self, totp: Totp) -> str | None:
        """Return a code as Bitwarden reads it: base32, ``otpauth://totp/`` or ``steam://``; None if it cannot."""
        text = otp.text_of(totp)
        if self.own:
            return text
        if totp.kind == "steam":
            return otp.steam_uri(totp) if otp.is_secret(totp.secret.reveal()) else None
        if totp.kind != "totp":
            return None
        return text if text == totp.secret.reveal() or text.startswith("otpauth://totp/") else otp.uri(totp)

    def passkey(self, passkey: model.Passkey) -> dict[str, Any]:
        """Return a passkey; what Bitwarden always has is filled in for one of another product."""
        offer = Offer(passkey)
        counter, found = offer.take("counter"), offer.take("discoverable")
        made = {
            "credentialId": _credential_id(offer.take("credential_id")),
            "keyType": offer.take("key_type"),
            "keyAlgorithm": offer.take("algorithm"),
            "keyCurve": offer.take("curve"),
            "keyValue": offer.text("key"),
            "rpId": offer.take("rp_id"),
            "userHandle": offer.take("user_handle"),
            "userName": offer.take("username"),
            "counter": None if counter is None else str(counter),
            "rpName": offer.take("rp_name"),
            "userDisplayName": offer.take("user_display_name"),
            "discoverable": None if found is None else str(found).lower(),
            "creationDate": offer.take("created_at"),
        }
        if self.own:
            offer.skip("extra")
            give_back(made, passkey.extra)
        else:
            usual = _PASSKEY | {"rpName": passkey.rp_id, "creationDate": self.item.creation_at}
            made |= {key: value for key, value in usual.items() if made[key] is None}
        self.move(offer)
        return made

    def notes(self) -> str:
        """Take every note; several are joined by an empty line."""
        found = []
        while (note := self.pop(model.Note)) is not None:
            offer = Offer(note)
            found.append(offer.text("content"))
            self.move(offer)
        return "\n\n".join(found)

    def fields(self, kind: int | None) -> list[dict[str, Any]]:
        """Take everything that is left: the item's own custom fields first, then what has no place of its own."""
        made = []
        for credential in self.left:
            if isinstance(credential, CustomFields):
                for one in _labelled(credential):
                    made.append(self.field(one))
                    if one.link and not (self.own or _is_link(one)):
                        self.spare.append(Field(label=f"{one.label or ''} link".strip(), value=one.link))
                if self.own and credential.extra:
                    self.out.lose(self.item, "custom fields.extra", len(credential.extra))
            else:
                self.credential(credential)
        self.beside(kind)
        if self.spare:
            self.out.moved.update(one.label or "" for one in self.spare)
        unknown = () if self.own else extra_fields(self.item)
        return made + [self.field(one) for one in (*self.spare, *unknown)]

    def credential(self, credential: Any) -> None:
        """Make custom fields of a credential that Bitwarden has no type for, or not here; a file or a link is lost."""
        offer = Offer(credential)
        if isinstance(credential, Totp):
            offer.skip(*_OF_CODE, "label")
            self.spare.append(code_field(credential, "one-time code"))
        elif isinstance(credential, model.File):
            self.out.lose(self.item, "attachment")
            return
        elif isinstance(credential, model.ItemReference):
            self.out.lose(self.item, "link to another item")
            return
        self.move(offer)

    def beside(self, kind: int | None) -> None:
        """Make custom fields of what is left of the item itself; its icon is lost."""
        offer, item = self.offer, self.item
        for member, title in (("urls", "website"), ("android_apps", "app")):
            if member in offer.left:
                for part in offer.take(member):
                    self.move(Offer(part), title)
        if "icon" in offer.left:
            offer.skip("icon")
            self.out.lose(item, "icon")
        said = BANK_ACCOUNT if kind == BANK else None
        if item.template not in (None, said) and (self.own or (kind == NOTE and kind_of(item) != "note")):
            self.spare.append(Field(value=item.template, label="category"))
        if self.own:
            offer.skip("extra")
        self.move(offer, "")

    def field(self, field: Field) -> dict[str, Any]:
        """Return a custom field."""
        is_link = self.own or _is_link(field)
        kind = _LINKED if field.original == LINKED and is_link else _CODES.get(field.field_type, 0)
        made: dict[str, Any] = {
            "name": field.label or "",
            "value": (field.text or None) if kind == _LINKED else field.text,
            "type": kind,
            "linkedId": number_of(field.link) if is_link else None,
        }
        return give_back(made, field.extra) if self.own else made


_LINKED = next(code for code, (_, original) in FIELD.items() if original == LINKED)
_OF_CODE = tuple(name for name in Totp.__struct_fields__ if name not in ("label", "extra"))
_PASSKEY = {
    "keyType": "public-key",
    "keyAlgorithm": "ECDSA",
    "keyCurve": "P-256",
    "counter": "0",
    "discoverable": "true",
}


def _type_of(credential: Any, *, own: bool) -> int | None:
    """Return the type an item has for the sake of this credential."""
    if isinstance(credential, CustomFields):
        return BANK if own and credential.id == BANK_SECTION else None
    if isinstance(credential, model.BasicAuth) and not own and not (credential.username or credential.password):
        return None
    kind = _TYPES.get(type(credential))
    return IDENTITY if kind in _NEW_TYPES and not own else kind


def _is_link(field: Field) -> bool:
    """Whether a field mirrors a property that Bitwarden has a number for."""
    return field.original == LINKED and number_of(field.link) is not None


def _title(credential: Any) -> str:
    return str(type(credential).__struct_config__.tag).replace("-", " ")


def _labelled(section: CustomFields) -> Iterator[Field]:
    """Yield the fields of a section with its title before their labels."""
    if not section.label:
        yield from section.fields
        return
    for field in section.fields or (Field(),):
        yield msgspec.structs.replace(field, label=f"{section.label}: {field.label or ''}".rstrip(": "))


def _credential_id(own: str) -> str:
    """Return a UUID where the id has 16 bytes, else base64url marked ``b64.``; what is neither as it is."""
    raw = _bytes_of(own)
    if raw is not None and len(raw) == 16:
        return str(uuid.UUID(bytes=raw))
    return f"b64.{own}" if re.fullmatch(r"[A-Za-z0-9_-]+", own) else own
