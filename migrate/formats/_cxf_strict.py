"""The items of CXF's strict profile: only what the standard has, only values it allows (dossier: CXF 4, 5, 11.13).

A value that is not of its field's type is written as ``string``; what CXF has no member for becomes a custom field with
a label. Lost are passkeys in use with a counter, icons, and the bytes of attachments in a lone JSON file.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator
from datetime import date
from hashlib import sha256
from typing import Any

from migrate.formats._cxf import hash_of
from migrate.giving import Offer, Outgoing, as_fields, code_field
from vault import cxf, model
from vault.model import CONCEALED, Collection, Credential, Field, Item, Totp, concealed
from vault.views import extra_fields

Data = dict[str, Any]

_BASE64URL = re.compile(r"[A-Za-z0-9_-]*")
_MOST = 64  # bytes of an id


def is_base64url(text: str) -> bool:
    """Whether the text is base64url without padding."""
    return bool(_BASE64URL.fullmatch(text)) and len(text) % 4 != 1


class Names:
    """The ids things have in the file: for what came from CXF the one it had there, if nothing else has it."""

    def __init__(self, items: Iterable[Item], collections: Iterable[Collection]) -> None:
        came = ((item.id, item.provenance) for item in items)
        self._items = _names(
            (own, o.source_id if o is not None and o.format == cxf.FORMAT else None) for own, o in came
        )
        self._folders = _names(
            (c.id, next(iter(c.aliases), None) if c.format == cxf.FORMAT else None) for c in collections
        )

    def item(self, own_id: str) -> str:
        """Return the id of an item; it may be one that is not there."""
        return self._items.get(own_id) or id_of(own_id)

    def folder(self, own_id: str) -> str:
        """Return the id of a collection."""
        return self._folders.get(own_id) or id_of(own_id)


def _names(known: Iterable[tuple[str, str | None]]) -> dict[str, str]:
    pairs = list(known)
    taken = {id_of(own) for own, _ in pairs}
    made = {}
    for own, source_id in pairs:
        if source_id and source_id not in taken and id_of(source_id) == source_id:
            taken.add(source_id)
            made[own] = source_id
    return made


def id_of(own: str) -> str:
    """Return an id as CXF allows it; any other is written as the base64url of its text."""
    if own and is_base64url(own) and len(own) * 3 // 4 <= _MOST:
        return own
    raw = own.encode("utf-8", "surrogatepass")
    return urlsafe_b64encode(raw if 0 < len(raw) <= _MOST else sha256(raw).digest()).rstrip(b"=").decode()


# Fields


def _is_date(text: str) -> bool:
    try:
        return len(text) == 10 and date.fromisoformat(text) is not None
    except ValueError:
        return False


def _like(pattern: str) -> Callable[[str], bool]:
    found = re.compile(pattern)
    return lambda text: found.fullmatch(text) is not None


_FITS: dict[str, Callable[[str], bool]] = {
    "string": lambda _: True,
    CONCEALED: lambda _: True,
    "wifi-network-security-type": lambda _: True,
    "email": _like(r"[^@\s]+@[^@\s]+"),
    "number": _like(r"-?[0-9]+(\.[0-9]+)?"),
    "boolean": _like(r"true|false"),
    "date": _is_date,
    "year-month": _like(r"[0-9]{4}-(0[1-9]|1[0-2])"),
    "country-code": _like(r"[A-Z]{2}"),
    "subdivision-code": _like(r"([A-Z]{2}-)?[A-Z0-9]{1,3}"),
}


def field_out(field: Field, expected: str | None = None) -> Data:
    """Return an EditableField of the expected type or the field's own; ``string`` where the value does not fit it."""
    kind = CONCEALED if field.is_concealed else expected or field.field_type
    text = field.text
    made: Data = {"fieldType": kind if kind in _FITS and _FITS[kind](text) else "string", "value": text}
    if field.id and is_base64url(field.id) and len(field.id) * 3 // 4 <= _MOST:
        made = {"id": field.id, **made}
    if field.label is not None:
        made["label"] = field.label
    return made


def section_out(fields: Iterable[Field], label: str | None = None, own_id: str | None = None) -> Data:
    """Return a section of custom fields."""
    made: Data = {"type": "custom-fields"}
    if own_id and id_of(own_id) == own_id:
        made["id"] = own_id
    if label is not None:
        made["label"] = label
    return {**made, "fields": [field_out(one) for one in fields]}


# Items


class Writer:
    """One item; each of its parts is written once, in its place or as a custom field."""

    def __init__(self, out: Outgoing, item: Item, names: Names) -> None:
        self.out, self.item, self.names = out, item, names
        self.offer = Offer(item)
        self.offer.skip("id", "provenance", "conflict", "collections", "extra")
        self.spare: list[Field] = []  # what has no place of its own

    def written(self) -> Data:
        """Return the item."""
        item, offer = self.item, self.offer
        made: Data = {"id": self.names.item(item.id)}
        for name, member in (("creation_at", "creationAt"), ("modified_at", "modifiedAt")):
            instant = getattr(item, name)
            if instant is not None and (seconds := cxf.seconds_of(instant)) is not None:
                offer.skip(name)
                made[member] = seconds
        made["title"] = offer.take("title")
        if item.subtitle is not None:
            made["subtitle"] = offer.take("subtitle")
        made["favorite"] = offer.take("favorite")
        made["scope"] = {"urls": self._urls(), "androidApps": self._apps()}
        made["tags"] = list(offer.take("tags"))
        made["credentials"] = [*self._credentials(), *self._rest()]
        return made

    def _urls(self) -> list[str]:
        for url in self.offer.take("urls"):
            offer = Offer(url)
            offer.skip("url")
            self._spare(offer, "website")
        return [url.url for url in self.item.urls]

    def _apps(self) -> list[Data]:
        made = []
        for app in self.offer.take("android_apps"):
            offer = Offer(app)
            if app.bundle_id:
                one: Data = {"bundleId": offer.take("bundle_id")}
                if (certificate := _certificate(app.certificate)) is not None:
                    offer.skip("certificate")
                    one["certificate"] = certificate
                if app.name is not None:
                    one["name"] = offer.take("name")
                made.append(one)
            self._spare(offer, "app")
        return made

    def _credentials(self) -> Iterator[Data]:
        self.offer.skip("credentials")
        for credential in self.item.credentials:
            offer = Offer(credential)
            write = _WRITERS.get(type(credential), _plain)
            made = write(self, credential, offer)
            if made is not None:
                yield made
            self._spare(offer, _title(credential))

    def _spare(self, offer: Offer, title: str) -> None:
        """Make custom fields of what is left of a part; what has no text is lost."""
        offer.skip("extra")  # written at the end, wherever it stood
        self.spare += as_fields(offer, title)
        self.out.settle(self.item, title, offer)

    def _rest(self) -> Iterator[Data]:
        """Yield old values, and everything else that is left, as sections of custom fields."""
        past = [_past(one) for one in self.offer.take("history")]
        if past:
            yield section_out(past, "History")
        if "icon" in self.offer.left:
            self.offer.skip("icon")
            self.out.lose(self.item, "icon")
        self._spare(self.offer, "")
        self.out.moved.update(one.label or "" for one in self.spare)
        spare = [*self.spare, *extra_fields(self.item)]
        if spare:
            yield section_out(spare, "More")


def _past(past: model.Past) -> Field:
    label = f"former {past.field}" + (f" until {past.at}" if past.at else "")
    return concealed(past.value.reveal(), label=label)


def _certificate(found: Data | None) -> Data | None:
    """Return a certificate if it has both texts that CXF wants and nothing else."""
    if found is None or set(found) != {"fingerprint", "hashAlg"} or not all(isinstance(v, str) for v in found.values()):
        return None
    return found if found["fingerprint"] and is_base64url(found["fingerprint"]) else None


def _title(credential: Credential) -> str:
    tag = type(credential).__struct_config__.tag
    if isinstance(credential, model.UnknownCredential):
        tag = credential.raw.get("type") or "unknown credential"
    return str(tag).replace("-", " ")


def _plain(writer: Writer, credential: Any, offer: Offer) -> Data | None:
    """Write the members CXF has; None if there are none."""
    tag = str(type(credential).__struct_config__.tag)
    made: Data = {"type": tag}
    kind, types = cxf.KINDS[tag], cxf.FIELD_TYPES.get(tag, {})
    for member in credential.__struct_fields__:
        name = cxf.member_name(tag, member)
        how = kind.native.get(name)
        value = getattr(credential, member)
        if how == "field" and value is not None:
            made[name] = field_out(offer.take(member), types.get(name, "string"))
            if value.link is not None:
                writer.spare.append(Field(value=value.link, label=f"{value.label or name} points to"))
        elif how in ("text", "int") and (value is not None or name in kind.required):
            made[name] = offer.text(member) if how == "text" else offer.take(member)
    return made


def _section(writer: Writer, section: Any, offer: Offer) -> Data:
    offer.skip("id", "label", "fields")
    for one in section.fields:
        if one.link is not None:
            writer.spare.append(Field(value=one.link, label=f"{one.label or 'field'} points to"))
    return section_out(section.fields, section.label, section.id)


def _note(_: Writer, note: Any, offer: Offer) -> Data:
    return {"type": "note", "content": {"fieldType": "string", "value": offer.text("content")}}


_CODE_MEMBERS = ("secret", "period", "digits", "algorithm", "username", "issuer", "kind", "source")


def _code(_: Writer, totp: Totp, offer: Offer) -> Data:
    row = {name: getattr(totp, name) for name in ("kind", "algorithm", "period", "digits")}
    secret = totp.secret.reveal()
    offer.skip(*_CODE_MEMBERS)
    if not cxf.is_standard_code({**row, "secret": secret}) or not re.fullmatch(r"[A-Z2-7]+", secret):
        offer.skip("counter", "pin", "parameters", "label")
        return section_out([code_field(totp, "one-time code")])
    names = {name: value for name in ("username", "issuer") if (value := getattr(totp, name)) is not None}
    return {"type": "totp", "secret": secret, **{n: row[n] for n in ("period", "digits", "algorithm")}, **names}


def _passkey(writer: Writer, passkey: model.Passkey, offer: Offer) -> Data | None:
    binary = (passkey.credential_id, passkey.key.reveal())
    if passkey.counter:  # of a passkey that counts two copies would betray each other (dossier: CXF 5)
        offer.left.clear()
        writer.out.lose(writer.item, "passkey in use with a counter")
        return None
    if not all(text and is_base64url(text) for text in binary) or not is_base64url(passkey.user_handle):
        return None
    offer.skip("counter", "key_type", "algorithm", "curve")  # the key says so itself
    for name, said in (("rp_name", passkey.rp_id), ("created_at", writer.item.creation_at), ("discoverable", True)):
        if getattr(passkey, name) == said:
            offer.skip(name)
    made = _plain(writer, passkey, offer)
    extensions = {k: v for k, v in (passkey.fido2_extensions or {}).items() if v is not None}
    if made is not None and extensions:
        made["fido2Extensions"] = extensions
    offer.skip("fido2_extensions")
    return made


def _ssh(writer: Writer, key: model.SshKey, offer: Offer) -> Data | None:
    from migrate.sshkeys import fingerprint, pkcs8

    found = pkcs8(key.private_key.reveal())
    if found is None:  # under a passphrase, or of a kind nobody here knows: kept as text
        return None
    der, line = found
    offer.skip("private_key", "key_type")
    if key.public_key and key.public_key.split()[:2] == line.split()[:2]:
        comment = " ".join(key.public_key.split()[2:])
        if comment in ("", key.key_comment):
            offer.skip("public_key")
    if key.fingerprint == fingerprint(line.encode()):
        offer.skip("fingerprint")
    made = _plain(writer, key, offer)
    text = urlsafe_b64encode(der).rstrip(b"=").decode()
    return None if made is None else made | {"keyType": line.split()[0], "privateKey": text}


def _file(writer: Writer, file: model.File, offer: Offer) -> Data:
    digest = file.integrity_hash if is_base64url(file.integrity_hash) else ""
    offer.skip("id", "missing", *(["integrity_hash"] if digest else []))
    size = offer.take("decrypted_size")
    return {
        "type": "file",
        "id": digest or id_of(file.id),  # what the member of the container is called
        "name": offer.take("name"),
        "decryptedSize": max(0, size),
        "integrityHash": digest or hash_of(b""),
    }


def _reference(writer: Writer, link: model.ItemReference, offer: Offer) -> Data:
    return {"type": "item-reference", "reference": {"item": writer.names.item(offer.take("reference"))}}


def _unknown(writer: Writer, credential: model.UnknownCredential, offer: Offer) -> Data | None:
    """Write a credential of a later CXF as it came; what is no such becomes text."""
    tag = credential.raw.get("type")
    if isinstance(tag, str) and tag and tag not in cxf.KINDS and not tag.startswith("dev.keyferry."):
        offer.skip("raw")
        return {key: _without_nulls(value) for key, value in credential.raw.items() if value is not None}
    return None


def _without_nulls(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _without_nulls(value) for key, value in node.items() if value is not None}
    return [_without_nulls(one) for one in node if one is not None] if isinstance(node, list) else node


_WRITERS: dict[type[Any], Callable[[Writer, Any, Offer], Data | None]] = {
    model.CustomFields: _section,
    model.Note: _note,
    Totp: _code,
    model.Passkey: _passkey,
    model.SshKey: _ssh,
    model.File: _file,
    model.ItemReference: _reference,
    model.UnknownCredential: _unknown,
}
