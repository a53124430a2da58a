"""Bitwarden's own vocabulary, and the writer of its JSON (dossier: Bitwarden 1.2, 1.7)."""

from __future__ import annotations

import uuid
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from typing import Any, BinaryIO

import msgspec

from migrate.giving import Offer, Outgoing, as_fields, code_field, merge_back
from migrate.taking import Members
from vault import model
from vault.canonical import encode
from vault.model import CONCEALED, Collection, CustomFields, Field, Item, Totp
from vault.views import display_title

MATCH = {0: "domain", 1: "host", 2: "starts-with", 3: "exact", 4: "regex", 5: "never"}
FIELD = {0: "string", 1: CONCEALED, 2: "boolean", 3: "string"}
LINKED = 3

TOTP_UNREADABLE = "bitwarden-totp"  # the section that holds a code whose key cannot be read

NAME: Members = {
    "title": ("title", "string"),
    "given": ("firstName", "string"),
    "given2": ("middleName", "string"),
    "surname": ("lastName", "string"),
}
ADDRESS: Members = {
    "city": ("city", "string"),
    "territory": ("state", "string"),
    "postal_code": ("postalCode", "string"),
    "country": ("country", "string"),
    "tel": ("phone", "string"),
}
CARD: Members = {
    "full_name": ("cardholderName", "string"),
    "card_type": ("brand", "string"),
    "number": ("number", CONCEALED),
    "verification_number": ("code", CONCEALED),
}
LICENSE_NAME = {ours: NAME[ours] for ours in ("given", "given2", "surname")}
LICENSE: Members = {
    "birth_date": ("dateOfBirth", "date"),
    "license_number": ("licenseNumber", "string"),
    "country": ("issuingCountry", "country-code"),
    "territory": ("issuingState", "subdivision-code"),
    "issue_date": ("issueDate", "date"),
    "expiry_date": ("expirationDate", "date"),
    "issuing_authority": ("issuingAuthority", "string"),
    "license_class": ("licenseClass", "string"),
}
PASSPORT_NAME: Members = {"given": ("givenName", "string"), "surname": ("surname", "string")}
PASSPORT: Members = {
    "birth_date": ("dateOfBirth", "date"),
    "sex": ("sex", "string"),
    "birth_place": ("birthPlace", "string"),
    "nationality": ("nationality", "string"),
    "issuing_country": ("issuingCountry", "country-code"),
    "passport_number": ("passportNumber", "string"),
    "passport_type": ("passportType", "string"),
    "national_identification_number": ("nationalIdentificationNumber", "string"),
    "issuing_authority": ("issuingAuthority", "string"),
    "issue_date": ("issueDate", "date"),
    "expiry_date": ("expirationDate", "date"),
}
# What CXF's types have no member for stands in sections of custom fields that go back in place.
CONTACT = {"id": "bitwarden-contact", "keys": ("company", "email", "username")}
BANK_HIDDEN = frozenset({"accountNumber", "pin", "iban"})
BANK = {
    "id": "bitwarden-bank-account",
    "keys": (
        *("bankName", "nameOnAccount", "accountType", "accountNumber", "routingNumber", "branchNumber"),
        *("pin", "swiftCode", "iban", "bankContactPhone"),
    ),
}


def render(out: Outgoing, file: BinaryIO) -> None:
    """Write folders and items; a vault that came from an organisation is written as one."""
    kinds = {c.kind for c in out.collections if c.format == out.format}
    of_organization = "collection" in kinds and "folder" not in kinds
    listed = "collections" if of_organization else "folders"
    folders, ids = _folders(out, of_organization)
    top = {"encrypted": False, listed: folders} | out.extras.get(out.format, {})
    file.write(msgspec.json.format(encode(top), indent=2)[:-2] + b',\n  "items": [')
    separator = b"\n    "
    for item in out.items:
        one = _item(out, item, ids, of_organization)
        file.write(separator + msgspec.json.format(encode(one), indent=2).replace(b"\n", b"\n    "))
        separator = b",\n    "
    file.write(b"\n  ]\n}\n" if separator[:1] == b"," else b"]\n}\n")


def as_uuid(own_id: str) -> str:
    """Return one of our ids as the UUID text Bitwarden expects; a foreign one as it is."""
    try:
        raw = urlsafe_b64decode(own_id + "=" * (-len(own_id) % 4))
    except ValueError:
        return own_id
    return str(uuid.UUID(bytes=raw)) if len(raw) == 16 else own_id


def _folders(out: Outgoing, of_organization: bool) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Return the folder list and the ids items refer to; ancestors that were only implied are left implied."""
    paths = out.paths()
    parents = {c.parent for c in out.collections}
    used = out.options.get("used_collections")
    listed, ids = [], {}
    for collection in out.collections:
        implied = not collection.aliases and collection.id in parents
        if implied and (used is None or collection.id not in used):
            continue
        own = collection.format == out.format and collection.aliases
        ids[collection.id] = collection.aliases[0] if own else as_uuid(collection.id)
        listed.append(_folder(collection, ids[collection.id], paths[collection.id], bool(own), of_organization))
    return listed, ids


def _folder(c: Collection, own_id: str, path: tuple[str, ...], own: bool, of_organization: bool) -> dict[str, Any]:
    made: dict[str, Any] = {"id": own_id, "name": "/".join(path)}
    if of_organization and not own:
        made |= {"organizationId": None, "externalId": None}
    return merge_back(made, c.extra) if own else made


def _item(out: Outgoing, item: Item, ids: dict[str, str], of_organization: bool) -> dict[str, Any]:
    offer = Offer(item)
    own = out.own(item)
    offer.skip("id", "provenance", "conflict", "template", "trashed", "archived", "modified_at", "creation_at")
    made: dict[str, Any] = {
        "passwordHistory": [_past(p, own) for p in offer.take("history")] or None,
        "revisionDate": item.modified_at or item.creation_at,
        "creationDate": item.creation_at,
        "deletedDate": offer.take("trashed_at") or (item.modified_at if item.trashed else None),
        "id": (item.provenance.source_id if own and item.provenance else None) or as_uuid(item.id),
        "organizationId": None,
    }
    if archived := offer.take("archived_at") or (item.archived and (item.modified_at or "1970-01-01T00:00:00Z")):
        made["archivedDate"] = archived
    offer.take("collections")
    members = [ids[c] for c in item.collections if c in ids]
    made["folderId"] = None if of_organization or not members else members[0]
    made |= _content(out, item, offer, own)
    made["collectionIds"] = members if of_organization else None
    if not of_organization and len(members) > 1:
        out.lose(item, "further folders", len(members) - 1)
    if own:
        offer.skip("extra")
        merge_back(made, item.extra)
    out.settle(item, "", offer)
    return made


def _content(out: Outgoing, item: Item, offer: Offer, own: bool) -> dict[str, Any]:
    """Return type, name, notes, fields and the object of the type; what fits nowhere becomes custom fields."""
    writer = _Writer(out, item, own)
    offer.skip("credentials")
    name, favorite, reprompt = offer.take("title"), offer.take("favorite"), offer.take("reprompt")
    made = writer.typed(offer)
    notes = writer.notes()
    fields = [*writer.fields()]
    if not own:
        fields += writer.unknown(offer)
    fields += [_field(f, own) for f in as_fields(offer)]
    return {
        "type": made.pop("type"),
        "reprompt": int(reprompt),
        "name": name if name or own else display_title(item),
        "notes": notes or None,
        "favorite": favorite,
        **({"fields": fields} if fields else {}),
        **made,
    }


def _past(past: model.Past, own: bool) -> dict[str, Any]:
    made = {"lastUsedDate": past.at, "password": past.value.reveal()}
    return merge_back(made, past.extra) if own else made


_CODES = {meaning: code for code, meaning in FIELD.items() if code != LINKED}
_MATCHES = {meaning: code for code, meaning in MATCH.items()}


def _field(field: Field, own: bool) -> dict[str, Any]:
    made: dict[str, Any] = {
        "name": field.label or "",
        "value": field.text,
        "type": _CODES.get(field.field_type, 0),
        "linkedId": int(field.link) if field.link and field.link.isdigit() else None,
    }
    if field.original == "linked":
        made |= {"type": LINKED, "value": field.text or None}
    return merge_back(made, field.extra) if own else made


class _Writer:
    """The credentials of one item, each written once: in the object of the item's type, or as custom fields."""

    def __init__(self, out: Outgoing, item: Item, own: bool) -> None:
        self.out, self.item, self.own = out, item, own
        self.left = list(item.credentials)

    def pop(self, kind: type[Any]) -> Any:
        """Take the first credential of the kind out of what is left; None if there is none."""
        for at, credential in enumerate(self.left):
            if type(credential) is kind:
                return self.left.pop(at)
        return None

    def section(self, section: dict[str, Any]) -> dict[str, Any]:
        """Take the section of custom fields that stands for members CXF has no place for."""
        made = dict.fromkeys(section["keys"])
        for at, credential in enumerate(self.left):
            if isinstance(credential, CustomFields) and credential.id == section["id"]:
                del self.left[at]
                known = {f.label: f for f in credential.fields if f.label in made}
                made.update({label: f.text for label, f in known.items()})
                spare = tuple(f for f in credential.fields if f.label not in made)
                if spare:
                    self.left.append(CustomFields(fields=spare))
                break
        return made

    def members(self, kind: type[Any], members: Members) -> dict[str, Any]:
        """Take the first credential of the kind and return its members under Bitwarden's keys."""
        credential = self.pop(kind)
        if credential is None:
            return {key: None for key, _ in members.values()}
        offer = Offer(credential)
        made = {key: offer.text(ours) or None for ours, (key, _) in members.items()}
        self.spare(offer, credential)
        return made

    def spare(self, offer: Offer, credential: Any) -> None:
        """Keep for later what is left of a credential after its members were written."""
        if self.own:
            offer.skip("extra")
        if offer.left:
            fields = tuple(as_fields(offer, _title(credential)))
            self.out.moved.update(f.label or "" for f in fields)
            if fields:
                self.left.append(CustomFields(fields=fields))
            self.out.settle(self.item, _title(credential), offer)

    def typed(self, offer: Offer) -> dict[str, Any]:
        """Return the item's type and the object that goes with it."""
        kinds = {type(c) for c in self.left}
        sections = {c.id for c in self.left if isinstance(c, CustomFields)}
        if model.CreditCard in kinds and model.BasicAuth not in kinds:
            return {"type": 3, "card": self.card()}
        if model.SshKey in kinds and (ssh := self.ssh()) is not None:
            return {"type": 5, "sshKey": ssh}
        if self.own and BANK["id"] in sections:
            return {"type": 6, "bankAccount": self.section(BANK)}
        if self.own and model.Address not in kinds and model.DriversLicense in kinds:
            one = self.members(model.DriversLicense, LICENSE) | self.members(model.PersonName, LICENSE_NAME)
            return {"type": 7, "driversLicense": one}
        if self.own and model.Address not in kinds and model.Passport in kinds:
            one = self.members(model.Passport, PASSPORT) | self.members(model.PersonName, PASSPORT_NAME)
            return {"type": 8, "passport": one}
        if kinds & _IDENTITY and model.BasicAuth not in kinds:
            return {"type": 4, "identity": self.identity()}
        if kinds & _LOGIN or self.item.urls or self.item.android_apps:
            return {"type": 1, "login": self.login(offer)}
        return {"type": 2, "secureNote": {"type": 0}}

    def card(self) -> dict[str, Any]:
        at = next(i for i, c in enumerate(self.left) if isinstance(c, model.CreditCard))
        card = self.left[at]
        expiry = (card.expiry_date.text if card.expiry_date else "").split("-")
        if len(expiry) == 2 and expiry[1].isdigit():
            self.left[at] = msgspec.structs.replace(card, expiry_date=None)
            month, year = str(int(expiry[1])), expiry[0]
        else:
            month, year = None, None
        return self.members(model.CreditCard, CARD) | {"expMonth": month, "expYear": year}

    def identity(self) -> dict[str, Any]:
        at = next((i for i, c in enumerate(self.left) if isinstance(c, model.Address)), None)
        lines: list[str] = []
        if at is not None and self.left[at].street_address is not None:
            lines = self.left[at].street_address.text.split("\n")
            self.left[at] = msgspec.structs.replace(self.left[at], street_address=None)
        address = {f"address{n + 1}": (lines[n] or None) if n < len(lines) else None for n in range(2)}
        address["address3"] = "\n".join(lines[2:]) or None
        return {
            **self.members(model.PersonName, NAME),
            **address,
            **self.members(model.Address, ADDRESS),
            **self.section(CONTACT),
            **self.members(model.IdentityDocument, {"identification_number": ("ssn", CONCEALED)}),
            **self.members(model.Passport, {"passport_number": ("passportNumber", "string")}),
            **self.members(model.DriversLicense, {"license_number": ("licenseNumber", "string")}),
        }

    def ssh(self) -> dict[str, Any] | None:
        key = next(c for c in self.left if isinstance(c, model.SshKey))
        if not self.own and not (key.private_key and key.public_key and key.fingerprint):
            return None  # Bitwarden refuses a key without all three
        self.left.remove(key)
        offer = Offer(key)
        offer.skip("key_type")
        made = {
            "privateKey": offer.text("private_key"),
            "publicKey": offer.text("public_key"),
            "keyFingerprint": offer.text("fingerprint"),
        }
        self.spare(offer, key)
        return made

    def login(self, offer: Offer) -> dict[str, Any]:
        uris = [self.uri(u) for u in offer.take("urls")]
        uris += [{"match": None, "uri": f"androidapp://{app.bundle_id}"} for app in offer.take("android_apps")]
        auth = self.members(model.BasicAuth, {"username": ("username", "string"), "password": ("password", CONCEALED)})
        passkeys = []
        while (passkey := self.pop(model.Passkey)) is not None:
            passkeys.append(self.passkey(passkey))
        return {"uris": uris, **auth, "totp": self.totp(), "fido2Credentials": passkeys}

    def uri(self, url: model.Url) -> dict[str, Any]:
        offer = Offer(url)
        made = {"match": _MATCHES.get(offer.take("match")), "uri": offer.take("url") or None}
        if self.own:
            offer.skip("extra")
            merge_back(made, url.extra)
        self.out.settle(self.item, "url", offer)
        return made

    def totp(self) -> str | None:
        from vault import otp

        for at, credential in enumerate(self.left):
            if isinstance(credential, CustomFields) and credential.id == TOTP_UNREADABLE:
                del self.left[at]
                return credential.fields[0].text if credential.fields else None
        for at, credential in enumerate(self.left):
            if isinstance(credential, Totp) and credential.kind in ("totp", "steam"):
                del self.left[at]
                text = otp.text_of(credential)
                is_readable = credential.kind == "totp" or text.startswith("steam://")
                return text if is_readable else otp.steam_uri(credential)
        return None

    def passkey(self, passkey: model.Passkey) -> dict[str, Any]:
        offer = Offer(passkey)
        counter, found = offer.take("counter"), offer.take("discoverable")
        made = {
            "credentialId": _credential_id(offer.take("credential_id")),
            "keyType": offer.take("key_type") or "public-key",
            "keyAlgorithm": offer.take("algorithm") or "ECDSA",
            "keyCurve": offer.take("curve") or "P-256",
            "keyValue": offer.text("key"),
            "rpId": offer.take("rp_id"),
            "userHandle": offer.take("user_handle"),
            "userName": offer.take("username"),
            "counter": str(counter or 0),
            "rpName": offer.take("rp_name") or passkey.rp_id,
            "userDisplayName": offer.take("user_display_name"),
            "discoverable": "false" if found is False else "true",
            "creationDate": offer.take("created_at") or self.item.creation_at,
        }
        if self.own:
            offer.skip("extra")
            merge_back(made, passkey.extra)
        self.out.settle(self.item, "passkey", offer)
        return made

    def notes(self) -> str:
        """Take every note; several are joined by an empty line."""
        found = []
        while (note := self.pop(model.Note)) is not None:
            found.append(note.content.reveal())
        return "\n\n".join(found)

    def fields(self) -> Iterator[dict[str, Any]]:
        """Yield all credentials that are left as custom fields; a file cannot be one and is lost."""
        while self.left:
            credential = self.left.pop(0)
            offer = Offer(credential)
            if isinstance(credential, CustomFields):
                offer.skip("id", "label", "fields")
                prefix = f"{credential.label}: " if credential.label else ""
                for field in credential.fields:
                    yield _field(msgspec.structs.replace(field, label=prefix + (field.label or "")), self.own)
            elif isinstance(credential, Totp):
                offer.left.clear()
                yield _field(code_field(credential, "one-time code"), False)
            elif isinstance(credential, model.File):
                offer.left.clear()
                self.out.lose(self.item, "attachment")
            else:
                fields = [*as_fields(offer, _title(credential))]
                self.out.moved.update(f.label or "" for f in fields)
                yield from (_field(f, False) for f in fields)
            if self.own:
                offer.skip("extra")
            self.out.settle(self.item, _title(credential), offer)

    def unknown(self, offer: Offer) -> Iterator[dict[str, Any]]:
        """Yield what another format said and nobody understood, as custom fields."""
        from vault.views import extra_fields

        offer.skip("extra")
        return (_field(f, False) for f in extra_fields(self.item))


_LOGIN = {model.BasicAuth, model.Passkey, Totp}
_IDENTITY = {model.PersonName, model.Address, model.IdentityDocument, model.Passport, model.DriversLicense}


def _title(credential: Any) -> str:
    return str(type(credential).__struct_config__.tag).replace("-", " ")


def _credential_id(own: str) -> str:
    """Return a UUID where the id has 16 bytes, else base64url marked ``b64.``."""
    try:
        raw = urlsafe_b64decode(own + "=" * (-len(own) % 4))
    except ValueError:
        return own
    if len(raw) == 16 and urlsafe_b64encode(raw).rstrip(b"=").decode() == own:
        return str(uuid.UUID(bytes=raw))
    return f"b64.{own}" if own else own
