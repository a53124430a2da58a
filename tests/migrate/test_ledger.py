"""The ledger's sums balance, and a second, dumb counter finds the same number of values in the file."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import zipfile
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from migrate.ledger import Ledger, Quarantined
from migrate.rules import applied, unix_seconds
from migrate.shape import WORDS, Changed, Codes, changed, codes
from tests.migrate import laws
from tests.migrate.household import as_bytes, household
from tests.migrate.test_samples import CASES, options_of
from vault.canonical import plain
from vault.errors import KeyferryError

SAMPLES = Path(__file__).parents[2] / "samples"
ALL = sorted({*CASES, *(p for p in (SAMPLES / "otpauth_uris").glob("*.txt"))})
FATES = ("arrived", "elsewhere", "changed", "dropped", "quarantined")


def loaded(path: Path) -> laws.Loaded | None:
    """Return a sample as it is read; None for one that is refused."""
    options = options_of(path)
    try:
        return laws.load(options.pop("from", None), path.read_bytes(), name=path.name, options=options)
    except KeyferryError:
        return None


READ = {f"{path.parent.name}/{path.name}": found for path in ALL if (found := loaded(path)) is not None}
WHOLE = {name: found for name, found in READ.items() if not found.ledger.quarantine}


# --- the dumb counter: a walk over what the standard library reads, without the declared structure


def leaves(node: Any, shape: Any = None, parent: Any = None, root: Any = None) -> int:
    if isinstance(node, dict):
        below = shape if isinstance(shape, dict) else {}
        whole = node if root is None else root
        return sum(leaves(value, below.get(key, below.get("*")), node, whole) for key, value in node.items())
    if isinstance(node, list):
        each = shape.get("*") if isinstance(shape, dict) else None
        return sum(leaves(value, each, node, root) for value in node)
    if node is None or isinstance(node, bool) or node == "":
        return 0
    if isinstance(shape, Changed):
        return int(applied(shape.rule, node, parent, root) != ())
    return int(not (isinstance(shape, Codes) and node in shape.values))


def taken(node: Any, pattern: tuple[str, ...]) -> Iterator[Any]:
    """Take the records out of a tree and yield them."""
    if not pattern:
        return
    step, rest = pattern[0], pattern[1:]
    if step != "*":
        if isinstance(node, dict) and step in node:
            yield from taken(node[step], rest)
    elif isinstance(node, list) and not rest:
        yield from node
        node.clear()
    elif isinstance(node, list):
        for below in node:
            yield from taken(below, rest)


def in_json(text: bytes, found: laws.Loaded) -> int:
    adapter = found.source.adapter
    assert adapter is not None
    tree = json.loads(text)
    records = sum(leaves(one, adapter.shape) for one in taken(tree, adapter.records))
    return records + leaves(tree, adapter.frame)


def in_table(text: str, found: laws.Loaded) -> int:
    adapter = found.source.adapter
    assert adapter is not None
    shape = adapter.shape_of(found.source.options) if adapter.shape_of else adapter.shape
    mark = max(",;\t", key=text.split("\n")[0].count)
    rows = [row for row in csv.reader(io.StringIO(text.lstrip("\ufeff"), newline=""), delimiter=mark) if any(row)]
    header = [
        f"{name.strip()} ({seen})" if (seen := rows[0][: n + 1].count(name)) > 1 else name.strip()
        for n, name in enumerate(rows[0])
    ]
    count = 0
    for row in rows[1:]:
        if row != rows[0]:
            count += leaves(dict(zip(header, row, strict=False)), shape)
    return count


def in_container(found: laws.Loaded) -> int:
    adapter = found.source.adapter
    assert adapter is not None
    texts = json.dumps(plain(found.items), default=str)
    files: dict[str, int] = {}
    count = 0
    with zipfile.ZipFile(io.BytesIO(found.source.original)) as container:
        for one in container.infolist():
            content = container.read(one)
            if one.filename == adapter.member:
                count += in_json(content, found)
            elif one.filename.endswith("attributes"):
                count += leaves(json.loads(content))
            elif not one.is_dir():
                own = urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
                files[own] = texts.count(f'"integrityHash": "{own}"') or own not in texts  # of no item, or an icon
    return count + sum(files.values())


def dumb(found: laws.Loaded) -> int:
    source = found.source
    assert source.adapter is not None
    kind = source.adapter.signature.kind
    if kind == "zip":
        return in_container(found)
    if kind == "json":
        return in_json(source.data, found)
    if kind == "csv":
        from migrate.decoding import decode

        return in_table(decode(source.data, source.name, source.options.get("encoding")), found)
    text = source.data.decode("utf-8-sig").replace("\r", "\n")
    return sum(1 for line in text.split("\n") for part in line.split(",") if part.strip())


@pytest.mark.parametrize("name", READ)
def test_the_sums_balance(name: str) -> None:
    values = READ[name].ledger.values()
    assert values["total"] == sum(values[fate] for fate in FATES)
    assert min(values.values()) >= 0


@pytest.mark.parametrize("name", WHOLE)
def test_a_second_counter_finds_as_many_values(name: str) -> None:
    assert dumb(WHOLE[name]) == WHOLE[name].ledger.total


def test_a_second_counter_finds_as_many_values_in_a_large_household() -> None:
    data = household()
    found = laws.load(None, as_bytes(data))
    assert in_json(as_bytes(data), found) == found.ledger.total


@pytest.mark.parametrize("name", WHOLE)
def test_what_sits_in_extra_never_counts_as_arrived(name: str) -> None:
    found = WHOLE[name]
    raw = sum(_in_extra(row) for row in plain([*found.items]))
    if found.source.adapter is not None and found.source.adapter.signature.kind != "csv":  # there it is the header
        raw += leaves(found.extras)
    values = found.ledger.values()
    assert raw <= values["elsewhere"] + values["changed"]  # a piece of a packed cell may stand there


_HASHES = {"integrityHash": WORDS}  # the attachment itself is the value


def _in_extra(node: Any) -> int:
    if isinstance(node, dict):
        return sum(leaves(value, _HASHES) if key == "extra" else _in_extra(value) for key, value in node.items())
    return sum(map(_in_extra, node)) if isinstance(node, list) else 0


# --- its own sums


SHAPE = {"kind": codes(1, 2), "at": changed(unix_seconds), "list": {"*": {"on": codes("yes")}}}


def test_each_value_has_one_fate() -> None:
    ledger = Ledger(SHAPE, {"format": codes("x")})
    ledger.frame({"format": "x", "name": "beside"})
    record = {"kind": 1, "at": 1700000000, "list": [{"on": "yes", "n": 0}], "odd": {"deep": ["a", "", None, True]}}
    assert ledger.record(record) == 3
    ledger.elsewhere("items/0", record["odd"], "odd")  # type: ignore[arg-type]
    ledger.record({"kind": 3, "at": "no time", "note": "text"})
    ledger.dropped("note", "by your --map")
    aside = Quarantined("items/2", "rotten", b"{", 7, 9)
    ledger.total += aside.values
    ledger.set_aside(aside)
    assert ledger.values() == {
        "total": 8,
        "arrived": 4,
        "elsewhere": 1,
        "changed": 1,
        "dropped": 1,
        "quarantined": 1,
        "structure": 6,
    }
    assert dict(ledger.elsewhere_lines) == {("items/0", "odd.deep"): 1}


def test_an_unknown_code_is_a_value() -> None:
    ledger = Ledger(SHAPE, {})
    assert [ledger.record({"kind": kind}) for kind in (1, 2, 3, "1", None, True)] == [0, 0, 1, 1, 0, 0]


def test_a_zero_is_a_value_where_it_is_no_code() -> None:
    assert Ledger({}, {}).record({"a": 0, "b": 0.0, "c": "0", "d": False, "e": ""}) == 3
