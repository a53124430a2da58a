"""What a person sees of an item: its title, its values in order, and what no format of ours understood.

Pure, and part of the ground: nothing here prints, and nothing knows a product.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple, get_args
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import fields

from vault import canonical
from vault.model import BasicAuth, Credential, CustomFields, Field, Item, Part, Passkey, Past, concealed, find_all
from vault.secret import Secret

UNTITLED = "(untitled)"

# What a key may be called that holds a secret; the words of an unknown key are looked up here.
_SECRET_WORDS = """
    pass passwd password passwords passphrase passcode pwd psw secret secrets pin puk cvv cvc cvn csc seed mnemonic
    totp hotp otp otpauth token tokens key keys private credential credentials recovery backup answer hash salt
    signature ssn iban authenticator
"""
_SMELLS = frozenset(_SECRET_WORDS.split())
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")

_LABELS = {
    "username": "User name",
    "given": "Given name",
    "given2": "Middle name",
    "given_informal": "Nickname",
    "surname2": "Second surname",
    "full_name": "Full name",
    "verification_number": "Security code",
    "pin": "PIN",
    "ssid": "Network",
    "rp_id": "Site",
    "rp_name": "Site name",
    "user_handle": "User id",
    "tel": "Phone",
    "content": "Notes",
    "url": "URL",
    "decrypted_size": "Bytes",
}
_ITEM_MEMBERS = ("subtitle", "template", "expires_at", "last_used_at", "creation_at", "modified_at")
_ITEM_LABELS = {
    "creation_at": "Created",
    "modified_at": "Modified",
    "expires_at": "Expires",
    "last_used_at": "Last used",
}


class Row(NamedTuple):
    """One value of an item as it is shown."""

    label: str
    field: Field
    concealed: bool
    section: str = ""
    name: str = ""  # how it is called on the command line


def display_title(item: Item) -> str:
    """Return the title, else the host of the first address, else the first user name, else ``(untitled)``."""
    if item.title.strip():
        return item.title
    for url in item.urls:
        if host := host_of(url.url):
            return host
    return next((name for name in user_names(item) if name.strip()), UNTITLED)


def host_of(url: str) -> str:
    """Return the host of a web address, without its port; empty if there is none."""
    try:
        parts = urlsplit(url if "//" in url else f"//{url}")
        _ = parts.port  # mailto:ann has no host: what stands after the colon is no port
        return parts.hostname or ""
    except ValueError:
        return ""


def user_names(item: Item) -> tuple[str, ...]:
    """Return the user names that may be shown, in order: of passwords first, then of passkeys."""
    shown = (c.username for c in find_all(item, BasicAuth))
    names = [field.text for field in shown if field is not None and not field.is_concealed]
    names += [c.username for c in find_all(item, Passkey)]
    return tuple(name for name in names if name)


def rows(item: Item) -> list[Row]:
    """Return every value of an item but title, folders and tags, in the order a person reads it."""
    found = [row for credential in item.credentials for row in _of_credential(credential)]
    addresses = [Row("Website", Field(value=url.url), False, url.match or "", "url") for url in item.urls]
    of_login = (n for n, row in enumerate(found) if row.name in ("username", "password") and not row.section)
    at = 1 + max(of_login, default=-1)
    found[at:at] = addresses
    found += [Row("App", Field(value=app.name or app.bundle_id), False, "", "app") for app in item.android_apps]
    for name in _ITEM_MEMBERS:
        if value := getattr(item, name):
            found.append(Row(_ITEM_LABELS.get(name) or _label(name), Field(value=value), False, "", _name(name)))
    found += [_of_past(past) for past in item.history]
    found += [Row(f.label or "", f, f.is_concealed, "", f.label or "") for f in extra_fields(item)]
    return found


def _of_credential(credential: Credential) -> Iterator[Row]:
    if isinstance(credential, CustomFields):
        for field in credential.fields:
            label = field.label or "(no label)"
            yield Row(label, field, field.is_concealed, credential.label or "", field.label or "")
        return
    tag = str(credential.__struct_config__.tag)
    for member in msgspec.structs.fields(credential):
        value = getattr(credential, member.name)
        if member.name in _UNSEEN.get(tag, _EXTRA) or value == member.default or value in (None, "", (), {}):
            continue
        field = _as_field(value)
        if not field.text:
            continue
        name = {"note": "notes", "totp": "totp"}.get(tag, "") if member.name in ("content", "secret") else ""
        label = "Key" if name == "totp" else _label(member.name)
        yield Row(label, field, field.is_concealed, _SECTIONS.get(tag, ""), name or _name(member.name))


_EXTRA = frozenset({"extra"})
_UNSEEN = {  # what only programs read, and a code's own text, which says again what its members say
    "file": _EXTRA | {"id", "integrity_hash"},
    "totp": _EXTRA | {"source"},
}
_SECTIONS = {"passkey": "Passkey", "file": "Attachment", "totp": "One-time code", "item-reference": "Link"}


def _as_field(value: Any) -> Field:
    if isinstance(value, Field):
        return value
    if isinstance(value, Secret):
        return concealed(value.reveal())
    if isinstance(value, Mapping):  # of another product's making: anything may be in it
        return concealed(canonical.encode(value).decode())
    if isinstance(value, bool):
        return Field(value="true" if value else "false", field_type="boolean")
    return Field(value=value if isinstance(value, str) else canonical.encode(value).decode())


def _of_past(past: Past) -> Row:
    return Row(f"Former {past.field}", concealed(past.value.reveal()), True, past.at or "", "history")


def _label(member: str) -> str:
    return _LABELS.get(member) or member.replace("_", " ").capitalize()


def _name(member: str) -> str:
    return member.replace("_", "-")


def extra_fields(item: Item) -> tuple[Field, ...]:
    """Return what no format understood, anywhere in the item, as fields with the path of keys as label.

    A key of a part begins with the part: ``note.colour``. A value that is no text is JSON; null, empty texts, lists and
    objects are left out. A value whose label speaks of a secret is concealed.
    """
    return tuple(_extras(item, "")) if _holds_extra(item) else ()


def _holds_extra(item: Item) -> bool:
    """Whether anything may be kept raw in the item; its JSON tells that sooner than a look into every part."""
    return canonical.encode(item).find(b'"extra":') >= 0  # a byte string that is asked "in" tries a number first


def _extras(part: Part, path: str) -> Iterator[Field]:
    if part.extra:
        yield from _flat(part.extra, path)
    for member in _members_with_parts(type(part)):
        value = getattr(part, member)
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, Part):
                yield from _extras(one, _joined(path, _part_name(one, member)))


@cache
def _members_with_parts(kind: type[Part]) -> tuple[str, ...]:
    """Return the members of a type that may hold parts: all but texts, numbers and the like."""
    return tuple(f.name for f in fields(kind) if f.name != "extra" and _may_hold_parts(f.type))


def _may_hold_parts(kind: Any) -> bool:
    inner = get_args(kind)
    return any(map(_may_hold_parts, inner)) if inner else isinstance(kind, type) and issubclass(kind, Part)


def _part_name(part: Part, member: str) -> str:
    if isinstance(part, Credential):
        return str(part.__struct_config__.tag)
    if isinstance(part, Field):
        return part.label or _name(member)
    return _PARTS.get(member, member)


_PARTS = {"urls": "url", "android_apps": "app", "provenance": "origin"}


def _joined(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _flat(values: Mapping[str, Any], path: str) -> Iterator[Field]:
    for key, value in values.items():
        label = _joined(path, key)
        if isinstance(value, Mapping):
            yield from _flat(value, label)
        elif value is not None and value != "" and value != []:
            text = _as_field(value).text
            hidden = isinstance(value, Secret) or speaks_of_secret(label) or _holds_secrets(value)
            yield concealed(text, label=label) if hidden else Field(value=text, label=label)


def _holds_secrets(value: Any) -> bool:
    """Tell whether a key inside a list speaks of a secret."""
    if isinstance(value, Mapping):
        return any(speaks_of_secret(str(key)) or _holds_secrets(inner) for key, inner in value.items())
    return isinstance(value, list) and any(map(_holds_secrets, value))


def speaks_of_secret(label: str) -> bool:
    """Tell whether a word of a label is one by which secrets are called: password, PIN, key, seed, ..."""
    return any(word.lower() in _SMELLS for word in _WORD.findall(label))
