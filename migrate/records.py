"""Big JSON cut into records as bytes, each read alone and dropped after use.

Knows no product: a record is whatever stands at the pattern's places, the *frame* is the rest.
(``json.loads`` of 100,000 items peaks at 570 MB; the cut needs 91 MB.)
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import lru_cache
from itertools import islice
from typing import Any

import msgspec

from migrate.masking import views
from vault.errors import DamagedExport

Pattern = tuple[str, ...]  # keys, and "*" for each element of a list


class Cut(msgspec.Struct, frozen=True):
    """One record: where it stands ("items/5"), its bytes, and the offset of its first byte in the file."""

    place: str
    raw: bytes
    offset: int


class DuplicateKey(ValueError):
    """One object has the same key twice; which one counts cannot be known."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise DuplicateKey
    return made


def _no_constant(_: str) -> Any:
    raise ValueError("not a JSON number")


_DECODER: Any = json.JSONDecoder(object_pairs_hook=_unique, parse_float=Decimal, parse_constant=_no_constant)


def read_json(data: bytes | str) -> Any:
    """Return the value of one JSON text.

    Raises ``ValueError`` (``DuplicateKey`` among them) or ``RecursionError``; their messages may hold content.
    """
    text = data if isinstance(data, str) else data.decode("utf-8")
    try:
        value, end = _DECODER.scan_once(text, 0)
    except StopIteration:
        end = -1
    return value if end == len(text) else _DECODER.decode(text)


@lru_cache(maxsize=32)
def _decoder(pattern: Pattern) -> Any:
    kind: Any = msgspec.Raw
    for step in reversed(pattern):
        is_list = step == "*"
        kind = list[kind] if is_list else msgspec.defstruct("Node", [("below", kind)], rename={"below": step})
    return msgspec.json.Decoder(kind)


def _flat(node: Any, pattern: Pattern, place: str) -> Iterator[tuple[str, msgspec.Raw]]:
    if not pattern:
        yield place, node
    elif pattern == ("*",):
        above = f"{place}/" if place else ""
        yield from ((f"{above}{index}", raw) for index, raw in enumerate(node))
    elif pattern[0] == "*":
        for index, below in enumerate(node):
            yield from _flat(below, pattern[1:], f"{place}/{index}" if place else str(index))
    else:
        yield from _flat(node.below, pattern[1:], f"{place}/{pattern[0]}" if place else pattern[0])


def cut(data: bytes, pattern: Pattern, name: str) -> tuple[Any, Iterator[Cut]]:
    """Return the frame (with the records taken out) and the records in order.

    ``name`` is the file's name for messages. Raises ``DamagedExport`` with line and column where it is no JSON.
    """
    tree = _tree(data, pattern)
    if tree is None:
        broken = damage(data, name)
        if broken is not None:
            raise broken
        return _whole(data, pattern, name)
    found = list(_flat(tree.node, pattern, ""))
    spans = _likely(tree.data, found)
    frame = _frame(data, spans)
    if frame is None or not _is_emptied(frame, pattern):
        spans = _surely(tree.data, pattern, found)
        frame = _parse(_without(data, spans), name)
    places = [place for place, _ in found]
    return frame, (Cut(place, data[start:end], start) for place, (start, end) in zip(places, spans, strict=True))


Span = tuple[int, int]
Found = Sequence[tuple[str, msgspec.Raw]]


def _likely(view: bytes, found: Found) -> list[Span]:
    """Return where the records stand, if none of them also stands before its list."""
    spans, at = [], 0
    for _, raw in found:
        text = bytes(raw)
        start = view.find(text[:1], at)
        if not view.startswith(text, start):  # a long text is looked for only where it does not come at once
            start = view.find(text, at)
        at = start + len(text)
        spans.append((start, at))
    return spans


def _frame(data: bytes, spans: Sequence[Span]) -> Any:
    try:
        return read_json(_without(data, spans))
    except (ValueError, RecursionError):
        return None


def _is_emptied(node: Any, pattern: Pattern) -> bool:
    """Whether all records were taken out of the frame, and so nothing else."""
    if pattern == ("*",):
        return bool(node == [])
    if pattern[0] == "*":
        return all(_is_emptied(below, pattern[1:]) for below in node)
    return _is_emptied(node[pattern[0]], pattern[1:])


_MARK = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[\]{},:]|[^\s\[\]{},:"]+', re.DOTALL)


def _surely(view: bytes, pattern: Pattern, found: Found) -> list[Span]:
    """Return where the records stand, from mark to mark; for files by which ``_likely`` is misled."""
    spans: list[Span] = []
    inside: list[tuple[bool, int]] = []  # of each open bracket: is it a list, and the steps of the pattern into it
    at, key = 0, b""
    while (mark := _MARK.search(view, at)) is not None:
        at, text = mark.end(), mark[0]
        if text in (b"]", b"}"):
            inside.pop()
        elif text in (b",", b":"):
            continue
        elif inside and not inside[-1][0] and not key:
            key = text
        else:
            steps = _steps(inside[-1], key, pattern) if inside else 0
            key = b""
            if steps == len(pattern):
                at = mark.start() + len(found[len(spans)][1])
                spans.append((mark.start(), at))
            elif text in (b"[", b"{"):
                inside.append((text == b"[", steps))
    return spans


def _steps(above: tuple[bool, int], key: bytes, pattern: Pattern) -> int:
    """Return how many steps of the pattern lead to a value; -1 where it is beside it."""
    is_list, steps = above
    if steps < 0 or is_list != (pattern[steps] == "*"):
        return -1
    return steps + 1 if is_list or read_json(key) == pattern[steps] else -1


def damage(data: bytes, name: str) -> DamagedExport | None:
    """Return why the bytes are no JSON, with the place; None if they are. Costs no memory worth the name."""
    told = ""
    for view in islice(views(data), 2):  # a lone surrogate is no damage
        try:
            msgspec.json.decode(view, type=msgspec.Raw)
        except RecursionError:
            return _too_deep(name)
        except msgspec.DecodeError as error:
            told = str(error)
        else:
            return None
    found = re.search(r"\(byte (\d+)\)", told)
    line, column = line_of(data, int(found[1]) if found else len(data))
    what = "is no valid JSON" if found else "ends too early"
    return DamagedExport(
        f"{name} {what} at line {line}, column {column}", hint="the file is cut off or was changed; export again"
    )


class _Tree(msgspec.Struct, frozen=True):
    node: Any
    data: bytes  # what was cut: the file, or a view of it


def _tree(data: bytes, pattern: Pattern) -> _Tree | None:
    """Return the containers around the records; None where the pattern does not fit or it is no JSON."""
    for view in views(data):
        try:
            return _Tree(_decoder(pattern).decode(view), view)
        except (msgspec.DecodeError, RecursionError, ValueError):
            continue
    return None


def _without(data: bytes, spans: Sequence[tuple[int, int]]) -> bytes:
    kept, at = [], 0
    for start, end in spans:
        gap = data[at:start]
        kept.append(gap.replace(b",", b"", 1) if gap.strip() == b"," else gap)
        at = end
    kept.append(data[at:])
    return b"".join(kept)


def _parse(data: bytes, name: str) -> Any:
    try:
        return read_json(data)
    except DuplicateKey:
        raise DamagedExport(
            f"{name} has the same key twice in one object outside its items",
            hint="export again; a file changed by hand may have been merged wrongly",
        ) from None
    except RecursionError:
        raise _too_deep(name) from None
    except UnicodeDecodeError as error:
        raise DamagedExport(f"{name} is not UTF-8 at byte {error.start}", hint="export again") from None
    except ValueError as error:
        raise _damaged(data, error, name) from None


def _too_deep(name: str) -> DamagedExport:
    return DamagedExport(f"{name} is nested too deeply to be an export", hint="export again")


def _damaged(data: bytes, error: ValueError, name: str) -> DamagedExport:
    if isinstance(error, json.JSONDecodeError):
        cut_off = error.pos >= len(error.doc.rstrip()) - 1 or "Unterminated" in error.msg
        what = "ends too early" if cut_off else "is no valid JSON"
        return DamagedExport(
            f"{name} {what} at line {error.lineno}, column {error.colno}",
            hint="the file is cut off or was changed; export again",
        )
    return DamagedExport(f"{name} holds a number that JSON does not allow", hint="export again")


def _whole(data: bytes, pattern: Pattern, name: str) -> tuple[Any, Iterator[Cut]]:
    tree = _parse(data, name)
    found: list[Cut] = []
    frame = _take(tree, pattern, "", found)
    return frame, iter(found)


def _take(node: Any, pattern: Pattern, place: str, found: list[Cut]) -> Any:
    """Move the records below ``node`` to ``found``; what does not fit the pattern stays in the frame."""
    if not pattern:
        found.append(Cut(place, json.dumps(node, default=_number).encode("utf-8"), -1))
        return None
    if pattern[0] == "*":
        if not isinstance(node, list):
            return node
        kept = [_take(v, pattern[1:], f"{place}/{i}" if place else str(i), found) for i, v in enumerate(node)]
        return kept if len(pattern) > 1 else []
    if isinstance(node, dict) and pattern[0] in node:
        below = f"{place}/{pattern[0]}" if place else pattern[0]
        return {**node, pattern[0]: _take(node[pattern[0]], pattern[1:], below, found)}
    return node


def _number(value: Any) -> Any:
    return int(value) if value == value.to_integral_value() else float(value)


def line_of(data: bytes, offset: int) -> tuple[int, int]:
    """Return the physical line, and the column in characters (both from 1), of a byte of a text in UTF-8."""
    start = data.rfind(b"\n", 0, offset) + 1
    return data.count(b"\n", 0, offset) + 1, len(data[start:offset].decode("utf-8", "replace")) + 1
