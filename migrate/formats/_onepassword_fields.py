"""The fields of a 1Password item, read: of its web form and of its sections (dossier: 1Password 2.2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from migrate import taking
from migrate.formats import _onepassword as op
from migrate.formats import _onepassword_rules as rules
from migrate.source import Record
from migrate.taking import text
from vault import model
from vault.model import CONCEALED, CustomFields, Field
from vault.secret import Secret

Attach = Callable[[dict[str, Any]], dict[str, Any]]  # pops a file's names, returns the members of model.File


def listed(part: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """Pop a list of objects; raises ``TypeError`` where it holds anything else, and then the record is set aside.

    It cannot stay as it is: the values in it that have rules would have to change.
    """
    found = taking.objects(part, key)
    if part.get(key):
        raise TypeError(f"{key} is no list of objects")
    return found


def own_id(part: dict[str, Any], key: str = "id") -> str | None:
    """Pop an id; None for one we made ourselves."""
    found = taking.optional(part, key)
    return None if found is not None and rules.name_of_section(found, part) is not None else found


def field_of(value: str, kind: str, original: str | None, **members: Any) -> Field:
    """Return a field of a CXF type, concealed if the type is."""
    held: Any = Secret(value) if kind == CONCEALED else value
    return Field(value=held, field_type=kind, original=original, **members)


# -- the web form of a login

_SAME = {code: code for code in op.FIELD_TYPES}
_ROLES = {"username": "username", "password": "password"}


def login_fields(record: Record, fields: list[dict[str, Any]], code: str) -> tuple[dict[str, Field], list[Field]]:
    """Return user name and password, and what else the form held, in order.

    The last filled field of a role has it; categories that keep both in a section have no roles here.
    """
    roles = {} if op.logs_in_by_section(code) else _roles(fields)
    has_place = list(roles.values()) != list(range(len(roles)))
    found: dict[str, Field] = {}
    others = []
    for at, data in enumerate(fields):
        role = next((role for role, index in roles.items() if index == at), None)
        if role is None:
            others.append(_login_field(record, data, None, {}))
        else:
            found[role] = _login_field(record, data, role, {"place": at} if has_place else {})
    return found, others


def _roles(fields: list[dict[str, Any]]) -> dict[str, int]:
    found = {}
    for role in _ROLES:
        those = [n for n, data in enumerate(fields) if data.get("designation") == role]
        filled = [n for n in those if fields[n].get("value")]
        if those:
            found[role] = (filled or those)[-1]
    return found


def _login_field(record: Record, data: dict[str, Any], role: str | None, details: dict[str, Any]) -> Field:
    is_named_so = rules.named_after_role(data.get("name"), data) is not None
    label, value = taking.optional(data, "name"), _login_value(data, details)
    code = taking.code(data, "fieldType", _SAME)
    kind, usual = op.FIELD_TYPES.get(code, "string"), code if code in op.PLAIN_TYPES else None
    if role is not None:
        kind, usual = (CONCEALED, "P") if role == "password" else ("string", "T")
    designation = taking.code(data, "designation", _ROLES)
    if role is None and designation is not None:
        details |= {"designation": designation, "named": is_named_so}
    taking.forget_empty(data, "designation", "fieldType")
    return field_of(
        value,
        kind,
        None if code == usual else code,
        id=taking.optional(data, "id"),
        label=None if is_named_so else label,
        extra=op.keep(record.rest(data, "details.loginFields[]"), details),
    )


def _login_value(data: dict[str, Any], details: dict[str, Any]) -> str:
    value = data.get("value")
    if type(value) is dict and type(value.get("email_address")) is str:
        details["object"] = True
        address = value.pop("email_address")
        taking.forget_empty(value, "provider")
        taking.forget_empty(data, "value")
        return str(address)
    return plain(data, "value", details)


def plain(data: dict[str, Any], key: str, details: dict[str, Any]) -> str:
    """Pop a text, or a whole number that is remembered to be one; anything else stays, and where it stands."""
    value = data.get(key)
    if type(value) is int:
        details["number"] = True
        return str(data.pop(key))
    return text(data, key) if value is None or type(value) is str else ""


# -- sections


@dataclass(slots=True)
class Sections:
    """The sections of one item while they are read."""

    record: Record
    code: str  # the category, "" for one we do not know
    attach: Attach
    members: dict[type[Any], dict[str, Any]] = field(default_factory=dict)  # what went into typed credentials
    things: dict[type[Any], list[Any]] = field(default_factory=dict)  # credentials that were a field, by their class
    sections: list[CustomFields] = field(default_factory=list)

    def read(self, found: list[dict[str, Any]]) -> None:
        """Read all sections; what has a typed home leaves them, and remembers its place where that is not the usual."""
        rows, shells, blank = [], [], []
        for data in found:
            rows.append([self._entry(one) for one in listed(data, "fields")])
            shells.append(self._shell(data))
            blank.append(shells[-1] == CustomFields() and all(isinstance(one, op.Thing) for one in rows[-1]))
        things = [one for row in rows for one in row if isinstance(one, op.Thing)]
        for n in op.with_places([shell.id for shell in shells], rows, things, blank):
            fields = tuple(one for one in rows[n] if not isinstance(one, op.Thing))
            self.sections.append(msgspec.structs.replace(shells[n], fields=fields))
        for thing in sorted(things, key=lambda t: t.rank):
            self._settle(thing)

    def _shell(self, data: dict[str, Any]) -> CustomFields:
        details = {}
        if data.get("hideAddAnotherField") is True:
            details["hideAddAnotherField"] = data.pop("hideAddAnotherField")
        elif data.get("hideAddAnotherField") is None or data["hideAddAnotherField"] is False:
            data.pop("hideAddAnotherField", None)
        name, title = own_id(data, "name"), taking.optional(data, "title")
        extra = op.keep(self.record.rest(data, "details.sections[]"), details)
        return CustomFields(id=name, label=title, extra=extra)

    def _entry(self, data: dict[str, Any]) -> Field | op.Thing:
        """Return a field, or a thing that is to leave the section."""
        details = op.shown_as(data)
        kind = rules.kind_in(data.get("value"), rules.KINDS)
        made = _THINGS[kind](self, data, details) if kind in _THINGS else None
        if made is not None:
            section, is_first = op.usual_place(type(made), self.code)
            return op.Thing((type(made), "", made), op.RANKS[type(made)], section, is_first)
        one = self._field(data, kind, details)
        for rank, row in enumerate(op.MEMBERS.get(self.code, ())):
            if row.id == one.id and row.member not in self.members.get(row.of, {}) and _fits(one, row.member):
                self.members.setdefault(row.of, {})[row.member] = one
                return op.Thing((row.of, row.member, _as_member(one, row.member)), 10 * rank, row.section, True)
        return one

    def _settle(self, thing: op.Thing) -> None:
        """Put a thing where the item keeps its kind, with its place if it has one."""
        kind, member, made = thing.what
        if thing.place is not None:
            details = {**op.kept(made.extra), "place": list(thing.place)}
            made = msgspec.structs.replace(made, extra=op.keep(dict(op.raw(made.extra)), details))
        if member:
            self.members[kind][member] = made
        else:
            self.things.setdefault(kind, []).append(made)

    def _left(self, data: dict[str, Any], details: dict[str, Any]) -> dict[str, Any]:
        taking.forget_empty(data, "value", "title")
        return op.keep(self.record.rest(data, "details.sections[].fields[]"), details)

    # -- fields

    def _field(self, data: dict[str, Any], kind: str, details: dict[str, Any]) -> Field:
        value = data.get("value")
        found, type_, original = self._value(value, kind, details) if type(value) is dict else ("", "string", None)
        if value and kind and kind not in value:
            details["kind"] = kind  # what is left beside it may be of a kind too
        label, own = taking.optional(data, "title"), own_id(data)
        return field_of(found, type_, original, id=own, label=label, extra=self._left(data, details))

    def _value(self, value: dict[str, Any], kind: str, details: dict[str, Any]) -> tuple[str, str, str | None]:
        """Pop what a value object holds; return text, CXF type, and the kind where that has to be remembered."""
        if kind in rules.TEXTS:
            return _text(value, kind, details), *rules.TEXTS[kind]
        if kind == "date":
            return _day(value, details), "date", None
        if kind == "monthYear":
            return _month(value), "year-month", None
        if kind == "totp":
            return self._unreadable(plain(value, kind, details)), CONCEALED, kind
        if kind and not value[kind]:
            del value[kind]
            return "", "string", kind
        return "", "string", None

    def _unreadable(self, code: str) -> str:
        if code:
            what = "a one-time code's key cannot be read; kept as a hidden field"
            self.record.source.ledger.warn(f"{self.record.place}: {what}")
        return code

    # -- things; None where a value is not built as the product builds it: then it stays a field

    def _totp(self, data: dict[str, Any], details: dict[str, Any]) -> model.Totp | None:
        from vault import otp

        if not rules.is_code(data["value"]):
            return None
        self._name(data, details)
        totp = otp.parse(data["value"].pop("totp"))
        label = taking.optional(data, "title")
        return msgspec.structs.replace(totp, label=label, extra=self._left(data, details))

    def _name(self, data: dict[str, Any], details: dict[str, Any]) -> None:
        """Keep the field's id as a name, and forget a title that the product gave it."""
        if rules.field_title(data.get("title"), data) is not None:
            del data["title"]
        if (own := own_id(data)) is not None:
            details["id"] = own

    def _address(self, data: dict[str, Any], details: dict[str, Any]) -> model.Address | None:
        place = data["value"]["address"]
        if type(place) is not dict or not place:
            return None
        street = Field(value=text(place, "street"), id=own_id(data), label=taking.optional(data, "title"))
        members = {
            "postal_code": taking.field(place, "zip"),
            "city": taking.field(place, "city"),
            "territory": taking.field(place, "state"),
            "country": _country(place),
        }
        taking.forget_empty(data["value"], "address")
        return model.Address(street_address=street, extra=self._left(data, details), **members)

    def _key(self, data: dict[str, Any], details: dict[str, Any]) -> model.SshKey | None:
        ssh = data["value"]["sshKey"]
        if type(ssh) is not dict:
            return None
        self._name(data, details)
        is_twice = rules.private_key_again(ssh.get("privateKey"), ssh) is not None
        metadata = taking.nested(ssh, "metadata")
        if is_twice:
            del metadata["privateKey"]
        members: dict[str, Any] = {
            "private_key": Secret(text(ssh, "privateKey")),
            "public_key": taking.optional(metadata, "publicKey"),
            "fingerprint": taking.optional(metadata, "fingerprint"),
            "key_type": text(metadata, "keyType"),
        }
        taking.forget_empty(metadata, "privateKey", "publicKey", "fingerprint", "keyType")
        taking.keep(ssh, "metadata", metadata)
        taking.forget_empty(data["value"], "sshKey")
        return model.SshKey(extra=self._left(data, details), **members)

    def _file(self, data: dict[str, Any], details: dict[str, Any]) -> model.File | None:
        if not rules.is_file(data["value"]):
            return None
        self._name(data, details)
        label, members = taking.optional(data, "title"), self.attach(data["value"]["file"])
        taking.forget_empty(data["value"], "file")
        return model.File(label=label, extra=self._left(data, details), **members)

    def _link(self, data: dict[str, Any], details: dict[str, Any]) -> model.ItemReference | None:
        if not rules.is_link(data["value"]):
            return None
        self._name(data, details)
        label = taking.optional(data, "title")
        details["reference"] = data["value"].pop("reference")
        target = self.record.source.identify("item", details["reference"])
        return model.ItemReference(reference=target, label=label, extra=self._left(data, details))


_THINGS: dict[str, Callable[[Sections, dict[str, Any], dict[str, Any]], Any]] = {
    "totp": Sections._totp,
    "address": Sections._address,
    "sshKey": Sections._key,
    "file": Sections._file,
    "reference": Sections._link,
}


def _fits(one: Field, member: str) -> bool:
    """Whether a field was understood, and can be what its id says."""
    return "value" not in one.extra and (member not in op.HIDDEN or one.is_concealed or one.field_type == "string")


def _as_member(one: Field, member: str) -> Field:
    """Return a field as its credential wants it: hidden, if the member always is."""
    if member in op.HIDDEN and not one.is_concealed:
        members = {"value": Secret(one.text), "field_type": CONCEALED, "original": one.original or "string"}
        return msgspec.structs.replace(one, **members)
    if member == "network_security_type" and one.field_type == "string":
        kind = "wifi-network-security-type"
        return msgspec.structs.replace(one, field_type=kind, original=one.original or "string")
    return one


def _text(value: dict[str, Any], kind: str, details: dict[str, Any]) -> str:
    inner = value[kind]
    if kind == "email" and type(inner) is dict and type(inner.get("email_address")) is str:
        address = inner.pop("email_address")
        taking.forget_empty(inner, "provider")
        taking.forget_empty(value, "email")
        return str(address)
    if kind == "email" and inner and type(inner) is not dict:
        details["plain"] = True
    return plain(value, kind, details)


def _country(place: dict[str, Any]) -> Field | None:
    upper = rules.country_in_capitals(place.get("country"), place)
    if upper is None:
        return taking.field(place, "country")
    del place["country"]
    return Field(value=upper[0], field_type="country-code")


def _day(value: dict[str, Any], details: dict[str, Any]) -> str:
    day = rules.day_of(value["date"])
    if day is None:
        taking.forget_empty(value, "date")
        return ""
    seconds = value.pop("date")
    if seconds % 86_400 != rules.NOON:
        details["date"] = seconds
    return day


def _month(value: dict[str, Any]) -> str:
    month = rules.month_of_year(value["monthYear"], value)
    if month is None:
        taking.forget_empty(value, "monthYear")
        return ""
    del value["monthYear"]
    return month[0] if month else ""
