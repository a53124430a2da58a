"""Lists of one-time codes as addresses, one a line: Aegis, Stratum, FreeOTP+, Ente, WinAuth and many others.

Read: ``otpauth:``, ``steam:`` and ``motp:`` addresses in any shape seen in the wild; a line that is none costs only
itself. An unchanged entry is written back letter by letter, all others as canonical otpauth addresses.
(Dossier: authenticators 2, 3, 11.)

Ente keeps note, tags, pin and trash in a parameter ``codeDisplay``; they become members of the item, and go back where
the address had that parameter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from msgspec.structs import replace

from migrate.adapter import Adapter, Parsed, Signature
from migrate.giving import Offer, Outgoing
from migrate.reading import set_aside, text_lines
from migrate.source import Record, Source
from vault import otp
from vault.model import BasicAuth, Item, Note, Provenance, Totp, find_all, texts_of
from vault.secret import Secret
from vault.views import host_of

_DISPLAY = "codeDisplay"
_ADDRESS = re.compile(r"(?:(?:apple-)?otpauth|steam|motp)(?::|%3A)", re.IGNORECASE)

SIGNATURE = Signature(
    product="Authenticator apps (list of otpauth addresses)",
    suffix=".txt",
    kind="text",
    text_start=("otpauth://", "otpauth:/", "apple-otpauth://", "steam://", "motp://"),
    export_steps=(
        "Aegis: Import & Export > Export > Text; Stratum: Back up > URI list; FreeOTP+: Export > Key URI format; "
        "Ente Auth: Export codes > Plain text"
    ),
    cannot_hold=("passwords", "web addresses", "folders", "attachments", "dates"),
)


def parse(source: Source) -> Parsed:
    """Read one item an address; what is no address goes to quarantine as it stands."""
    if b"\n" in source.data and not source.data.endswith((b"\n", b"\r")):
        source.ledger.warn("the last line has no line end; if the file was cut off there, its code is not complete")
    return Parsed(_records(source), _item)


def _records(source: Source) -> Iterator[Record]:
    for record in text_lines(source):
        if reason := _objection(record.data["line"]):
            set_aside(source, record, reason)
        else:
            yield record


def _objection(text: str) -> str:
    """Return why a line is no entry; empty if it is one."""
    if text.lower().startswith("otpauth-migration:"):
        return "a transfer code of Google Authenticator holds its entries packed"
    if not _ADDRESS.match(text):
        return "the line is no address of a one-time code"
    try:
        otp.parse(text)
    except ValueError:
        return "the key of the address, or a number in it, cannot be read"
    return ""


def _item(record: Record) -> Item:
    totp = otp.parse(record.data.pop("line"))
    display = _display(totp)
    note = display["note"]
    return Item(
        id=record.source.identify("item", record.place),
        title=title_of(totp),
        favorite=display["pinned"],
        trashed=display["trashed"],
        tags=tuple(display["tags"]),
        credentials=(totp, Note(content=Secret(note))) if note else (totp,),
        provenance=Provenance(format=record.source.format),
        extra=record.rest(record.data),
    )


def title_of(totp: Totp) -> str:
    """Return issuer and account as authenticators show them: ``ACME (ann)``."""
    if totp.issuer and totp.username:
        return f"{totp.issuer} ({totp.username})"
    return totp.issuer or totp.username or ""


def _display(totp: Totp) -> dict[str, Any]:
    """Return what Ente says about an entry beside its code; a value of another type is left in the parameter."""
    said = _raw_display(totp) or {}
    tags, note = said.get("tags"), said.get("note")
    return {
        "pinned": said.get("pinned") is True,
        "trashed": said.get("trashed") is True,
        "tags": tags if isinstance(tags, list) and all(isinstance(tag, str) and tag for tag in tags) else [],
        "note": note if isinstance(note, str) else "",
    }


def _raw_display(totp: Totp) -> dict[str, Any] | None:
    try:
        said = json.loads(totp.parameters.get(_DISPLAY, ""))
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def render(out: Outgoing, file: BinaryIO) -> None:
    """Write a line for each one-time code; whatever else an item has is a loss."""
    for item in out.items:
        for line in _lines(out, item):
            file.write(line.encode("utf-8", "surrogatepass") + b"\n")


def _lines(out: Outgoing, item: Item) -> list[str]:
    """Return an item's lines and settle what they do not hold."""
    parts = [(credential, Offer(credential)) for credential in item.credentials]
    offer = Offer(item)
    offer.skip("id", "provenance", "conflict", "credentials")
    lines = [_line(out, item, one, offer, parts) for one in find_all(item, Totp)]
    if not lines:
        out.left_out.add(item.id)
    for credential, part in parts:
        if isinstance(credential, Totp):
            part.left.intersection_update({"label", "extra"})
        out.settle(item, str(type(credential).__struct_config__.tag).replace("-", " "), part)
    out.settle(item, "", offer)
    return lines


_Parts = list[tuple[Any, Offer]]


def _line(out: Outgoing, item: Item, totp: Totp, offer: Offer, parts: _Parts) -> str:
    if out.own(item):
        named = _with_display(totp, item, offer, parts)
        text = otp.text_of(named)
        line = text if _ADDRESS.match(text) else otp.uri(named)
    else:
        named = _named(totp, item, parts)
        line = otp.uri(named)
    if item.title.strip() in (named.issuer, named.username, title_of(named)):
        offer.skip("title")
    return line


def _named(totp: Totp, item: Item, parts: _Parts) -> Totp:
    """Return the token with what its item calls it: title and user name where it has no issuer and account."""
    host = next((host for url in item.urls if (host := host_of(url.url))), "")
    login, part = next(((c, part) for c, part in parts if isinstance(c, BasicAuth)), (BasicAuth(), None))
    name = texts_of(login.username).strip()
    username = totp.username or name or None
    if part is not None and username == name:
        part.skip("username")
    return replace(totp, source=None, issuer=totp.issuer or item.title.strip() or host or None, username=username)


def _with_display(totp: Totp, item: Item, offer: Offer, parts: _Parts) -> Totp:
    """Return the token with Ente's parameter, if it has one, saying what the item says now."""
    said, old = _raw_display(totp), _display(totp)
    if said is None:
        return totp
    note, part = next(((c, part) for c, part in parts if isinstance(c, Note)), (Note(), Offer(Note())))
    part.skip("content")
    offer.skip("favorite", "trashed", "tags")
    new = {
        "pinned": item.favorite,
        "trashed": item.trashed,
        "tags": list(item.tags),
        "note": note.content.reveal(),
    }
    if new == old:
        return totp
    said |= {key: value for key, value in new.items() if value != old[key]}
    display = json.dumps(said, ensure_ascii=False, separators=(",", ":"))
    return replace(totp, parameters=totp.parameters | {_DISPLAY: display})


ADAPTER = Adapter(SIGNATURE, parse, render)
