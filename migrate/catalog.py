"""Which formats there are, and which one a file is: the door of this room.

Detection is data: every adapter's ``Signature`` is tested against a *glimpse* of the file. Exactly one match, or a
named tie; never a guess.
"""

from __future__ import annotations

import os
import pkgutil
import re
import stat
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

import migrate.formats
from migrate.adapter import Adapter, Parsed, Signature
from migrate.containers import Archive
from migrate.decoding import is_text, utf8
from migrate.lines import unquoted
from migrate.masking import views
from migrate.records import damage
from migrate.source import Source
from vault.errors import (
    AmbiguousFormat,
    CannotRead,
    DamagedExport,
    EmptyExport,
    UnsafeExport,
    UsageError,
    WrongFormat,
)

MAX_FILE = 2 << 30  # bytes


@cache
def names() -> tuple[str, ...]:
    """Return the names of all formats in alphabetical order."""
    found = pkgutil.iter_modules(migrate.formats.__path__)
    return tuple(sorted(m.name for m in found if not m.name.startswith("_")))


def adapter(name: str) -> Adapter:
    """Return a format by its name; raises ``UsageError`` that names the nearest ones."""
    return variants(name)[0]


@cache
def variants(name: str) -> tuple[Adapter, ...]:
    """Return a format, then the other forms its files take (``VARIANTS`` of its module); raises as ``adapter``."""
    if name not in names():
        import difflib

        near = difflib.get_close_matches(name, names(), 3)
        hint = f"did you mean {' or '.join(near)}?" if near else "keyferry formats lists them all"
        raise UsageError(f"there is no format {name[:40]!r}", hint=hint)
    module = import_module(f"migrate.formats.{name}")
    return tuple(replace(one, name=name) for one in (module.ADAPTER, *getattr(module, "VARIANTS", ())))


def adapters() -> list[Adapter]:
    """Return every format."""
    return [adapter(name) for name in names()]


class Glimpse(msgspec.Struct):
    """What can be told of a file without knowing its product."""

    kind: str  # json, csv, zip, xml, text, binary
    keys: frozenset[str] = frozenset()
    record: frozenset[str] | None = None
    numbers: frozenset[str] = frozenset()  # JSON: of the record's keys, those whose value is a whole number
    values: dict[str, Any] = msgspec.field(default_factory=dict)  # JSON: short top-level values
    header: tuple[str, ...] = ()
    members: frozenset[str] = frozenset()
    first_line: str = ""
    start: bytes = b""  # the first 64 KiB, texts as UTF-8
    archive: Archive | None = None
    broken: DamagedExport | None = None  # JSON: why it is none, or one of its records


def read_file(path: Path) -> bytes:
    """Return the bytes of an export; raises ``CannotRead`` or ``EmptyExport`` with what to do."""
    shown = path.name or str(path)
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise CannotRead(f"{shown} is a folder", hint="name the export file in it")
        if not stat.S_ISREG(mode) and not stat.S_ISFIFO(mode):
            raise CannotRead(f"{shown} is no regular file", hint="name an export file")
        if stat.S_ISREG(mode) and os.stat(path).st_size > MAX_FILE:
            raise CannotRead(f"{shown} is larger than {MAX_FILE >> 30} GiB", hint="split the export")
        data = path.read_bytes()
    except FileNotFoundError:
        raise CannotRead(f"there is no file {shown}", hint="check the path") from None
    except PermissionError:
        raise CannotRead(f"{shown} may not be read", hint="check its permissions") from None
    except (OSError, ValueError):
        raise CannotRead(f"{shown} cannot be read", hint="check the disk and the path") from None
    check_not_empty(data, shown)
    return data


def check_not_empty(data: bytes, name: str) -> None:
    """Raise ``EmptyExport`` for a file of nothing, or of nothing but a mark and white space."""
    if not data.strip(b"\0 \t\r\n\xef\xbb\xbf\xff\xfe"):
        raise EmptyExport(f"{name} is empty", hint="export again; the product may have failed silently")


def glimpse(data: bytes, name: str, encoding: str | None = None) -> Glimpse:
    """Look at a file: its kind, and the names that tell products apart."""
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        archive = Archive(data, name)
        return Glimpse("zip", members=frozenset(archive.names), archive=archive)
    if _is_binary(data):
        return Glimpse("binary", start=data[:_START])
    seen = _text_glimpse(utf8(data, name, encoding), data, name, encoding)
    return replace(seen, first_line=seen.first_line[:200])


def _text_glimpse(text: bytes, data: bytes, name: str, encoding: str | None) -> Glimpse:
    start = text[:_START].lstrip()
    if _JSON.match(start):
        return replace(_json_glimpse(text, name), start=start)
    first = start.split(b"\n", 1)[0].decode("utf-8", "replace").strip()
    if start[:1] == b"<":
        return Glimpse("xml", first_line=first, start=start)
    entry = _below_comments(start)
    if _is_address(entry):
        return Glimpse("text", first_line=entry, start=start)
    from migrate.tables import read_table

    try:
        header: tuple[str, ...] = tuple(read_table(data, name, encoding=encoding).header)
    except DamagedExport:
        header = ()
    if len(header) < 2:
        return Glimpse("text", first_line=first, start=start)
    return Glimpse("csv", header=header, first_line=first, start=start)


_START = 1 << 16
_JSON = re.compile(rb'\{\s*(?:["}]|$)|\[\s*(?:[\[{"\]\d-]|$)')  # a list in brackets may also begin an INI file


def _below_comments(start: bytes) -> str:
    """Return the first line that is neither blank nor a comment."""
    lines = (line.strip() for line in start.decode("utf-8", "replace").splitlines())
    return unquoted(next((line for line in lines if line and not line.startswith("#")), ""))


def _is_binary(data: bytes) -> bool:
    from migrate.recognised import is_known_binary

    return not is_text(data) or is_known_binary(data)


def _is_address(first: str) -> bool:
    """Whether a line is an address and no row; a comma in it decides only where no format of lists begins so."""
    if ":/" not in first:
        return False
    start = first.split("?")[0]
    known = tuple(text for one in adapters() for text in one.signature.text_start)
    return first.lower().startswith(known) or ("://" in start[:40] and "," not in start)


def _json_glimpse(text: bytes, name: str) -> Glimpse:
    top, is_whole = _top_level(text)
    broken = None if is_whole else damage(text, name)
    if top is None:
        return _with_record(Glimpse("json", broken=broken), b"" if broken else text)
    short = {k: bytes(v)[:64].decode("utf-8", "replace") for k, v in top.items() if len(bytes(v)) <= 64}
    rows = next((bytes(top[k]) for k in ("items", "records", "accounts") if k in top), b"")
    return _with_record(Glimpse("json", keys=frozenset(top), values=short, broken=broken), rows)


def _with_record(seen: Glimpse, rows: bytes) -> Glimpse:
    """Return the glimpse with what a list's first object tells."""
    first = _first_object(rows)
    if first is None:
        return seen
    numbers = frozenset(key for key, value in first.items() if type(value) is int or str(value).isdecimal())
    return replace(seen, record=frozenset(first), numbers=numbers)


def _top_level(text: bytes) -> tuple[dict[str, msgspec.Raw] | None, bool]:
    """Return the members of the outermost object, None where there is none, and whether all inside is sound."""
    decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
    for number, view in enumerate(views(text)):
        try:
            return decoder.decode(view), number < 2
        except (msgspec.DecodeError, RecursionError):
            continue
    return None, False


def _first_object(rows: bytes, size: int = 1 << 16) -> dict[str, Any] | None:
    """Return a list's first object; None where there is none."""
    import json

    at = rows.find(b"{", 0, 64)
    if at < 0:
        return None
    try:
        found, _ = json.JSONDecoder().raw_decode(rows[at : at + size].decode("utf-8", "replace"))
    except RecursionError:
        return None
    except ValueError:
        return _first_object(rows, size * 64) if size < len(rows) else None
    return dict(found)


def matches(signature: Signature, seen: Glimpse) -> bool:
    """Whether all tests of a signature hold; one without tests is only ever named."""
    if signature.kind != seen.kind or not _is_told(signature):
        return False
    if signature.kind == "json":
        if signature.is_list:
            return not seen.keys and seen.record is not None and signature.record_keys <= seen.record
        return (
            signature.keys <= seen.keys
            and (not signature.any_keys or bool(signature.any_keys & seen.keys) or _is_sure(signature, seen))
            and not signature.no_keys & seen.keys
            and (signature.empty_keys <= seen.keys if seen.record is None else _record_matches(signature, seen))
        )
    if signature.kind == "csv":
        return _header_matches(signature, seen.header)
    if signature.kind == "zip":
        return signature.members <= seen.members
    return seen.first_line.lower().startswith(signature.text_start) if signature.text_start else False


def _is_sure(signature: Signature, seen: Glimpse) -> bool:
    """Whether a record alone tells the product."""
    return bool(signature.record_parts & (seen.record or frozenset())) and signature.record_numbers <= seen.numbers


def _record_matches(signature: Signature, seen: Glimpse) -> bool:
    has = seen.record or frozenset()
    is_numbered = signature.record_numbers <= seen.numbers or bool(signature.record_parts & has)
    return signature.record_keys <= has and is_numbered


def _header_matches(signature: Signature, header: tuple[str, ...]) -> bool:
    if not signature.header:
        return False
    fold = (lambda names: frozenset(n.lower() for n in names)) if signature.any_case else frozenset
    named = [name for name in header if not _UNNAMED.fullmatch(name)]  # a spreadsheet adds columns without a name
    has, must, never = fold(named), fold(signature.header), fold(signature.no_header)
    allowed = must | fold(signature.header_only)
    exact = {fold(one) for one in signature.headers}
    return (
        must <= has
        and not never & has
        and (not signature.header_only or has <= allowed)
        and (not exact or has in exact)
    )


_UNNAMED = re.compile(r"column \d+")


def detect(seen: Glimpse, name: str) -> Adapter:
    """Return the one format that fits; raises ``AmbiguousFormat`` or ``UnknownFormat``."""
    found = _fitting(seen)
    if len(found) == 1:
        return found[0]
    if found:
        products = " or ".join(one.name for one in found)
        raise AmbiguousFormat(f"{name} could be {products}", hint="name one with --from")
    from migrate.recognised import looks_like

    raise looks_like(seen, name)


def _fitting(seen: Glimpse) -> list[Adapter]:
    """Return every format that fits, in the form that does; a format's name may say which kind of file it is."""
    asked = (name for name in names() if _may_be(name, seen.kind))
    fitting = (next((one for one in variants(name) if matches(one.signature, seen)), None) for name in asked)
    return [one for one in fitting if one is not None]


# What the end of a format's name says; a table, and it alone, is called so.
_KIND_OF_NAME = {"_csv": "csv", "_1pux": "zip", "_uris": "text"}


def _may_be(name: str, kind: str) -> bool:
    """Whether a format need be loaded to know if a file of this kind is one of it."""
    said = next((kind_of for end, kind_of in _KIND_OF_NAME.items() if name.endswith(end)), None)
    return said == kind if said is not None else kind != "csv"


def open_source(
    path: Path,
    *,
    format: str | None = None,
    options: dict[str, Any] | None = None,
    key: bytes | None = None,
    data: bytes | None = None,
    password: str | None = None,
) -> Source:
    """Read a file and say what it is; ``options`` are those of an earlier run or of the command line."""
    options = dict(options or {})
    original = data if data is not None else read_file(path)
    name = path.name
    content, seen, encoding = _unwrapped(original, name, password, options.get("encoding"))
    chosen = _named(format, seen, name, bool(options.get("map"))) if format else detect(seen, name)
    if chosen.shape_of is not None:
        chosen = replace(chosen, shape=chosen.shape_of(options))
    if chosen.signature.kind in ("json", "xml", "text"):
        content = utf8(content, name, encoding)
    made = Source(
        name,
        content,
        format=chosen.name,
        adapter=chosen,
        options=options,
        key=os.urandom(16) if key is None else key,
        archive=seen.archive,
    )
    made.original = original
    return made


def _unwrapped(data: bytes, name: str, password: str | None, encoding: str | None) -> tuple[bytes, Glimpse, str | None]:
    """Return what is inside an encrypted file, one layer of it, and its encoding; other files as they are."""
    from migrate import ciphers

    seen = glimpse(data, name, encoding)
    cipher = ciphers.cipher_of(seen.keys)
    if cipher is None:
        return data, seen, encoding
    inside = ciphers.open_sealed(cipher, utf8(data, name, encoding), password, name)
    seen = glimpse(inside, name)
    if ciphers.cipher_of(seen.keys) is not None:
        raise UnsafeExport(f"{name} is encrypted within itself", hint="no product writes such an export")
    return inside, seen, None


def _named(format: str, seen: Glimpse, name: str, is_mapped: bool = False) -> Adapter:
    """Return the format that ``--from`` or a ``--map`` names; raises ``WrongFormat`` where the file cannot be that."""
    forms = [one for one in variants(format) if one.signature.kind == seen.kind]
    chosen = next((one for one in forms if matches(one.signature, seen)), (*forms, adapter(format))[0])
    wanted = chosen.signature
    if wanted.kind != seen.kind and not (wanted.kind in _TEXTS and seen.kind in _TEXTS):
        raise WrongFormat(
            f"{name} is no {chosen.name} file: that is {_KINDS[wanted.kind]}, this is {_KINDS[seen.kind]}",
            hint=f"leave {'--map' if is_mapped else '--from'} out to have the file recognised",
        )
    if seen.broken is not None or not _is_told(wanted) or matches(wanted, seen):
        return chosen
    others = [one.name for one in _fitting(seen)]
    if others:
        raise WrongFormat(f"{name} is no {chosen.name} file but {' or '.join(others)}", hint="leave --from out")
    if not _is_near(wanted, seen):
        raise WrongFormat(
            f"{name} is no {chosen.name} file: nothing in it is as {chosen.product} writes it",
            hint="leave --from out to have the file recognised",
        )
    return chosen


def _is_told(signature: Signature) -> bool:
    """Whether a signature says anything; a table of unknown origin is named, never recognised."""
    s = signature
    return bool(s.keys or s.any_keys or s.is_list or s.header or s.members or s.text_start)


def _is_near(signature: Signature, seen: Glimpse) -> bool:
    """Whether a file that does not fit exactly may still be what somebody says it is."""
    if signature.kind == "json":
        return bool(signature.keys | signature.any_keys) and signature.keys <= seen.keys
    if signature.kind == "zip":
        return signature.members <= seen.members
    if signature.kind == "csv":
        return bool({n.lower() for n in signature.header} & {n.lower() for n in seen.header})
    return True


_TEXTS = ("csv", "text")
_KINDS = {
    "json": "JSON",
    "csv": "a table (CSV)",
    "zip": "a ZIP file",
    "xml": "XML",
    "text": "plain text",
    "binary": "a binary file",
}


def parse(source: Source) -> Parsed:
    """Begin to read a source; raises our errors only, without content."""
    if source.adapter is None:
        raise UsageError("the source has no format")
    try:
        return source.adapter.parse(source)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError) as error:
        raise DamagedExport(
            f"{source.name} is not built as {source.adapter.product} builds it ({type(error).__name__})",
            hint="export again; if it stays so, the product may have changed its format",
        ) from None
