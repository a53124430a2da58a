"""The writer of one 1Password item (dossier: 1Password 2.2).

Items of 1Password go back as they came. Of others, what a category's template has goes there; all else becomes a field
in a section, so that next to nothing is lost. Trash is written as ``state: "trashed"``: the product's own export leaves
its trash out, and a reader that does not know the word at least sees that the item is not an active one.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from migrate.formats import _onepassword as op
from migrate.formats import _onepassword_rules as rules
from migrate.giving import Offer, Outgoing, as_fields, code_field
from vault import model
from vault.canonical import encode
from vault.model import CONCEALED, CustomFields, Field, Item, concealed, kind_of
from vault.moment import Instant, to_micros
from vault.views import display_title, extra_fields

OTHER = "Other"
_CODES = {name: code for code, name in rules.CATEGORIES.items()}
_OF_KIND = {
    "login": "001",
    "totp": "001",
    "card": "002",
    "note": "003",
    "custom": "003",
    "identity": "004",
    "password": "005",
    "document": "006",
    "drivers-license": "103",
    "passport": "106",
    "identity-document": "108",
    "wifi": "109",
    "api-key": "112",
    "ssh-key": "114",
}
_BRANDS = {
    "visa": "visa",
    "mastercard": "mc",
    "mc": "mc",
    "american express": "amex",
    "amex": "amex",
    "diners club": "diners",
    "diners": "diners",
    "discover": "discover",
    "jcb": "jcb",
    "maestro": "maestro",
    "unionpay": "unionpay",
    "carteblanche": "carteblanche",
    "visaelectron": "visaelectron",
    "laser": "laser",
}
_STRUCTURE = frozenset(
    {"fieldType", "designation", "state", "categoryUuid", "type", "mode", "decryptedSize", "inputTraits", *op.TRAITS}
)  # keys where an unknown word of the source stands instead of ours
_OBJECTS = frozenset({"address", "sshKey", "file", "reference"})  # kinds that a field has only where it is empty
_MONTH = re.compile(r"(?!0000)\d{4}-(0[1-9]|1[0-2])")
_MILLIS_FROM = 100_000_000_000  # a larger number is read as milliseconds


def made_uuid(own_id: str) -> str:
    """Return a uuid in 1Password's form, 26 letters and digits, for one of our ids."""
    digest = hashlib.blake2b(own_id.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    return base64.b32encode(digest).decode().rstrip("=").lower()


def stamp(instant: Instant | None) -> int:
    """Return UNIX seconds; milliseconds for a time that has them; 0 for no time."""
    if instant is None:
        return 0
    micros = to_micros(instant)
    millis, seconds = micros // 1000, micros // 1_000_000
    is_finer = micros % 1_000_000 != 0 and micros % 1000 == 0
    return millis if millis > _MILLIS_FROM and (is_finer or seconds > _MILLIS_FROM) else seconds


Attach = Callable[[Item, model.File, bool, str], str]  # see to a file's bytes, in this member; return its document id


@dataclass(slots=True)
class ItemWriter:
    """One item while it is written."""

    out: Outgoing
    item: Item
    tags: tuple[str, ...]
    uuid_of: Callable[[str], str]  # of the item with this id of ours
    attach: Attach
    own: bool = False
    code: str = ""
    parts: list[tuple[Any, Offer]] = field(default_factory=list)
    things: list[op.Thing] = field(default_factory=list)
    more: list[Field] = field(default_factory=list)  # what has no place of its own
    written: list[Any] = field(default_factory=list)  # files that stand elsewhere than in a section
    made_ids: int = 0

    def record(self) -> dict[str, Any]:
        """Return the item's JSON; what fits nowhere is among the losses."""
        item, offer = self.item, Offer(self.item)
        self.own = self.out.own(item)
        self.code = self._category(offer)
        self.parts = [(one, Offer(one)) for one in item.credentials]
        for _, one in self.parts:
            one.skip("extra")
        offer.skip("id", "provenance", "conflict", "collections", "credentials", "archived", "trashed", "extra")
        overview = self._overview(offer)
        made: dict[str, Any] = {
            **({"uuid": own_uuid} if (own_uuid := self._uuid()) else {}),
            "favIndex": int(offer.take("favorite")),
            "createdAt": stamp(offer.take("creation_at")),
            "updatedAt": stamp(item.modified_at if self.own else item.modified_at or item.creation_at),
            "state": "archived" if item.archived else "trashed" if item.trashed else "active",
            **({"trashed": True} if item.trashed else {}),
            **({"categoryUuid": self.code} if self.code else {}),
        }
        offer.skip("modified_at")
        made["details"] = self._details(offer)
        made["overview"] = overview
        return self._with_extra(made)

    def _uuid(self) -> str | None:
        source = self.item.provenance
        return source.source_id if self.own and source is not None else made_uuid(self.item.id)

    def _category(self, offer: Offer) -> str:
        """Return the code of the category; "" where the item's own is not known to us."""
        found = _CODES.get(self.item.template or "")
        if found is not None or self.own:
            offer.skip("template")
            return found or ""
        return _OF_KIND.get(kind_of(self.item), "003")

    def _with_extra(self, made: dict[str, Any]) -> dict[str, Any]:
        if not self.own:
            return made
        extra, details = dict(op.raw(self.item.extra)), op.kept(self.item.extra)
        is_wrapped = bool(details.get("wrapped"))
        if "pgrng" in details:
            made["overview"]["pgrng"] = details["pgrng"]
        inner = extra.pop("item", {}) if is_wrapped else extra
        inner = dict(inner)
        if self.item.archived and inner.pop("state", None) is not None:
            self.out.lose(self.item, "a state that was not understood, and was replaced")
        index = inner.get("favIndex")
        if type(index) is int and (index > 0) == self.item.favorite:
            made["favIndex"] = index
        if type(index) is int:
            del inner["favIndex"]
        if isinstance(overview := inner.get("overview"), dict):
            inner["overview"] = self._with_first(made["overview"], overview)
        self.merge(made, inner)
        if not is_wrapped:
            return made
        outer = {"item": made}
        for one, _ in self.parts:
            if self._is_wrapper(one):
                outer["file"] = self._wrapper(one)
        self.merge(outer, extra)
        return outer

    def _with_first(self, made: dict[str, Any], overview: dict[str, Any]) -> dict[str, Any]:
        """Say which address comes first, if it was another than the first of the list and is still there."""
        if "urls" in overview:  # which nobody understood: the one address stood beside it
            for _ in made["urls"][1:]:
                self.out.lose(self.item, "an address beside a list that was not understood")
            made["urls"] = []
        if "url" not in overview or not isinstance(overview["url"], str):
            made["url"] = "" if "url" in overview else made["url"]
            return overview
        if overview["url"] in [one.url for one in self.item.urls]:
            made["url"] = overview["url"]
        return {key: value for key, value in overview.items() if key != "url"}

    def merge(self, made: dict[str, Any], extra: dict[str, Any]) -> None:
        """Put what no reader understood back in its place; what was set since stands, and the old is declared lost."""
        for key, value in extra.items():
            mine = made.get(key)
            if isinstance(mine, dict) and isinstance(value, dict):
                self.merge(mine, value)
            elif isinstance(mine, list) and mine and isinstance(value, list):
                made[key] = [*mine, *value]
            elif _says(mine) and mine != value and key not in _STRUCTURE:
                self.out.lose(self.item, "a value that was not understood, and was replaced")
            else:
                made[key] = value

    # -- overview

    def _overview(self, offer: Offer) -> dict[str, Any]:
        urls = [self._url(one) for one in offer.take("urls")]
        for app in offer.take("android_apps"):
            left = Offer(app)
            address = f"androidapp://{left.take('bundle_id')}"
            urls.append({"label": left.take("name") or "", "url": address, "mode": "default"})
            left.skip("extra")
            self.out.settle(self.item, "app", left)
        title = offer.take("title")
        offer.skip("tags")
        return {
            "subtitle": offer.take("subtitle") or "",
            "title": title if title or self.own else display_title(self.item),
            "url": urls[0]["url"] if urls else "",
            "urls": urls,
            "tags": list(self.tags),
        }

    def _url(self, url: model.Url) -> dict[str, Any]:
        offer = Offer(url)
        made = {"label": offer.take("label") or "", "url": offer.take("url"), "mode": "default"}
        if url.match == "never":
            made["mode"] = offer.take("match")
        offer.skip("extra")
        if self.own:
            self.merge(made, url.extra)
        self._leave(offer, f"{url.url}:")
        return made

    def _leave(self, offer: Offer, title: str = "") -> None:
        """Turn what nobody took into fields; what cannot be one is lost."""
        for name in [name for name in offer.left if getattr(offer.part, name) is False]:
            offer.skip(name)
            self.more.append(Field(value="false", field_type="boolean", label=f"{title} {name.replace('_', ' ')}"))
        self.more.extend(as_fields(offer, title))
        self.out.settle(self.item, title, offer)

    # -- details

    def _details(self, offer: Offer) -> dict[str, Any]:
        login, password = self._login(), self._password()
        document = self._document()
        sections = [(one, left) for one, left in self.parts if isinstance(one, CustomFields) and not self._is_form(one)]
        for _, left in sections:
            left.skip("id", "label", "fields")
        self._collect()
        history = [self._past(one) for one in offer.take("history") if self.own or one.field == "password"]
        if not self.own:
            self._leave_others(offer)
        else:
            self._leave(offer)
        for one, left in self.parts:
            self._leave_credential(one, left)
        return {
            "loginFields": login,
            "notesPlain": self._notes(),
            "sections": self._sections([one for one, _ in sections]),
            "passwordHistory": history,
            **({"documentAttributes": document} if document else {}),
            **({} if password is None else {"password": password}),
        }

    def _is_form(self, one: CustomFields) -> bool:
        return self.own and one.id == op.WEB_FORM

    def _first(self, kind: type[Any]) -> tuple[Any, Offer] | None:
        return next(((one, left) for one, left in self.parts if isinstance(one, kind)), None)

    def _login(self) -> list[dict[str, Any]]:
        """Return the web form's fields: user name and password where they stood, and the others."""
        form = next((one for one, _ in self.parts if isinstance(one, CustomFields) and self._is_form(one)), None)
        made = [self._login_field(one, None) for one in form.fields] if form is not None else []
        found = None if op.logs_in_by_section(self.code) else self._first(model.BasicAuth)
        if form is not None:
            next(left for one, left in self.parts if one is form).left.clear()
        if found is None:
            return made
        auth, left = found
        left.skip("username")
        roles = [("username", auth.username)] if auth.username is not None else []
        if auth.password is not None and auth.password.original != op.OF_DETAILS:
            left.skip("password")
            roles.append(("password", auth.password))
        placed = [(self._login_place(one, n), role, one) for n, (role, one) in enumerate(roles)]
        for place, role, one in sorted(placed, key=lambda found: found[0]):
            made.insert(place, self._login_field(one, role))
        return made

    def _login_place(self, one: Field, usual: int) -> int:
        place = op.kept(one.extra).get("place") if self.own else None
        return place if type(place) is int and place >= 0 else usual

    def _login_field(self, one: Field, role: str | None) -> dict[str, Any]:
        details = op.kept(one.extra) if self.own else {}
        extra = op.raw(one.extra) if self.own else {}
        designation = role or details.get("designation")
        usual = "P" if one.is_concealed else "E" if one.field_type == "email" else "T"
        name = one.label or (designation if role or details.get("named") else "")
        made = {
            "value": _number_or_text(one.text, details),
            "id": (one.id or "") if self.own else "",
            "name": "" if "name" in extra else name or "",
            "fieldType": one.original if self.own and one.original in op.FIELD_TYPES else usual,
            **({"designation": designation} if designation else {}),
        }
        if details.get("object"):
            made["value"] = {"email_address": one.text}
        self.merge(made, extra)
        return made

    def _password(self) -> str | None:
        """Return the password that stands beside the login fields."""
        auth = self._first(model.BasicAuth)
        if auth is not None and auth[0].password is not None and auth[0].password.original == op.OF_DETAILS:
            auth[1].skip("password")
            return str(auth[0].password.text)
        found = self._first(model.GeneratedPassword)
        return None if found is None else found[1].text("password")

    def _notes(self) -> str:
        """Return every note; several are joined by an empty line."""
        return "\n\n".join(one.content.reveal() for one, _ in self.parts if isinstance(one, model.Note))

    def _past(self, past: model.Past) -> dict[str, Any]:
        made = {"value": past.value.reveal(), "time": stamp(past.at)}
        if self.own:
            self.merge(made, past.extra)
        return made

    def _leave_others(self, offer: Offer) -> None:
        """Turn into fields what the product has no place for, and what no format understood."""
        for past in self.item.history:
            if past.field != "password":
                when = f" ({past.at})" if past.at else ""
                self.more.append(concealed(past.value.reveal(), label=f"former {past.field}{when}"))
        self._leave(offer)
        self.more.extend(extra_fields(self.item))

    def _leave_credential(self, one: Any, left: Offer) -> None:
        if isinstance(one, model.Note):
            left.skip("content")
        elif isinstance(one, model.UnknownCredential):
            left.skip("raw")
            self.more.append(concealed(encode(one.raw).decode(), label="credential of an unknown type"))
        self._leave(left, str(type(one).__struct_config__.tag).replace("-", " "))

    # -- sections

    def _collect(self) -> None:
        """Make the fields of everything that has a typed home in our model."""
        for rank, row in enumerate(op.MEMBERS.get(self.code, ())):
            found = self._first(row.of)
            one = getattr(found[0], row.member) if found is not None else None
            if one is not None and one.original == op.OF_DETAILS:
                continue
            if found is not None and one is not None and (made := self._member(one, row)) is not None:
                found[1].skip(row.member)
                place = self._placed(one.extra)
                self.things.append(op.Thing(made, 10 * rank, row.section, True, place))
        for one, left in self.parts:
            writer = _WRITERS.get(type(one))
            made = writer(self, one, left) if writer is not None else None
            if made is not None:
                section, is_first = op.usual_place(type(one), self.code)
                if not self.own and not is_first:
                    section = ""
                rank = op.RANKS[type(one)]
                self.things.append(op.Thing(made, rank, section, is_first, self._placed(one.extra)))

    def _placed(self, extra: dict[str, Any]) -> tuple[int, int] | None:
        place = op.kept(extra).get("place") if self.own else None
        is_place = isinstance(place, list) and len(place) == 2 and all(type(n) is int and n >= 0 for n in place)
        return (place[0], place[1]) if is_place and place else None

    def _sections(self, sections: list[CustomFields]) -> list[dict[str, Any]]:
        names = [one.id if self.own else f"\0{n}" for n, one in enumerate(sections)]
        rows = [[self._field(one) for one in section.fields] for section in sections]
        made = []
        for row in op.arrange(names, rows, self.things):
            fields = [one.what if isinstance(one, op.Thing) else one for one in row.fields]
            if row.origin is None:
                name = {"name": row.name} if row.name else {}
                made.append({"title": op.SECTION_TITLES.get(row.name or "", ""), **name, "fields": fields})
            else:
                made.append(self._section(sections[row.origin], fields))
        if self.more:
            self.out.moved.update(one.label or "" for one in self.more)
            fields = [self._field(one, is_own=False) for one in self.more]
            made.append({"title": OTHER, "name": self._made("Section_"), "fields": fields})
        return made

    def _section(self, one: CustomFields, fields: list[dict[str, Any]]) -> dict[str, Any]:
        made: dict[str, Any] = {"title": one.label or ""}
        if name := one.id if self.own else self._made("Section_"):
            made["name"] = name
        made["fields"] = fields
        if self.own:
            if op.kept(one.extra).get("hideAddAnotherField"):
                made["hideAddAnotherField"] = True
            self.merge(made, op.raw(one.extra))
        return made

    def _made(self, kind: str = "") -> str:
        self.made_ids += 1
        return rules.made_id(kind, self.made_ids)

    def _field(self, one: Field, *, is_own: bool = True) -> dict[str, Any]:
        own = is_own and self.own
        if not own and one.link:
            self.out.lose(self.item, "what a linked field points to")
        value = _content(one, _kind(one, own), op.kept(one.extra) if own else {})
        return self._shown(one.extra, value, one.id if own else None, one.label, one.text, own=own)

    def _shown(
        self,
        extra: dict[str, Any],
        value: dict[str, Any],
        own_id: str | None,
        title: str | None,
        text: str = "",
        *,
        own: bool,
        is_thing: bool = False,
        id_kind: str = "",
    ) -> dict[str, Any]:
        """Return a field's JSON: value, id, title, how it is shown, and what was not understood."""
        details, unknown = (op.kept(extra), op.raw(extra)) if own else ({}, {})
        if "value" in unknown and not text and "kind" not in details and not is_thing:
            value = {}  # it was not understood
        made = {
            "title": "" if "title" in unknown else title or "",
            "id": "" if "id" in unknown else own_id or self._made(id_kind),
            "value": value,
            **op.as_shown(details, "" if own else text),
        }
        self.merge(made, unknown)
        return made

    def _member(self, one: Field, row: op.Member) -> dict[str, Any] | None:
        """Return a template's field; None where its kind cannot hold the value."""
        is_native = self.own and (one.id is not None or one.original is not None)
        details = op.kept(one.extra) if self.own else {}
        value = _content(one, _kind(one, True), details) if is_native else _as_kind(one, row.kind)
        if value is None and self.own:
            value = _content(one, _kind(one, True), details)
        if value is None:
            return None
        title = one.label if is_native else one.label or row.title
        return self._shown(one.extra, value, one.id or row.id, title, one.text, own=self.own)

    # -- things

    def _thing(self, one: Any, value: dict[str, Any], kind: str, title: str | None = None) -> dict[str, Any]:
        own_id = op.kept(one.extra).get("id") if self.own else None
        id_kind = "TOTP_" if kind == "totp" else ""
        return self._shown(
            one.extra, value, own_id, title or rules.TITLES.get(kind), own=self.own, is_thing=True, id_kind=id_kind
        )

    def _totp(self, one: model.Totp, left: Offer) -> dict[str, Any] | None:
        from vault import otp

        left.left.clear()
        if not self.own and one.kind not in ("totp", "steam"):
            self.more.append(code_field(one, "one-time code"))
            return None
        return self._thing(one, {"totp": otp.text_of(one)}, "totp", one.label)

    def _address(self, one: model.Address, left: Offer) -> dict[str, Any] | None:
        parts = {"street": "street_address", "city": "city", "country": "country", "zip": "postal_code"}
        parts["state"] = "territory"
        fields = {theirs: getattr(one, ours) for theirs, ours in parts.items()}
        if not any(fields.values()) and not one.extra:
            return None
        left.skip(*parts.values())
        place = {theirs: value.text if value is not None else "" for theirs, value in fields.items()}
        if re.fullmatch("[A-Z]{2}", place["country"]) and _is_code(one.country, self.own):
            place["country"] = place["country"].lower()
        street = one.street_address
        label, own_id = (street.label, street.id) if street is not None else (None, None)
        title = label if self.own and street is not None else label or "address"
        own_id = own_id if self.own else None
        return self._shown(one.extra, {"address": place}, own_id, title, own=self.own, is_thing=True)

    def _key(self, one: model.SshKey, left: Offer) -> dict[str, Any]:
        private = left.text("private_key")
        unknown = op.raw(one.extra).get("value", {}) if self.own else {}
        said = unknown.get("sshKey", {}).get("metadata", {}) if isinstance(unknown.get("sshKey"), dict) else {}
        metadata = {
            **({} if isinstance(said, dict) and "privateKey" in said else {"privateKey": private}),
            "publicKey": left.text("public_key"),
            "fingerprint": left.text("fingerprint"),
            "keyType": left.text("key_type"),
        }
        return self._thing(one, {"sshKey": {"privateKey": private, "metadata": metadata}}, "sshKey")

    def _link(self, one: model.ItemReference, left: Offer) -> dict[str, Any]:
        left.left.clear()
        known = op.kept(one.extra).get("reference") if self.own else None
        target = known if isinstance(known, str) else self.uuid_of(one.reference)
        return self._thing(one, {"reference": target}, "reference", one.label)

    # -- attachments

    def _document(self) -> dict[str, Any] | None:
        """Return the names of the file that a document item is."""
        for one, left in self.parts:
            if not isinstance(one, model.File):
                continue
            if op.kept(one.extra).get("document") if self.own else self.code == "006":
                made = self._named(one, left)
                self.written.append(one)
                if self.own:
                    self.merge(made, op.raw(one.extra))
                return made
        return None

    def _named(self, one: model.File, left: Offer) -> dict[str, Any]:
        left.skip("id", "name", "decrypted_size", "integrity_hash", "missing")
        document = self.attach(self.item, one, self.own, "")
        return {"fileName": one.name, "documentId": document, "decryptedSize": one.decrypted_size}

    def _file(self, one: model.File, left: Offer) -> dict[str, Any] | None:
        if any(one is other for other in self.written) or self._is_wrapper(one):
            left.left.clear()
            return None
        left.skip("label")
        return self._thing(one, {"file": self._named(one, left)}, "file", one.label)

    def _is_wrapper(self, one: Any) -> bool:
        return self.own and isinstance(one, model.File) and bool(op.kept(one.extra).get("wrapper"))

    def _wrapper(self, one: model.File) -> dict[str, Any]:
        """Return the attachment of an early file's wrapper."""
        extra = op.raw(one.extra)
        self.attach(self.item, one, True, str(extra.get("path", "")))
        attrs = {"uuid": one.id, "name": one.name, **({"type": one.media_type} if one.media_type else {})}
        made: dict[str, Any] = {"attrs": attrs}
        self.merge(made, extra)
        return made


_WRITERS: dict[type[Any], Callable[[ItemWriter, Any, Offer], dict[str, Any] | None]] = {
    model.Totp: ItemWriter._totp,
    model.Address: ItemWriter._address,
    model.SshKey: ItemWriter._key,
    model.File: ItemWriter._file,
    model.ItemReference: ItemWriter._link,
}


def _says(node: Any) -> bool:
    """Whether there is any text or number in it."""
    if isinstance(node, dict):
        return any(map(_says, node.values()))
    if isinstance(node, list):
        return any(map(_says, node))
    return bool(node) and node is not True


def _number_or_text(text: str, details: dict[str, Any]) -> str | int:
    return int(text) if details.get("number") and re.fullmatch(r"-?\d{1,18}", text) else text


def _is_code(country: Field | None, own: bool) -> bool:
    return country is not None and (not own or country.field_type == "country-code")


def _kind(one: Field, own: bool) -> str:
    """Return the kind of value a field is written as."""
    if own and one.original in rules.KINDS and not (one.original in _OBJECTS and one.text):
        return str(one.original)
    if one.field_type == CONCEALED:
        return "concealed"
    if not own and one.original in ("phone", "url"):
        return one.original
    for type_, kind in (("date", "date"), ("year-month", "monthYear")):
        if one.field_type == type_ and (_as_kind(one, kind) is not None or (own and not one.text)):
            return kind
    return "email" if one.field_type == "email" else "string"


def _content(one: Field, kind: str, details: dict[str, Any]) -> dict[str, Any]:
    """Return a field's value object."""
    text = one.text
    if kind == "date" and rules.day_of(details.get("date")) == text:
        return {kind: details["date"]}
    if kind in ("date", "monthYear"):
        return _as_kind(one, kind) or {kind: None if kind == "date" else 0}
    if kind == "email" and not details.get("plain"):
        return {kind: {"email_address": text, "provider": None}}
    if kind in _OBJECTS:
        return {kind: None}
    return {kind: _number_or_text(text, details)}


def _as_kind(one: Field, kind: str) -> dict[str, Any] | None:
    """Return the value object of this kind; None where the text does not fit it."""
    text = one.text
    if kind == "date":
        seconds = _seconds_of(text)
        return None if seconds is None else {kind: seconds}
    if kind == "monthYear":
        return {kind: int(text.replace("-", ""))} if _MONTH.fullmatch(text) else None
    if kind == "creditCardType":
        brand = _BRANDS.get(text.strip().lower())
        return None if brand is None else {kind: brand}
    return {kind: text}


def _seconds_of(day: str) -> int | None:
    """Return the UNIX seconds 1Password writes for a day."""
    try:
        found = date.fromisoformat(day)
    except ValueError:
        return None
    return (found - date(1970, 1, 1)).days * 86_400 + rules.NOON if found.isoformat() == day else None
