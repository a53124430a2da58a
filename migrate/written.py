"""What was written for another product, looked through by readers that know no product.

Before anybody sees the result, every user name, password, note, concealed or custom value and one-time code of the
items must be found in its bytes again, unless the item has a declared loss.
"""

from __future__ import annotations

import csv
import io
import sys
import zipfile
from collections.abc import Collection, Iterable, Iterator
from typing import Any
from urllib.parse import parse_qsl, unquote

import msgspec

from migrate.adapter import Adapter
from migrate.giving import Loss
from vault import otp
from vault.canonical import many
from vault.errors import UndeclaredLoss
from vault.model import BasicAuth, CustomFields, Field, Item, Note, Totp

_RESPELT = frozenset({"date", "year-month"})  # each product spells them in its own way


def check_written(data: bytes, target: Adapter, items: Iterable[Item], losses: Iterable[Loss]) -> None:
    """Look for the items in the bytes written; raises ``UndeclaredLoss`` where a value is gone without a word."""
    with many():
        _check(data, target, items, losses)


def _check(data: bytes, target: Adapter, items: Iterable[Item], losses: Iterable[Loss]) -> None:
    texts = _texts(data)
    declared = {loss.item for loss in losses}
    codes: set[tuple[Any, ...]] | None = None
    whole = ""
    for item in items:
        if item.id in declared:
            continue
        looked_for = _important(item)
        for totp in item.credentials:
            if isinstance(totp, Totp) and totp.secret:  # without a key there is no code to lose
                codes = _codes(texts) | _codes_in_members(data) if codes is None else codes
                if _code(totp) in codes or _is_as_it_was(totp, texts):
                    continue
                if otp.is_secret(totp.secret.reveal()):
                    raise _lost(target)
                looked_for.append(totp.secret.reveal())  # a key that cannot be read gives no code, and stays a text
        for text in looked_for:
            if text not in texts:
                whole = whole or _even("\0".join((*texts, *_in_addresses(texts))))
                if _even(text) not in whole:
                    raise _lost(target)


def _is_as_it_was(totp: Totp, texts: Collection[str]) -> bool:
    """Whether a code stands in the file as its bare key, or as the text its source had: spaced, say, in lower case."""
    if totp.source is not None and totp.source.reveal() in texts:
        return True
    return _is_bare(totp) and totp.secret.reveal() in texts


def _lost(target: Adapter) -> UndeclaredLoss:
    return UndeclaredLoss(
        f"a value was not found again in what was written as {target.name}",
        hint="nothing was written; this is a defect of Keyferry, please report the two formats",
    )


def _even(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _important(item: Item) -> list[str]:
    """Return the texts whose loss a person would notice first."""
    texts: list[str] = []
    fields: list[Field | None] = []
    for credential in item.credentials:
        if isinstance(credential, BasicAuth):
            fields += (credential.username, credential.password)
        elif isinstance(credential, CustomFields):
            fields += credential.fields
        elif isinstance(credential, Note):
            texts.append(credential.content.reveal())
        elif not isinstance(credential, Totp):
            members = (getattr(credential, name) for name in credential.__struct_fields__)
            fields += [member for member in members if isinstance(member, Field) and member.is_concealed]
    texts += [field.text for field in fields if field is not None and field.field_type not in _RESPELT]
    return [text for text in texts if text]


def _code(totp: Totp) -> tuple[Any, ...]:
    """Return what makes the codes of a key, whatever its spelling; what its kind fixes or does not use is left out."""
    if totp.kind == "totp":
        return totp.kind, totp.secret.reveal(), totp.digits, totp.period, totp.algorithm
    if totp.kind == "hotp":
        return totp.kind, totp.secret.reveal(), totp.digits, totp.algorithm
    return totp.kind, totp.secret.reveal()


def _is_bare(totp: Totp) -> bool:
    return totp.kind == "totp" and (totp.digits, totp.period, totp.algorithm) == (6, 30, "sha1")


def _codes(texts: Iterable[str]) -> set[tuple[Any, ...]]:
    """Return the codes of every address of one in the texts, whole or on a line of its own."""
    found = set()
    for text in texts:
        if "://" not in text:
            continue
        for line in text.splitlines():
            at = min((i for scheme in ("otpauth:", "steam:", "motp:") if (i := line.find(scheme)) >= 0), default=-1)
            if at >= 0:
                try:
                    found.add(_code(otp.parse(line[at:])))
                except ValueError:
                    continue
    return found


def _in_addresses(texts: Iterable[str]) -> Iterator[str]:
    """Yield what stands percent-encoded in addresses of codes, and the texts of JSON in their parameters."""
    for text in texts:
        if "://" not in text or "%" not in text:
            continue
        yield unquote(text)
        for _, value in parse_qsl(text.partition("?")[2]):
            if value.startswith("{"):
                yield from _json_texts(value.encode("utf-8", "surrogatepass")) or ()


def _codes_in_members(data: bytes) -> set[tuple[Any, ...]]:
    """Return the codes that stand in JSON as an object's members, as CXF writes them."""
    found: set[tuple[Any, ...]] = set()
    for text in _json_files(data):
        waiting = [text]
        while waiting:
            node = waiting.pop()
            if isinstance(node, dict):
                if {"secret", "digits", "period", "algorithm"} <= node.keys() and all(map(_is_plain, node.values())):
                    found.add(("totp", node["secret"], node["digits"], node["period"], node["algorithm"]))
                waiting += node.values()
            elif isinstance(node, list):
                waiting += node
    return found


def _is_plain(value: Any) -> bool:
    return isinstance(value, (str, int))


def _json_files(data: bytes) -> Iterator[Any]:
    """Yield the value of a JSON file, or of each in a container."""
    files = [data]
    if data.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            files = [archive.read(name) for name in archive.namelist()]
    for one in files:
        try:
            yield msgspec.json.decode(one)
        except (msgspec.DecodeError, ValueError, RecursionError):
            continue


def _texts(data: bytes) -> set[str]:
    """Return every text of a JSON, ZIP or delimited file."""
    if data.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return set().union(*(_json_texts(archive.read(name)) or () for name in archive.namelist()))
    found = _json_texts(data)
    if found is not None:
        return found
    text = data.decode("utf-8")
    csv.field_size_limit(sys.maxsize)
    cells = {cell for row in csv.reader(io.StringIO(text, newline="")) for cell in row}
    return cells.union(text.splitlines())


def _json_texts(data: bytes) -> set[str] | None:
    """Return the texts of a JSON file, None if it is none; each part of a large one is read alone and dropped after."""
    found: set[str] = set()
    numbers: set[int] = set()
    try:
        for part in _json_parts(data) if len(data) > _LARGE else [data]:
            _collect(_ANY.decode(part), found, numbers)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    return found.union(map(str, numbers))


_ANY = msgspec.json.Decoder()
_CONTAINER = msgspec.json.Decoder(dict[str, msgspec.Raw] | list[msgspec.Raw])
_SMALL, _LARGE = 1 << 16, 1 << 24  # bytes


def _json_parts(data: bytes | msgspec.Raw) -> Iterator[bytes | msgspec.Raw]:
    """Yield small values that hold together what one large value holds, but for keys."""
    try:
        inside = _CONTAINER.decode(data)
    except msgspec.ValidationError:  # no container
        yield data
        return
    for part in inside.values() if isinstance(inside, dict) else inside:
        if len(part) > _SMALL:
            yield from _json_parts(part)
        else:
            yield part


def _collect(value: Any, texts: set[str], numbers: set[int]) -> None:
    waiting: list[Any] = [[value]]
    for node in waiting:
        for one in node.values() if type(node) is dict else node:
            kind = type(one)
            if kind is str:
                texts.add(one)
            elif one is None or kind is bool:
                continue
            elif kind is dict or kind is list:
                waiting.append(one)
            elif kind is int:
                numbers.add(one)
            else:
                texts.add(str(one))
