"""The writer of an item's sections: fields, and what has a typed home in our model (dossier: 1Password 2.2)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from migrate.formats import _onepassword as op
from migrate.formats import _onepassword_rules as rules
from migrate.formats._onepassword_files import is_wrapper, named
from migrate.formats._onepassword_values import as_kind, content_of, kind_of_field
from migrate.formats._onepassword_writing import Writing
from migrate.giving import Offer, code_field
from vault import model
from vault.model import CustomFields, Field

OTHER = "Other"  # the section for what has no place of its own
_ADDRESS = {
    "street": "street_address",
    "city": "city",
    "country": "country",
    "zip": "postal_code",
    "state": "territory",
}


@dataclass(slots=True)
class SectionWriter:
    """The sections of one item."""

    writing: Writing
    elsewhere: model.File | None  # a file that the item itself is
    things: list[op.Thing] = field(default_factory=list)

    def collect(self) -> None:
        """Make the fields of everything that has a typed home in our model."""
        own, code = self.writing.own, self.writing.code
        for rank, row in enumerate(op.MEMBERS.get(code, ())):
            found = self.writing.first(row.of)
            one = getattr(found[0], row.member) if found is not None else None
            if found is None or one is None or one.original == op.OF_DETAILS:
                continue
            if (made := self._member(one, row)) is not None:
                found[1].skip(row.member)
                self.things.append(op.Thing(made, 10 * rank, row.section, True, self._place(one.extra)))
        for one, offer in self.writing.parts:
            writer = _WRITERS.get(type(one))
            made = writer(self, one, offer) if writer is not None else None
            if made is not None:
                section, is_first = op.usual_place(type(one), code)
                section = section if own or is_first else ""
                self.things.append(op.Thing(made, op.RANKS[type(one)], section, is_first, self._place(one.extra)))

    def _place(self, extra: dict[str, Any]) -> tuple[int, int] | None:
        place = self.writing.details(extra).get("place")
        if isinstance(place, list) and len(place) == 2 and all(type(n) is int and n >= 0 for n in place):
            return place[0], place[1]
        return None

    def sections(self, found: list[CustomFields]) -> list[dict[str, Any]]:
        """Return the sections, what was collected in its place, and what is left in one of its own."""
        own = self.writing.own
        names = [one.id if own else f"\0{n}" for n, one in enumerate(found)]
        rows = [[self._field(one, own=own) for one in section.fields] for section in found]
        made = []
        for row in op.arrange(names, rows, self.things):
            fields = [one.what if isinstance(one, op.Thing) else one for one in row.fields]
            if row.origin is not None:
                made.append(self._section(found[row.origin], fields))
            else:
                name = {"name": row.name} if row.name else {}
                made.append({"title": op.SECTION_TITLES.get(row.name or "", ""), **name, "fields": fields})
        return [*made, *self._others()]

    def _others(self) -> list[dict[str, Any]]:
        more = self.writing.more
        self.writing.out.moved.update(one.label or "" for one in more)
        fields = [self._field(one, own=False) for one in more]
        return [{"title": OTHER, "name": self.writing.made_id("Section_"), "fields": fields}] if fields else []

    def _section(self, one: CustomFields, fields: list[dict[str, Any]]) -> dict[str, Any]:
        made: dict[str, Any] = {"title": one.label or ""}
        if name := one.id if self.writing.own else self.writing.made_id("Section_"):
            made["name"] = name
        made["fields"] = fields
        if self.writing.details(one.extra).get("hideAddAnotherField"):
            made["hideAddAnotherField"] = True
        self.writing.merge(made, self.writing.unknown(one.extra))
        return made

    # -- fields

    def _field(self, one: Field, *, own: bool) -> dict[str, Any]:
        if not own and one.link:
            self.writing.out.lose(self.writing.item, "what a linked field points to")
        details, unknown = (op.kept(one.extra), op.raw(one.extra)) if own else ({}, {})
        value = content_of(one, kind_of_field(one, own), details)
        if "value" in unknown and not one.text and "kind" not in details:
            value = {}  # it was not understood
        shown = op.as_shown(details, "" if own else one.text)
        return self._built(one.id if own else None, one.label, value, shown, unknown)

    def _built(
        self,
        own_id: str | None,
        title: str | None,
        value: dict[str, Any],
        shown: dict[str, Any],
        unknown: dict[str, Any],
        kind: str = "",
    ) -> dict[str, Any]:
        """Return a field's JSON; ``kind`` begins an id that has to be made."""
        made = {
            "title": "" if "title" in unknown else title or "",
            "id": "" if "id" in unknown else own_id or self.writing.made_id(kind),
            "value": value,
            **shown,
        }
        self.writing.merge(made, unknown)
        return made

    def _member(self, one: Field, row: op.Member) -> dict[str, Any] | None:
        """Return a template's field; None where its kind cannot hold the value."""
        details = self.writing.details(one.extra)
        value, title = as_kind(one, row.kind), one.label or row.title
        if self.writing.own and (value is None or one.id is not None or one.original is not None):
            value, title = content_of(one, kind_of_field(one, True), details), one.label or ""
        if value is None:
            return None
        shown = op.as_shown(details, "" if self.writing.own else one.text)
        return self._built(one.id or row.id, title, value, shown, self.writing.unknown(one.extra))

    # -- things

    def _thing(self, one: Any, value: Any, kind: str, title: str | None = None) -> dict[str, Any]:
        details, unknown = self.writing.details(one.extra), self.writing.unknown(one.extra)
        title = title or rules.TITLES.get(kind)
        prefix = "TOTP_" if kind == "totp" else ""
        return self._built(details.get("id"), title, {kind: value}, op.as_shown(details), unknown, prefix)

    def _totp(self, one: model.Totp, offer: Offer) -> dict[str, Any] | None:
        from vault import otp

        offer.left.clear()
        if not self.writing.own and one.kind not in ("totp", "steam"):
            self.writing.more.append(code_field(one, "one-time code"))
            return None
        return self._thing(one, otp.text_of(one), "totp", one.label)

    def _address(self, one: model.Address, offer: Offer) -> dict[str, Any] | None:
        fields = {theirs: getattr(one, ours) for theirs, ours in _ADDRESS.items()}
        if not any(fields.values()) and not one.extra:
            return None
        offer.skip(*_ADDRESS.values())
        place = {theirs: value.text if value is not None else "" for theirs, value in fields.items()}
        is_code = not self.writing.own or (one.country is not None and one.country.field_type == "country-code")
        if is_code and re.fullmatch("[A-Z]{2}", place["country"]):
            place["country"] = place["country"].lower()
        street = one.street_address or Field(label="address")
        own_id = street.id if self.writing.own else None
        title = street.label if self.writing.own else street.label or "address"
        details, unknown = self.writing.details(one.extra), self.writing.unknown(one.extra)
        return self._built(own_id, title, {"address": place}, op.as_shown(details), unknown)

    def _key(self, one: model.SshKey, offer: Offer) -> dict[str, Any]:
        private = offer.text("private_key")
        metadata = {
            "privateKey": private,
            "publicKey": offer.text("public_key"),
            "fingerprint": offer.text("fingerprint"),
            "keyType": offer.text("key_type"),
        }
        if "privateKey" in _below(self.writing.unknown(one.extra), "value", "sshKey", "metadata"):
            del metadata["privateKey"]  # it was another than the key itself
        return self._thing(one, {"privateKey": private, "metadata": metadata}, "sshKey")

    def _link(self, one: model.ItemReference, offer: Offer) -> dict[str, Any]:
        offer.left.clear()
        known = self.writing.details(one.extra).get("reference")
        return self._thing(one, known or self.writing.uuid_of(one.reference), "reference", one.label)

    def _file(self, one: model.File, offer: Offer) -> dict[str, Any] | None:
        if one is self.elsewhere or is_wrapper(self.writing, one):
            return None
        offer.skip("label")
        return self._thing(one, named(self.writing, one, offer), "file", one.label)


def _below(node: Any, *keys: str) -> dict[str, Any]:
    """Return the object at the end of a path of keys; {} where there is none."""
    for key in keys:
        node = node.get(key) if isinstance(node, dict) else None
    return node if isinstance(node, dict) else {}


_WRITERS: dict[type[Any], Callable[[SectionWriter, Any, Offer], dict[str, Any] | None]] = {
    model.Totp: SectionWriter._totp,
    model.Address: SectionWriter._address,
    model.SshKey: SectionWriter._key,
    model.File: SectionWriter._file,
    model.ItemReference: SectionWriter._link,
}
