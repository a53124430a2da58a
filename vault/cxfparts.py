"""Fields and credentials between the model's JSON rows and CXF 1.0 (dossier: CXF 2, 4, 5, 6).

Both sides are plain dicts, consumed while they are read: what nobody takes stays, and is carried on. ``row`` is what
``vault.canonical`` writes of a part of the model, ``data`` the CXF object. Only members that CXF has are written in the
open; for all others the functions return a dict that an extension object holds.
"""

from __future__ import annotations

import re
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from vault.cxfkinds import (
    ALGORITHMS,
    CODE,
    FIELD,
    FIELD_TYPES,
    KINDS,
    OLD_NAMES,
    OLD_TYPES,
    RAW,
    SECTION,
    UNKNOWN,
    Data,
    Row,
)
from vault.cxfraw import add, extend, in_place, ours_in, settle, split
from vault.model import CONCEALED, Field
from vault.otpreading import hash_name

_FIELD_MEMBERS = frozenset(f.encode_name for f in msgspec.structs.fields(Field))
_FIELD_OURS = _FIELD_MEMBERS - {"value", "fieldType", "id", "label", "extra"}
_FIELD_KNOWN = frozenset({"value", "fieldType", "id", "label", "extensions"})
_CODE_MEMBERS = frozenset({*KINDS["totp"].native, *KINDS["totp"].ours}) - {"label"}


# Fields


def field_out(row: Row, own: bool) -> Data:
    """Return an EditableField; ``own`` says that its raw keys came from CXF."""
    made: Data = {}
    if "id" in row:
        made["id"] = row.pop("id")
    made["fieldType"] = row.pop("fieldType", "string")
    made["value"] = row.pop("value", "")
    if "label" in row:
        made["label"] = row.pop("label")
    extra = in_place(made, row.pop("extra", {}), _FIELD_KNOWN, own)
    if extra:
        row["extra"] = extra
    if row:
        extend(made, FIELD, row)
    return made


def field_in(data: Any, expected: str) -> Row | None:
    """Return a field's row; a bare text (older drafts) or number is one too; None for anything else."""
    if isinstance(data, str):
        return {"value": data, "fieldType": expected}
    if not isinstance(data, dict):
        text = _as_text(data)
        return None if text is None else {"value": text, "fieldType": expected}
    row: Row = {"fieldType": expected}
    take(data, row, "fieldType", "text")
    take(data, row, "id", "text")
    take(data, row, "label", "text")
    text = _as_text(data.get("value", ""))
    if text is not None:
        data.pop("value", None)
        row["value"] = text
    if not data:
        return row
    return settle(row, split(data, FIELD) or {}, _FIELD_OURS, data)


def _as_text(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else None


_DIGITS = re.compile(r"-?[0-9]{1,18}")


def whole(value: Any) -> int | None:
    """Return a whole number written as a number or as its own digits, or None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str) and _DIGITS.fullmatch(value) and str(int(value)) == value:
        return int(value)
    return None


def take(data: Data, row: Row, name: str, how: str) -> None:
    """Move one raw member from CXF to the row; null goes away, and what is of another type stays."""
    if name not in data:
        return
    value = data[name]
    if value is None:
        del data[name]
        return
    got = whole(value) if how == "int" else value if isinstance(value, _TYPES[how]) else None
    if got is not None:
        del data[name]
        row[name] = got


_TYPES: dict[str, type] = {"text": str, "object": dict}


# Credentials


def credential_out(row: Row, own: bool) -> tuple[Data, Row]:
    """Return a credential, and the members that only the item's extension can hold."""
    tag = row.pop("type")
    return _OUT.get(tag, _plain_out)(tag, row, own)


def _plain_out(tag: str, row: Row, own: bool) -> tuple[Data, Row]:
    kind = KINDS[tag]
    made: Data = {"type": tag}
    for name, how in kind.native.items():
        if name in row:
            value = row.pop(name)
            made[name] = field_out(value, own) if how == "field" else value
        elif name in kind.required:
            made[name] = kind.required[name]
    return made, _rest(made, row, kind.known, own)


def _rest(made: Data, row: Row, known: frozenset[str], own: bool) -> Row:
    extra = in_place(made, row.pop("extra", {}), known, own)
    if extra:
        row["extra"] = extra
    return row


def credential_in(data: Data) -> Row:
    """Return a credential's row; one of a type that CXF 1.0 does not have is kept raw."""
    tag = data.get("type")
    tag = OLD_TYPES.get(tag, tag) if isinstance(tag, str) else None
    if tag == RAW and isinstance(data.get("raw"), dict):
        row: Row = {"type": UNKNOWN, "raw": data.pop("raw")}
        del data["type"]
        return settle(row, {}, frozenset(), data)
    if tag not in KINDS:
        return {"type": UNKNOWN, "raw": data}
    del data["type"]
    for old, new in OLD_NAMES.get(tag, {}).items():
        if old in data and new not in data:
            data[new] = data.pop(old)
    return _IN.get(tag, _plain_in)(tag, data)


def _plain_in(tag: str, data: Data) -> Row:
    row: Row = {"type": tag}
    types, required = FIELD_TYPES.get(tag, {}), KINDS[tag].required
    for name, how in KINDS[tag].native.items():
        if how != "field":
            take(data, row, name, how)
            if how == "text" and name in required:
                row.setdefault(name, "")  # as it will be written
        elif name in data:
            value = data[name]
            got = None if value is None else field_in(value, types.get(name, "string"))
            if got is not None:
                row[name] = got
            if got is not None or value is None:
                del data[name]
    if data:
        row["extra"] = data
    return row


def ours_of(tag: str) -> frozenset[str]:
    """Return the members that the item's extension holds for a credential of that type."""
    return KINDS[tag].ours | _BESIDE.get(tag, frozenset()) if tag in KINDS else frozenset()


# Members of CXF that our extension holds where they cannot be written in the open.
_BESIDE = {"ssh-key": frozenset({"privateKey"}), "totp": frozenset({"username"})}


def _unknown_out(_: str, row: Row, own: bool) -> tuple[Data, Row]:
    raw = row.pop("raw", {})
    tag = raw.get("type")
    tag = OLD_TYPES.get(tag, tag) if isinstance(tag, str) else None
    return (dict(raw) if tag not in KINDS and tag != RAW else {"type": RAW, "raw": raw}), row


def _note_out(_: str, row: Row, own: bool) -> tuple[Data, Row]:
    made: Data = {"type": "note", "content": {"fieldType": "string", "value": row.pop("content", "")}}
    return made, _rest(made, row, KINDS["note"].known, own)


def _note_in(tag: str, data: Data) -> Row:
    content = data.pop("content", None)
    row: Row = {"type": tag, "content": ""}
    if isinstance(content, dict):
        text = _as_text(content.get("value", ""))
        if text is not None:
            content.pop("value", None)
            row["content"] = text
        if content.get("fieldType") in ("string", None):
            content.pop("fieldType", None)
        for name in ("id", "label", "extensions"):
            if content.get(name) in (None, "", []):
                content.pop(name, None)
        if content:
            data["content"] = content
    elif (text := _as_text(content)) is not None:
        row["content"] = text
    else:
        data["content"] = content
    if data:
        row["extra"] = data
    return row


def _reference_out(tag: str, row: Row, own: bool) -> tuple[Data, Row]:
    made: Data = {"type": tag, "reference": {"item": row.pop("reference", "")}}
    return made, _rest(made, row, KINDS[tag].known, own)


def _reference_in(tag: str, data: Data) -> Row:
    link = data.get("reference")
    row: Row = {"type": tag}
    if isinstance(link, dict):
        take(link, row, "item", "text")
        row["reference"] = row.pop("item", "")
        if link.get("account") is None:
            link.pop("account", None)
        if not link:
            del data["reference"]
    else:
        take(data, row, "reference", "text")
    if data:
        row["extra"] = data
    return row


def _section_out(tag: str, row: Row, own: bool) -> tuple[Data, Row]:
    made: Data = {"type": tag}
    for name in ("id", "label"):
        if name in row:
            made[name] = row.pop(name)
    made["fields"] = [field_out(one, own) for one in row.pop("fields", ())]
    extra = in_place(made, row.pop("extra", {}), KINDS[tag].known, own)
    if extra:
        row["extra"] = extra
    if row:
        extend(made, SECTION, row)
    return made, {}


def _section_in(tag: str, data: Data) -> Row:
    code = _code_in(data)
    if code is not None:
        return code
    row: Row = {"type": tag}
    take(data, row, "id", "text")
    take(data, row, "label", "text")
    listed = data.get("fields")
    if isinstance(listed, list) or listed is None:
        data.pop("fields", None)
        fields, rotten = [], []
        for one in listed or ():
            got = field_in(one, "string") if one is not None else None
            if got is not None:
                fields.append(got)
            elif one is not None:
                rotten.append(one)
        row["fields"] = fields
        if rotten:
            data["fields"] = rotten
    if not data:
        return row
    return settle(row, split(data, SECTION) or {}, frozenset(), data)


# One-time codes: CXF has plain TOTP only, and a made-up algorithm would give wrong codes elsewhere.


def is_standard_code(row: Row) -> bool:
    """Whether a one-time code can be written as CXF's ``totp`` and be understood."""
    return (
        row.get("kind", "totp") == "totp"
        and base32_of(row.get("secret", "")) == row.get("secret", "")
        and row.get("algorithm", "sha1") in ALGORITHMS
        and 1 <= row.get("period", 30) <= 255  # a larger number makes readers refuse the whole file
        and 1 <= row.get("digits", 6) <= 10
    )


def _code_out(tag: str, row: Row, own: bool) -> tuple[Data, Row]:
    if is_standard_code(row):
        spoken = row.pop("username", None) if "source" in row else None  # the code's own text says it
        made, rest = _plain_out(tag, row, own)
        return made, rest if spoken is None else {**rest, "username": spoken}
    label = row.pop("label", None)
    field: Data = {"fieldType": CONCEALED, "value": _uri(row)}
    if label is not None:
        field["label"] = label
    extend(field, CODE, row)
    return {"type": "custom-fields", "fields": [field]}, {}


def _uri(row: Row) -> str:
    from vault.model import Totp, dec_hook
    from vault.otpauth import uri

    return uri(msgspec.convert({"type": "totp", **row}, Totp, dec_hook=dec_hook))


def code_of(field: Any) -> Data | None:
    """Return the members of the one-time code that a custom field stands for, or None."""
    return ours_in(field, CODE) if isinstance(field, dict) else None


def _code_in(data: Data) -> Row | None:
    fields = data.get("fields")
    if not isinstance(fields, list) or len(fields) != 1 or code_of(fields[0]) is None:
        return None
    field = data.pop("fields")[0]
    ours = split(field, CODE) or {}
    row: Row = {"type": "totp"}
    take(field, row, "label", "text")
    for name in ("value", "fieldType"):
        if isinstance(field.get(name), str):
            del field[name]
    for key, value in field.items():
        add(data, key, value)
    return settle(row, ours, _CODE_MEMBERS, data)


def _totp_in(tag: str, data: Data) -> Row:
    row = _plain_in(tag, data)
    if "algorithm" in row:
        row["algorithm"] = algorithm_of(row["algorithm"])
    if row.get("algorithm") == "steam":  # Bitwarden's way of saying so (dossier: CXF 5)
        row |= {"kind": "steam", "algorithm": "sha1"}
    if "secret" in row:
        row["secret"] = base32_of(row["secret"])
    return row


def algorithm_of(text: str) -> str:
    """Return a hash's name in the one spelling of CXF, an unknown one in small letters."""
    return hash_name(text) or text


_BASE32 = re.compile(r"[A-Z2-7]+")
_BLEMISHES = re.compile(r"[\s\-=]")


def base32_of(text: str) -> str:
    """Return a seed in upper case without padding, spaces and hyphens; what is no base32 as it is."""
    if _BASE32.fullmatch(text) or not text.isascii():
        return text
    bare = _BLEMISHES.sub("", text).upper()
    return bare if _BASE32.fullmatch(bare) else text


# SSH keys: CXF holds PKCS#8 in DER, the model the text of the source.

_DER = re.compile(r"[A-Za-z0-9_-]*")
_PEM = re.compile(r"\s*-----BEGIN PRIVATE KEY-----([A-Za-z0-9+/=\s]+)-----END PRIVATE KEY-----\s*")


def der_of(text: str) -> str | None:
    """Return a private key as base64url PKCS#8 if that needs no computing, else None."""
    if _DER.fullmatch(text):
        return text
    pem = _PEM.fullmatch(text)
    if pem is None:
        return None
    try:
        return urlsafe_b64encode(b64decode("".join(pem[1].split()), validate=True)).rstrip(b"=").decode()
    except ValueError:
        return None


def _ssh_out(tag: str, row: Row, own: bool) -> tuple[Data, Row]:
    exact = row.get("privateKey", "")
    der = der_of(exact) or ""
    row["privateKey"] = der
    made, rest = _plain_out(tag, row, own)
    if der != exact:
        rest["privateKey"] = exact
    return made, rest


_Out = Callable[[str, Row, bool], tuple[Data, Row]]
_OUT: dict[str, _Out] = {
    UNKNOWN: _unknown_out,
    "note": _note_out,
    "item-reference": _reference_out,
    "custom-fields": _section_out,
    "totp": _code_out,
    "ssh-key": _ssh_out,
}
_IN: dict[str, Callable[[str, Data], Row]] = {
    "note": _note_in,
    "item-reference": _reference_in,
    "custom-fields": _section_in,
    "totp": _totp_in,
}


def strays(row: Row) -> Iterator[str]:
    """Yield the web addresses that older drafts kept on the password."""
    urls = row.get("extra", {}).get("urls") if row.get("type") == "basic-auth" else None
    if isinstance(urls, list) and all(isinstance(one, str) for one in urls):
        yield from urls
        del row["extra"]["urls"]
        if not row["extra"]:
            del row["extra"]
