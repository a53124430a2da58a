"""What a CXF file's values become, and what in it is structure; ledger and proof read this (dossier: CXF 2, 4-6, 11).

Keyferry's own files say some things twice: a time as seconds for everybody and exactly for us, a one-time code as CXF's
members and in its own text. A rule then looks at our extension of the item, and the repetition counts as structure.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from migrate.linking import Linking
from migrate.listing import Listing
from migrate.rules import EACH, each, link, rule, whole_rule
from migrate.shape import WORDS, Shape, changed, codes
from vault import cxf

Found = tuple[str, ...] | None
_STRUCTURE: tuple[str, ...] = ()

LISTING = Listing(
    folders="collections",
    nested="subCollections",
    title="title",
    members="items",
    link="item",
    elsewhere="account",
    record="id",
)


# Times and ids


def _time(name: str, extension: str, rule_name: str) -> Any:
    def found(value: Any, part: Mapping[str, Any]) -> Found:
        if value == cxf.NO_DATE:
            return _STRUCTURE
        instant = cxf.exact_time(part, name, extension)
        if instant is not None and _extension(part, extension).get(name) == instant:
            return _STRUCTURE  # our extension says it exactly
        return None if instant is None else (instant,)

    found.__name__ = rule_name
    found.__doc__ = "UNIX seconds become an RFC 3339 time; an Apple epoch that was added twice is taken off once."
    return each(found)


@rule
def apple_epoch_twice(value: Any, _: Mapping[str, Any]) -> Found:
    """A time 31 years ahead, because its writer counted from 2001 twice, becomes the real one."""
    instant = cxf.instant_in(value, trusted=False)
    return None if instant is None else (instant,)


@rule
def cxf_own_id(_: Any, part: Mapping[str, Any]) -> Found:
    """The id of an item or a collection of ours is what it is called in the vault."""
    return _STRUCTURE if cxf.is_ours(part) else None


@whole_rule
def cxf_own_header(value: Any, parent: Mapping[str, Any], frame: Any) -> Found:
    """What Keyferry says of itself at the top of a file."""
    return _STRUCTURE if cxf.is_own_header(value, parent, frame) else None


@rule
def cxf_own_account(value: Any, _: Mapping[str, Any]) -> Found:
    """The id that stands for the account a vault does not have."""
    return _STRUCTURE if value == cxf.ACCOUNT_ID else None


# One-time codes and keys: CXF's members beside what our extension holds for the same credential.


def _extension(part: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    listed = part.get("extensions")
    for one in listed if isinstance(listed, list) else ():
        if isinstance(one, dict) and one.get("name") == name:
            return one
    return {}


def _entry(credential: Mapping[str, Any], record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what our extension of the item holds for one of its credentials."""
    held = _extension(record, cxf.ITEM).get("credentials")
    listed = record.get("credentials")
    if not isinstance(held, dict) or not isinstance(listed, list):
        return {}
    at = next((str(n) for n, one in enumerate(listed) if one is credential), "")
    entry = held.get(at)
    return entry if isinstance(entry, dict) and entry.get("type") == credential.get("type") else {}


def _has_text(credential: Mapping[str, Any], record: Mapping[str, Any]) -> bool:
    return isinstance(_entry(credential, record).get("source"), str)


def _of_code(become: Any) -> Any:
    """Make a rule for a member of ``totp``: structure where the code's own text says it too."""

    def found(value: Any, credential: Mapping[str, Any], record: Mapping[str, Any]) -> Found:
        if credential.get("type") != "totp":
            return None
        return _STRUCTURE if _has_text(credential, record) else become(value)

    found.__name__ = f"code_{become.__name__.strip('_')}"
    found.__doc__ = become.__doc__
    EACH.add(found.__name__)
    return whole_rule(found)


def _seed(value: Any) -> Found:
    """A seed is kept in capitals without spaces, hyphens and padding."""
    return (cxf.base32_of(value),) if isinstance(value, str) else None


def _algorithm(value: Any) -> Found:
    """The name of a hash is kept in CXF's spelling; ``steam`` is a kind of code."""
    if not isinstance(value, str):
        return None
    meant = cxf.algorithm_of(value)
    return _STRUCTURE if meant in ("steam", "sha1") else (meant,)


def _period(value: Any) -> Found:
    """Thirty seconds are what a code has anyway."""
    return _STRUCTURE if value in (30, "30") else None


def _digits(value: Any) -> Found:
    """Six digits are what a code has anyway."""
    return _STRUCTURE if value in (6, "6") else None


def _name(_: Any) -> Found:
    """A name stays as it is."""
    return None


def _is_stale(row: dict[str, Any]) -> bool:
    """Whether the token's own text says something else than its members: then only they count."""
    from msgspec import ValidationError, convert

    from vault import otp
    from vault.model import Totp, dec_hook

    try:
        token = convert({**row, "type": "totp"}, Totp, dec_hook=dec_hook)
        read = otp.parse(row["source"])
    except (ValueError, ValidationError):
        return False
    return any(getattr(token, name) != getattr(read, name) for name in _OF_A_CODE)


_OF_A_CODE = ("kind", "secret", "period", "digits", "algorithm", "counter", "pin")


@whole_rule
def cxf_code_text(_: Any, entry: Mapping[str, Any], record: Mapping[str, Any]) -> Found:
    """The own text of a code; where its members were changed since, they alone count."""
    row = dict(entry)
    held, listed = _extension(record, cxf.ITEM).get("credentials"), record.get("credentials")
    if isinstance(held, dict) and isinstance(listed, list):
        for at, one in held.items():
            if one is entry and at.isdigit() and int(at) < len(listed) and isinstance(listed[int(at)], dict):
                row = {**cxf.credential_in(deepcopy(listed[int(at)])), **row}
    return _STRUCTURE if isinstance(row.get("source"), str) and _is_stale(row) else None


@whole_rule
def cxf_code_more(_: Any, parent: Mapping[str, Any], record: Mapping[str, Any]) -> Found:
    """What our extension holds for a code is in the code's own text too, if it has one."""
    held = _extension(record, cxf.ITEM).get("credentials")
    entries = [one for one in held.values() if isinstance(one, dict)] if isinstance(held, dict) else []
    listed = record.get("credentials")
    for credential in listed if isinstance(listed, list) else ():
        fields = credential.get("fields") if isinstance(credential, dict) else None
        if isinstance(fields, list) and len(fields) == 1 and (code := cxf.code_of(fields[0])) is not None:
            entries.append(code)
    mine = next((one for one in entries if one is parent or one.get("parameters") is parent), {})
    return _STRUCTURE if isinstance(mine.get("source"), str) else None


@rule
def cxf_code_uri(_: Any, field: Mapping[str, Any]) -> Found:
    """The address by which others read a code that CXF has no type for."""
    return _STRUCTURE if cxf.code_of(field) is not None else None


@whole_rule
def cxf_private_key(value: Any, credential: Mapping[str, Any], record: Mapping[str, Any]) -> Found:
    """A key in DER repeats the text that our extension holds."""
    exact = _entry(credential, record).get("privateKey")
    return _STRUCTURE if isinstance(exact, str) and cxf.der_of(exact) == value else None


@link
@whole_rule
def cxf_link(value: Any, reference: Mapping[str, Any], record: Mapping[str, Any]) -> Found:
    """The id of the item a link means."""
    listed = record.get("credentials")
    links = (one for one in listed if _is_link(one)) if isinstance(listed, list) else ()
    is_one = isinstance(value, str) and any(one.get("reference") is reference for one in links)
    return _STRUCTURE if is_one else None


def _is_link(credential: Any) -> bool:
    return isinstance(credential, dict) and credential.get("type") == "item-reference"


# Shapes

LINKING = Linking(own=(("id",),), within=True)

_FIELD_EXTENSION: Shape = {
    "name": codes(*cxf.OURS),
    "original": WORDS,
    "kind": WORDS,
    "source": changed(cxf_code_text),
    "parameters": {"*": changed(cxf_code_more)},
    **dict.fromkeys(
        ("secret", "period", "digits", "algorithm", "username", "issuer", "counter", "pin"), changed(cxf_code_more)
    ),
}
FIELD: Shape = {"fieldType": WORDS, "extensions": {"*": _FIELD_EXTENSION}}
_CODE_FIELD: Shape = {**FIELD, "value": changed(cxf_code_uri)}

CREDENTIAL: Shape = {
    "*": FIELD,
    "type": WORDS,
    "reference": {"item": changed(cxf_link)},
    "fields": {"*": _CODE_FIELD},
    "extensions": {"*": {"name": codes(*cxf.OURS)}},
    "secret": changed(_of_code(_seed)),
    "algorithm": changed(_of_code(_algorithm)),
    "period": changed(_of_code(_period)),
    "digits": changed(_of_code(_digits)),
    "issuer": changed(_of_code(_name)),
    "username": {**FIELD},
    "privateKey": changed(cxf_private_key),
    "decryptedSize": codes(0, "0"),
}

_HELD: Shape = {  # what our extension holds for a credential
    "type": WORDS,
    "kind": WORDS,
    "source": changed(cxf_code_text),
    "parameters": {"*": changed(cxf_code_more)},
    **dict.fromkeys(("username", "counter", "pin"), changed(cxf_code_more)),
}
_ITEM_EXTENSION: Shape = {
    "name": codes(*cxf.OURS),
    "collections": {"*": WORDS},
    "conflict": WORDS,
    "history": {"*": {"field": WORDS}},
    "provenance": {"format": WORDS, "run": WORDS},
    "urls": {"*": {"match": WORDS}},
    "credentials": {"*": _HELD},
}
ITEM: Shape = {
    "id": changed(cxf_own_id),
    "type": codes("login", "document", "identity"),
    "favorite": codes(0, 1),
    "creationAt": changed(_time("creationAt", cxf.ITEM, "item_created_seconds")),
    "modifiedAt": changed(_time("modifiedAt", cxf.ITEM, "item_modified_seconds")),
    "credentials": {"*": CREDENTIAL},
    "extensions": {"*": _ITEM_EXTENSION},
}

# In a container the bytes say what the hash is: the proof looks for that one.
ITEM_IN_CONTAINER: Shape = {**ITEM, "credentials": {"*": {**CREDENTIAL, "integrityHash": WORDS}}}

LINKS: Shape = {"item": WORDS}  # proven with each record: the titles of its folders must be with its item
COLLECTION: Shape = {
    "id": changed(cxf_own_id),
    "creationAt": changed(_time("creationAt", cxf.COLLECTION, "folder_created_seconds")),
    "modifiedAt": changed(_time("modifiedAt", cxf.COLLECTION, "folder_modified_seconds")),
    "items": {"*": LINKS},
    "extensions": {
        "*": {"name": codes(*cxf.OURS), "aliases": {"*": WORDS}, **dict.fromkeys(("kind", "format", "parent"), WORDS)}
    },
}
COLLECTION["subCollections"] = {"*": COLLECTION}

ACCOUNT: Shape = {
    "id": changed(cxf_own_account),
    "collections": {"*": COLLECTION},
    "extensions": {"*": {"name": codes(*cxf.OURS), "collections": {"*": WORDS}}},
}
HEADER: Shape = {
    "version": {"major": changed(cxf_own_header), "minor": changed(cxf_own_header)},
    "exporterRpId": changed(cxf_own_header),
    "exporterDisplayName": changed(cxf_own_header),
    "timestamp": changed(cxf_own_header),
    "accounts": {"*": ACCOUNT},
}
