"""One-time codes that products write into CXF as a field with an otpauth address, as 1Password does."""

from __future__ import annotations

from msgspec.structs import replace

from vault import otp
from vault.model import Credential, CustomFields, Field, Item, Totp

_ADDRESSES = ("otpauth://", "steam://", "motp://")


def with_codes(item: Item) -> Item:
    """Return an item whose fields with an otpauth address are one-time codes, each behind the rest of its section."""
    if not any(_is_address(field) for one in item.credentials for field in _fields(one)):
        return item
    made: list[Credential] = []
    for one in item.credentials:
        made += _parted(one) if isinstance(one, CustomFields) else (one,)
    return replace(item, credentials=tuple(made))


def _fields(one: Credential) -> tuple[Field, ...]:
    return one.fields if isinstance(one, CustomFields) else ()


def _is_address(field: Field) -> bool:
    return field.text.startswith(_ADDRESSES)


def _parted(section: CustomFields) -> list[Credential]:
    """Return a section without the codes in it, unless nothing is left of it, and the codes."""
    read = [(field, _code(field)) for field in section.fields]
    codes: list[Credential] = [code for _, code in read if code is not None]
    left = replace(section, fields=tuple(field for field, code in read if code is None))
    is_empty = bool(codes) and not (left.fields or left.id or left.label or left.extra)
    return codes if is_empty else [left, *codes]


def _code(field: Field) -> Totp | None:
    """Return the code whose address a field holds; where more is known of the field, it stays one."""
    if not _is_address(field) or field.original is not None or field.extra:
        return None
    try:
        code = otp.parse(field.text)
    except ValueError:
        return None
    return replace(code, label=field.label or None, extra={"id": field.id} if field.id else {})
