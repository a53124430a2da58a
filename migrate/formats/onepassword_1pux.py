"""1Password 8, the 1PUX export with attachments (dossier: 1Password 2.1, 2.2).

A vault is a collection; what an account says of itself is kept beside the items, by account, with the names of the
files nobody refers to (pictures of people and vaults).
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from migrate import taking
from migrate.adapter import Adapter, Parsed, Signature
from migrate.formats import _onepassword as op
from migrate.formats import _onepassword_rules as rules
from migrate.formats._onepassword_fields import Sections, login_fields
from migrate.formats._onepassword_write import render
from migrate.records import read_json
from migrate.shape import changed, codes, spell_surrogates
from migrate.source import Record, Source
from migrate.taking import nested, objects, optional, text
from vault import model
from vault.errors import DamagedExport
from vault.model import CustomFields, Item, Past, Provenance, Url
from vault.secret import Secret

SIGNATURE = Signature(
    product="1Password 8",
    suffix=".1pux",
    kind="zip",
    members=frozenset({"export.data"}),
    export_steps="File > Export > the account > format 1PUX",
    cannot_hold=("items in the trash", "passkeys", "older versions of items", "who shares a vault"),
    attachments=True,
)

DATA, ATTRIBUTES = "export.data", "export.attributes"
STATES = {word: word for word in ("active", "archived", "trashed")}
MODES = {"default": None, "never": "never"}

_FILE = {"decryptedSize": codes(0)}
_VALUE = {
    "date": changed(rules.calendar_day),
    "monthYear": changed(rules.month_of_year),
    "address": {"country": changed(rules.upper_country)},
    "sshKey": {"privateKey": changed(rules.same_key)},
    "file": _FILE,
    "reference": changed(rules.linked_item),
}
_FIELD = {
    "id": changed(rules.field_id),
    "title": changed(rules.field_title),
    "value": _VALUE,
    "inputTraits": {key: codes(*words) for key, words in op.TRAITS.items()},
    "indexAtSource": codes(*range(op.MOST_FIELDS)),
    "clipboardFilter": codes(op.DIGITS),
}
_LOGIN_FIELD = {
    "name": changed(rules.same_role),
    "fieldType": codes(*op.FIELD_TYPES),
    "designation": codes("username", "password"),
}
_ITEM: dict[str, Any] = {
    "favIndex": codes(0, 1),
    "createdAt": changed(rules.seconds_or_never),
    "updatedAt": changed(rules.seconds_or_never),
    "trashed": codes(0, 1),
    "state": codes(*STATES),
    "categoryUuid": changed(rules.onepassword_category),
    "details": {
        "loginFields": {"*": _LOGIN_FIELD},
        "sections": {"*": {"name": changed(rules.name_of_section), "fields": {"*": _FIELD}}},
        "passwordHistory": {"*": {"time": changed(rules.seconds_or_never)}},
        "documentAttributes": _FILE,
    },
    "overview": {"url": changed(rules.same_address), "urls": {"*": {"mode": codes(*MODES)}}},
}
SHAPE = {**_ITEM, "item": _ITEM}  # early files wrap each item
FRAME = {"accounts": {"*": {"vaults": {"*": {"attrs": {"type": codes("P", "E", "U")}}}}}}
KEPT_RAW = frozenset({"ps", "pbe", "pgrng", "icons", "watchtowerExclusions", "htmlForm", "provider"})


def parse(source: Source) -> Parsed:
    """Read accounts, vaults and items; raises ``DamagedExport`` where accounts or vaults are no objects."""
    frame, records = source.json(source.archive.read(DATA), DATA)
    export = _Export(source, frozenset(source.archive.names))
    export.read_frame(frame)
    return Parsed(export.records(records), export.item, extras=export.extras)


@dataclass(slots=True)
class _Export:
    """One file while it is read."""

    source: Source
    names: frozenset[str]  # of the container's members
    extras: dict[str, Any] = field(default_factory=dict)
    vaults: dict[str, str] = field(default_factory=dict)  # "accounts/0/vaults/1" -> collection
    seen: set[str] = field(default_factory=set)  # uuids of items
    hashes: dict[str, tuple[str, int]] = field(default_factory=dict)  # member -> hash and size
    by_id: dict[str, str] = field(default_factory=dict)  # "files/" and a document's id -> member
    attached: list[str] = field(default_factory=list)  # members the record being read names
    used: set[str] = field(default_factory=lambda: {DATA})  # members that are accounted for

    def read_frame(self, frame: dict[str, Any]) -> None:
        """Read what stands around the items."""
        accounts = frame.get("accounts") if isinstance(frame, dict) else None
        if not isinstance(accounts, list) or not all(isinstance(one, dict) for one in accounts):
            raise self._damaged("accounts")
        del frame["accounts"]
        about: dict[str, Any] = {}
        for n, account in enumerate(accounts):
            attrs = account.get("attrs")
            own_id = attrs.get("uuid") if isinstance(attrs, dict) else None
            name = own_id if isinstance(own_id, str) and own_id else "account"
            while name in self.extras:
                name += "+"
            self.extras[name] = {"vaults": self._vaults(n, account)}
            self.source.ledger.elsewhere("", account, "accounts[]")
            self.extras[name]["account"] = account
        if frame:
            self.source.ledger.elsewhere("", frame)
            about["data"] = frame
        if (attributes := self._attributes()) is not None:
            about["attributes"] = attributes
        self.extras.setdefault(next(iter(self.extras), "account"), {}).update(about)

    def _damaged(self, what: str) -> DamagedExport:
        message = f"{self.source.name} has no list of {what}, as 1Password writes it"
        return DamagedExport(message, hint="export again; if it stays so, the product may have changed its format")

    def _vaults(self, n: int, account: dict[str, Any]) -> dict[str, None]:
        """Make a collection of each vault; return their names in the order of the file."""
        vaults = account.pop("vaults", None)
        if vaults is not None and not (isinstance(vaults, list) and all(isinstance(one, dict) for one in vaults)):
            raise self._damaged("vaults")
        names: dict[str, None] = {}
        for m, vault in enumerate(vaults or []):
            place = f"accounts/{n}/vaults/{m}"
            attrs = nested(vault, "attrs")
            own_id, title, about = text(attrs, "uuid") or place, text(attrs, "name"), optional(attrs, "desc")
            alias = own_id
            while alias in self.source.folders.by_alias:
                alias += "+"
            taking.forget_empty(attrs, "avatar")
            taking.keep(vault, "attrs", attrs)
            taking.forget_empty(vault, "items")
            self.source.ledger.elsewhere("", vault, "accounts[].vaults[]")
            aliases = (alias,) if alias == own_id else (alias, own_id)
            members = {"kind": "vault", "subtitle": about, "extra": vault}
            self.vaults[place] = self.source.folders.at((title,), *aliases, **members)
            names[alias] = None
        return names

    def _attributes(self) -> dict[str, Any] | None:
        """Return what the file says of itself; None where it does not, or not as an object."""
        if ATTRIBUTES not in self.names:
            return None
        try:
            found = spell_surrogates(read_json(self.source.archive.read(ATTRIBUTES)))
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            self.source.ledger.warn(f"{ATTRIBUTES} is no JSON object; kept as a file")
            return None
        self.source.ledger.frame(found)
        self.source.ledger.elsewhere("", found, ATTRIBUTES)
        self.used.add(ATTRIBUTES)
        return found

    def records(self, records: Iterator[Record]) -> Iterator[Record]:
        """Yield the records; after the last one keep the files that none of them named."""
        yield from records
        members = {name: self._hash(name)[0] for name in self.source.archive.names if name not in self.used}
        if members:
            self.source.ledger.total += len(members)
            self.source.ledger.elsewhere_lines["", "files"] += len(members)
            self.extras.setdefault(next(iter(self.extras), "account"), {})["members"] = members

    # -- items

    def item(self, record: Record) -> Item:
        """Read one record."""
        self.attached = []
        outer = inner = record.data
        if isinstance(outer.get("item"), dict):
            inner = outer.pop("item")
        details, overview = nested(inner, "details"), nested(inner, "overview")
        code = inner.get("categoryUuid")
        template = rules.CATEGORIES.get(code) if isinstance(code, str) else None
        if template is not None:
            del inner["categoryUuid"]
        credentials = self._credentials(record, details, str(code) if template else "")
        if inner is not outer and (file := self._wrapped(record, outer)):
            credentials.append(file)
        kept: dict[str, Any] = {"wrapped": True} if inner is not outer else {}
        if isinstance(overview.get("pgrng"), bool):
            kept["pgrng"] = overview.pop("pgrng")
        members = {**self._overview(record, overview), **self._states(inner), "template": template}
        source_id = optional(inner, "uuid")
        members["history"] = tuple(_past(record, one) for one in objects(details, "passwordHistory"))
        taking.forget_empty(details, "htmlForm", "documentAttributes")
        taking.keep(inner, "details", details)
        taking.keep(inner, "overview", overview)
        if inner is not outer:
            taking.keep(outer, "item", inner)
        extra = op.keep(record.rest(outer), kept)
        own_id = self._id(record, source_id)
        self.source.ledger.total += len(self.attached)
        self.used.update(self.attached)
        return Item(
            id=own_id,
            credentials=tuple(credentials),
            collections=(self.vaults[record.place.rsplit("/", 2)[0]],),
            provenance=Provenance(format=self.source.format, source_id=source_id),
            extra=extra,
            **members,
        )

    def _id(self, record: Record, source_id: str | None) -> str:
        """Return an id that links within the file can name; the second item of one uuid is named by its place."""
        if source_id is None or source_id in self.seen:
            return self.source.identify("item", record.place)
        self.seen.add(source_id)
        return self.source.identify("item", source_id)

    def _overview(self, record: Record, overview: dict[str, Any]) -> dict[str, Any]:
        first = overview.get("url")
        is_same = rules.same_address(first, overview) is not None
        urls = [_url(record, one) for one in objects(overview, "urls")]
        if is_same:
            del overview["url"]
        elif isinstance(first, str) and first and all(one.url != first for one in urls):
            del overview["url"]
            urls.insert(0, Url(url=first))
        taking.forget_empty(overview, "url", "icons", "watchtowerExclusions")
        return {
            "title": text(overview, "title"),
            "subtitle": optional(overview, "subtitle"),
            "tags": taking.texts(overview, "tags"),
            "urls": tuple(urls),
        }

    def _states(self, data: dict[str, Any]) -> dict[str, Any]:
        state = taking.code(data, "state", STATES)
        favorite = data.get("favIndex")
        if favorite is None or (isinstance(favorite, int) and favorite in (0, 1)):
            data.pop("favIndex", None)
        return {
            "archived": state == "archived",
            "trashed": taking.flag(data, "trashed") or state == "trashed",
            "favorite": isinstance(favorite, int) and favorite > 0,
            "creation_at": seconds(data, "createdAt"),
            "modified_at": seconds(data, "updatedAt"),
        }

    def _credentials(self, record: Record, details: dict[str, Any], code: str) -> list[Any]:
        login, form = login_fields(record, objects(details, "loginFields"), code)
        note = text(details, "notesPlain")
        sections = Sections(record, code, self._attach)
        sections.read(objects(details, "sections"))
        made = self._typed(code, login, sections, details)
        made += [*sections.things.get(model.Totp, []), *sections.things.get(model.SshKey, [])]
        if rules.names_file(details.get("documentAttributes")):
            made.append(self._document(record, details))
        made += [*sections.things.get(model.File, []), *sections.things.get(model.ItemReference, [])]
        if note or code == "003":
            made.append(model.Note(content=Secret(note)))
        if form:
            made.append(CustomFields(id=op.WEB_FORM, fields=tuple(form)))
        return [*made, *sections.sections]

    def _typed(self, code: str, login: dict[str, Any], sections: Sections, details: dict[str, Any]) -> list[Any]:
        """Return the credentials that say what the item is, the addresses among them."""
        members = sections.members
        if login:
            members[model.BasicAuth] = {**members.get(model.BasicAuth, {}), **login}
        password = text(details, "password")
        generated = _place_password(password, members, code)
        phone = members.pop(model.Address, {})
        if code in op.BARE:
            members.setdefault(op.BARE[code], {})
        made = [kind(**found) for kind, found in members.items()]
        addresses = sections.things.get(model.Address, [])
        if phone:
            addresses[:1] = [msgspec.structs.replace((addresses or [model.Address()])[0], **phone)]
        return [*made, *([generated] if generated else []), *addresses]

    # -- attachments

    def _document(self, record: Record, details: dict[str, Any]) -> model.File:
        found = details.pop("documentAttributes")
        members = self._attach(found)
        extra = op.keep(record.rest(found, "details.documentAttributes"), {"document": True})
        return model.File(extra=extra, **members)

    def _wrapped(self, record: Record, outer: dict[str, Any]) -> model.File | None:
        """Return the attachment of an early file's wrapper; its path stays as it is."""
        wrapper = outer.get("file")
        if not isinstance(wrapper, dict) or not isinstance(wrapper.get("path"), str):
            taking.forget_empty(outer, "file")
            return None
        del outer["file"]
        attrs, path = nested(wrapper, "attrs"), wrapper["path"]
        names: dict[str, Any] = {
            "id": text(attrs, "uuid"),
            "name": text(attrs, "name"),
            "media_type": optional(attrs, "type"),
            **self._bytes(path if path in self.names else None),
        }
        taking.keep(wrapper, "attrs", attrs)
        return model.File(extra=op.keep(record.rest(wrapper, "file"), {"wrapper": True}), **names)

    def _attach(self, found: dict[str, Any]) -> dict[str, Any]:
        """Pop what names an attachment; return the members of a file."""
        document, name = text(found, "documentId"), text(found, "fileName")
        members = self._bytes(self._member(document, name))
        said = found.get("decryptedSize")
        if type(said) is int and (members.get("missing") or said == members["decrypted_size"]):
            members["decrypted_size"] = found.pop("decryptedSize")
        elif said:
            self.source.ledger.warn("an attachment has another size than the file says")
        if not said:
            found.pop("decryptedSize", None)
        return {"id": document, "name": name, **members}

    def _bytes(self, member: str | None) -> dict[str, Any]:
        if member is None:
            self.source.ledger.warn("an attachment is named but its bytes are not in the file")
            return {"missing": True}
        own, size = self._hash(member)
        self.attached.append(member)
        return {"integrity_hash": own, "decrypted_size": size}

    def _hash(self, member: str) -> tuple[str, int]:
        if member not in self.hashes:
            content = self.source.archive.read(member)
            own = urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            self.hashes[member] = own, len(content)
            self.source.documents[own] = member
        return self.hashes[member]

    def _member(self, document: str, name: str) -> str | None:
        """Return the member with an attachment's bytes: of its name, else of its id alone."""
        for member in (op.member_of(document, name), op.safe_member_of(document, name)):
            if member in self.names:
                return member
        if not self.by_id:
            self.by_id = {one.partition("__")[0]: one for one in reversed(self.source.archive.names)}
        return self.by_id.get(f"files/{document}")


def _place_password(
    password: str, members: dict[type[Any], dict[str, Any]], code: str
) -> model.GeneratedPassword | None:
    """Put a password that stands beside the login fields where it belongs: to the login, if that has none."""
    login = members.get(model.BasicAuth, {})
    if password and "password" not in login and (login or code == "001"):
        made = model.concealed(password, original=op.OF_DETAILS)
        members[model.BasicAuth] = {**login, "password": made}
        return None
    return model.GeneratedPassword(password=Secret(password)) if password or (code == "005" and not login) else None


def seconds(part: dict[str, Any], key: str) -> str | None:
    """Pop a time; None where there is none, and where it cannot be read (then it stays)."""
    value = part.get(key)
    made = rules.seconds_or_never(value, part) if value not in (None, "") else ()
    if made is not None:
        part.pop(key, None)
    return made[0] if made else None


def _url(record: Record, data: dict[str, Any]) -> Url:
    match, label = taking.code(data, "mode", MODES), optional(data, "label")
    return Url(url=text(data, "url"), label=label, match=match, extra=record.rest(data, "overview.urls[]"))


def _past(record: Record, data: dict[str, Any]) -> Past:
    old, at = Secret(text(data, "value")), seconds(data, "time")
    return Past(value=old, at=at, extra=record.rest(data, "details.passwordHistory[]"))


ADAPTER = Adapter(
    SIGNATURE,
    parse,
    render,
    records=("accounts", "*", "vaults", "*", "items", "*"),
    member=DATA,
    shape=SHAPE,
    frame=FRAME,
    attachments="files/{documentId}__{fileName}",
    kept_raw=KEPT_RAW,
)
