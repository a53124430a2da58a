"""1Password 8, the 1PUX export with attachments (dossier: 1Password 2.1, 2.2).

A vault is a collection; what an account says of itself is kept beside the items, by account, with the names of the
files nobody refers to (pictures of people and vaults).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from migrate import taking
from migrate.adapter import Adapter, Parsed, Signature
from migrate.formats import _onepassword as op
from migrate.formats import _onepassword_rules as rules
from migrate.formats._onepassword_attachments import Attachments
from migrate.formats._onepassword_fields import Sections, listed, login_fields
from migrate.formats._onepassword_write import render
from migrate.linking import Linking
from migrate.records import read_json
from migrate.shape import Codes, changed, codes, spell_surrogates
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
    "address": {"country": changed(rules.country_in_capitals)},
    "sshKey": {"privateKey": changed(rules.private_key_again)},
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
    "name": changed(rules.named_after_role),
    "fieldType": codes(*op.FIELD_TYPES),
    "designation": codes("username", "password"),
}
_ITEM: dict[str, Any] = {
    "favIndex": Codes(op.RANKS_OF_FAVORITES),
    "createdAt": changed(rules.time_in_seconds),
    "updatedAt": changed(rules.time_in_seconds),
    "trashed": codes(0, 1),
    "state": codes(*STATES),
    "categoryUuid": changed(rules.category_code),
    "details": {
        "loginFields": {"*": _LOGIN_FIELD},
        "sections": {"*": {"name": changed(rules.name_of_section), "fields": {"*": _FIELD}}},
        "passwordHistory": {"*": {"time": changed(rules.time_in_seconds)}},
        "documentAttributes": _FILE,
    },
    "overview": {
        "url": changed(rules.first_address_again),
        "urls": {"*": {"mode": codes(*MODES)}},
        **{key: Codes(known) for key, known in op.RATINGS.items()},
    },
}
SHAPE = {**_ITEM, "item": _ITEM}  # early files wrap each item
FRAME = {"accounts": {"*": {"vaults": {"*": {"attrs": {"type": codes("P", "E", "U")}}}}}}
KEPT_RAW = frozenset(
    {
        *("version", "description", "timestamp", "avatar", "members"),
        *("ps", "pbe", "icons", "watchtowerExclusions", "htmlForm", "provider", "path", "placeholder", "keyType"),
    }
)


def parse(source: Source) -> Parsed:
    """Read accounts, vaults and items; raises ``DamagedExport`` where accounts or vaults are no objects."""
    frame, records = source.json(source.archive.read(DATA), DATA)
    export = _Export(source, Attachments(source, {DATA}))
    export.read_frame(frame)
    return Parsed(export.records(records), export.item, extras=export.extras)


@dataclass(slots=True)
class _Export:
    """One file while it is read."""

    source: Source
    files: Attachments
    extras: dict[str, Any] = field(default_factory=dict)
    vaults: dict[str, str] = field(default_factory=dict)  # "accounts/0/vaults/1" -> collection
    seen: set[str] = field(default_factory=set)  # uuids of items

    def read_frame(self, frame: dict[str, Any]) -> None:
        """Read what stands around the items."""
        accounts = frame.get("accounts") if isinstance(frame, dict) else None
        if not isinstance(accounts, list) or not all(isinstance(one, dict) for one in accounts):
            raise self._damaged("accounts")
        del frame["accounts"]
        for n, account in enumerate(accounts):
            self._account(n, account)
        if frame:
            self.source.ledger.elsewhere("", frame)
            self._say("data", frame)
        if (attributes := self._attributes()) is not None:
            self._say("attributes", attributes)

    def _account(self, n: int, account: dict[str, Any]) -> None:
        attrs = account.get("attrs")
        own_id = attrs.get("uuid") if isinstance(attrs, dict) else None
        name = own_id if isinstance(own_id, str) and own_id else "account"
        while name in self.extras:
            name += "+"
        self.extras[name] = {"vaults": self._vaults(n, account), "account": account}
        self.source.ledger.elsewhere("", account, "accounts[]")

    def _say(self, what: str, value: dict[str, Any]) -> None:
        """Keep what the file says as a whole with its first account."""
        self.extras.setdefault(next(iter(self.extras), "account"), {})[what] = value

    def _damaged(self, what: str) -> DamagedExport:
        message = f"{self.source.name} has no list of {what}, as 1Password writes it"
        return DamagedExport(message, hint="export again; if it stays so, the product may have changed its format")

    def _vaults(self, n: int, account: dict[str, Any]) -> dict[str, None]:
        """Make a collection of each vault; return what they are known by, in the order of the file."""
        vaults = account.pop("vaults", None)
        if vaults is not None and not (isinstance(vaults, list) and all(isinstance(one, dict) for one in vaults)):
            raise self._damaged("vaults")
        return {self._vault(f"accounts/{n}/vaults/{m}", vault): None for m, vault in enumerate(vaults or [])}

    def _vault(self, place: str, vault: dict[str, Any]) -> str:
        """Make a collection of a vault; return what it is known by: its uuid, made different from others."""
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
        return alias

    def _attributes(self) -> dict[str, Any] | None:
        """Return what the file says of itself; None where it does not, or not as an object."""
        if ATTRIBUTES not in self.files.names:
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
        self.files.used.add(ATTRIBUTES)
        return found

    def records(self, records: Iterator[Record]) -> Iterator[Record]:
        """Yield the records; after the last one keep the files that none of them named."""
        yield from records
        if members := self.files.left():
            self._say("members", members)

    # -- items

    def item(self, record: Record) -> Item:
        """Read one record."""
        self.files.begin(record)
        outer = inner = record.data
        if is_wrapped := isinstance(outer.get("item"), dict) and "details" not in outer:
            inner = outer.pop("item")
        members = self._members(record, inner)
        kept = {"wrapped": True} if is_wrapped else {}
        kept |= members.pop("kept")
        if is_wrapped:
            taking.keep(outer, "item", inner)
            file = self.files.beside(record, outer)
            members["credentials"] = (*members["credentials"], *([file] if file is not None else []))
        extra = op.keep(record.rest(outer), kept)
        source_id = members.pop("source_id")
        self.files.settle()
        return Item(
            id=self._id(record, source_id),
            collections=(self.vaults[record.place.rsplit("/", 2)[0]],),
            provenance=Provenance(format=self.source.format, source_id=source_id),
            extra=extra,
            **members,
        )

    def _members(self, record: Record, data: dict[str, Any]) -> dict[str, Any]:
        """Pop what is understood of an item; return its members, and structure that is to be kept."""
        details, overview = nested(data, "details"), nested(data, "overview")
        code, rank = data.get("categoryUuid"), data.get("favIndex")
        template = rules.CATEGORIES.get(code) if isinstance(code, str) else None
        if template is not None:
            del data["categoryUuid"]
        made = {
            "template": template,
            "credentials": tuple(self._credentials(record, details, str(code) if template else "")),
            "history": tuple(_past(record, one) for one in listed(details, "passwordHistory")),
            "source_id": optional(data, "uuid"),
            "kept": op.ratings_of(overview),
            **self._overview(record, overview),
            **self._states(data),
        }
        if made["favorite"] and "favIndex" not in data and rank != 1:
            made["kept"]["favIndex"] = rank
        taking.forget_empty(details, "htmlForm", "documentAttributes")
        taking.keep(data, "details", details)
        taking.keep(data, "overview", overview)
        return made

    def _id(self, record: Record, source_id: str | None) -> str:
        """Return an id that links within the file can name; the second item of one uuid is named by its place."""
        if source_id is None or source_id in self.seen:
            return self.source.identify("item", record.place)
        self.seen.add(source_id)
        return self.source.identify("item", source_id)

    def _overview(self, record: Record, overview: dict[str, Any]) -> dict[str, Any]:
        first = overview.get("url")
        is_same = rules.first_address_again(first, overview) is not None
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
        if favorite is None or (isinstance(favorite, int) and favorite in op.RANKS_OF_FAVORITES):
            data.pop("favIndex", None)
        return {
            "archived": state == "archived",
            "trashed": taking.flag(data, "trashed") or state == "trashed",
            "favorite": isinstance(favorite, int) and favorite > 0,
            "creation_at": seconds(data, "createdAt"),
            "modified_at": seconds(data, "updatedAt"),
        }

    def _credentials(self, record: Record, details: dict[str, Any], code: str) -> list[Any]:
        login, form = login_fields(record, listed(details, "loginFields"), code)
        note = text(details, "notesPlain")
        sections = Sections(record, code, self.files.attach)
        sections.read(listed(details, "sections"))
        made = self._typed(code, login, sections, details)
        made += [*sections.things.get(model.Totp, []), *sections.things.get(model.SshKey, [])]
        if rules.names_file(details.get("documentAttributes")):
            made.append(self.files.document(record, details))
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
    made = rules.time_in_seconds(value, part) if value not in (None, "") else ()
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
    linking=Linking(own=(("uuid",), ("item", "uuid"))),
    attachments="files/{documentId}__{fileName}",
    kept_raw=KEPT_RAW,
)
