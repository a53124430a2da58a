"""Attachments of a 1Password item, written: in fields, as the document an item is, beside an early file's item."""

from __future__ import annotations

from typing import Any

import msgspec

from migrate.formats._onepassword_writing import Writing
from migrate.giving import Offer
from vault import model


def document(writing: Writing) -> tuple[model.File | None, dict[str, Any]]:
    """Return the file that a document item is, and its names; None and {} where there is none."""
    for one, offer in writing.parts:
        if not isinstance(one, model.File):
            continue
        if writing.details(one.extra).get("document") if writing.own else writing.code == "006":
            made = named(writing, one, offer)
            writing.merge(made, writing.unknown(one.extra))
            return one, made
    return None, {}


def named(writing: Writing, one: model.File, offer: Offer) -> dict[str, Any]:
    """Return the names of a file, and see to its bytes."""
    offer.skip("id", "name", "decrypted_size", "integrity_hash", "missing")
    if not one.name:  # a nameless one would not be taken for an attachment
        one = msgspec.structs.replace(one, name="file")
    own_id = writing.attach(writing.item, one, writing.own, "")
    return {"fileName": one.name, "documentId": own_id, "decryptedSize": one.decrypted_size}


def is_wrapper(writing: Writing, one: Any) -> bool:
    """Whether it is the attachment that stands beside an item of an early file."""
    return isinstance(one, model.File) and bool(writing.details(one.extra).get("wrapper"))


def wrapper(writing: Writing) -> dict[str, Any]:
    """Return what stands beside an item of an early file, and see to its bytes."""
    for one, offer in writing.parts:
        if is_wrapper(writing, one):
            offer.left.clear()
            unknown = writing.unknown(one.extra)
            writing.attach(writing.item, one, True, str(unknown.get("path", "")))
            attrs = {"uuid": one.id, "name": one.name, **({"type": one.media_type} if one.media_type else {})}
            made: dict[str, Any] = {"attrs": attrs}
            writing.merge(made, unknown)
            return {"file": made}
    return {}
