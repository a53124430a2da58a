"""What a stored item holds: the texts of its row, told apart from what only says how they are kept."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

import msgspec

from migrate.shape import text_of
from vault import otp
from vault.canonical import encode

read_row = msgspec.json.Decoder(float_hook=Decimal).decode

# Members of our rows that say what something is. Below the RAW ones everything is somebody's value.
_STRUCTURE = frozenset({"fieldType", "original", "type", "kind", "match", "run", "format", "conflict", "field"})
_RAW = frozenset({"extra", "raw", "parameters", "fido2Extensions", "certificate"})
_OURS = frozenset({"id", "collections"})  # of an item
# Names, and numbers read out of something else: a source's value may stand in them, or they may be an adapter's words.
_NAMES = frozenset(
    {
        *("label", "id", "link", "section", "template", "mediaType"),
        *("decryptedSize", "period", "digits", "counter", "algorithm", "keyType", "curve"),
    }
)
_ALL_BUT_NAMES = _STRUCTURE | _NAMES
_OF_A_CODE = ("kind", "secret", "period", "digits", "algorithm", "counter", "pin")


def held(row: bytes) -> tuple[list[str], tuple[str, ...]]:
    """Return every text an item's row holds, as often as it holds it, and the ids of its collections."""
    item = read_row(row)
    folders = tuple(item.get("collections", ()))
    return _texts(item, _STRUCTURE), folders


def links_of(row: bytes) -> list[str]:
    """Return the ids of the items an item's row links to, in order."""
    credentials = read_row(row).get("credentials", ())
    return [one.get("reference", "") for one in credentials if one.get("type") == "item-reference"]


def texts_of(row: bytes) -> Counter[str]:
    """Return every text an item's row holds, as often as it holds it."""
    return Counter(_texts(read_row(row), _STRUCTURE))


def values(row: bytes) -> Counter[str]:
    """Return the texts that can only be somebody's values: labels, names and derived numbers are left out."""
    return Counter(_texts(read_row(row), _ALL_BUT_NAMES))


def _texts(item: dict[str, Any], silent: frozenset[str]) -> list[str]:
    found: list[str] = []
    for name in _OURS:
        item.pop(name, None)
    _collect(item, found, silent)
    return found


def _collect(node: Any, found: list[str], silent: frozenset[str]) -> None:
    """Add the texts below a node of a row; members called as ``silent`` says are left out."""
    waiting: list[Any] = [node]
    for part in waiting:  # which grows on the way
        kind = type(part)
        if kind is dict:
            if "source" in part and part.get("type") == "totp":
                part = _code(part)
            for name, value in part.items():
                if name in silent:
                    continue
                kind = type(value)
                if kind is str:
                    if value:
                        found.append(value)
                elif kind is dict or kind is list:
                    if name in _RAW:
                        collect(value, found)
                    else:
                        waiting.append(value)
                elif value is not None and kind is not bool:
                    found.append(text_of(value))
        elif kind is list:
            waiting += part
        elif kind is str:
            if part:
                found.append(part)
        elif part is not None and kind is not bool:
            found.append(text_of(part))


def collect(node: Any, found: list[str]) -> None:
    """Add every text below a node, which may be anything."""
    waiting: list[Any] = [(node,)]
    for part in waiting:  # which grows on the way
        for value in part.values() if type(part) is dict else part:
            kind = type(value)
            if kind is str:
                if value:
                    found.append(value)
            elif kind is dict or kind is list or kind is tuple:
                waiting.append(value)
            elif value is not None and kind is not bool:
                found.append(text_of(value))


def _code(node: dict[str, Any]) -> dict[str, Any]:
    """Return what a one-time code says in its own text; nothing where the key in use is not the text's."""
    said = ("source", "label", "extra") if _is_true(node) else ("label", "extra")
    return {name: node[name] for name in said if name in node}


def _is_true(node: dict[str, Any]) -> bool:
    """Whether the members in use are those of the code's own text."""
    if _is_plainly_true(node):
        return True
    try:
        read = read_row(encode(otp.parse(node["source"])))
    except ValueError:
        return True
    return all(read.get(name) == node.get(name) for name in _OF_A_CODE)


def _is_plainly_true(node: dict[str, Any]) -> bool:
    """Whether an ordinary address says the same letter by letter; a fifth of the time of reading it."""
    head, _, query = node["source"].partition("?")
    if not head.startswith("otpauth://totp/") or "kind" in node or "pin" in node:
        return False
    said = dict(pair.partition("=")[::2] for pair in query.split("&"))
    return (
        said.get("secret") == node.get("secret")
        and said.get("period", "30") == str(node.get("period", 30))
        and said.get("digits", "6") == str(node.get("digits", 6))
        and said.get("algorithm", "SHA1").lower() == node.get("algorithm", "sha1")
        and not {"counter", "pin", "encoder"} & said.keys()
        and "steam" not in query.lower()
    )
