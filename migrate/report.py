"""What a run says about itself: tables for people, JSON for machines, HTML to keep.

A report holds no values and no digests; a key or header the format does not know is ``key[n]``; titles only on request.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from types import CodeType, FunctionType
from typing import Any

import msgspec

from migrate.adapter import Adapter
from migrate.ledger import Ledger
from migrate.rules import RULES, WHOLE
from vault.screen import clean

_LONGEST_KEY = 40

FATES = ("total", "arrived", "elsewhere", "changed", "dropped", "quarantined", "structure")


_WITH_ITEM, _BESIDE = "kept raw, shown as a custom field", "kept raw beside the items, never shown"


class Lines(msgspec.Struct):
    """The ledger's lines, summed up over records: what did not simply arrive, and where it is."""

    rows: list[tuple[str, str, str, int]] = msgspec.field(default_factory=list)  # fate, what, where or why, values

    @classmethod
    def of(cls, ledger: Ledger, adapter: Adapter) -> Lines:
        """Sum the lines of a ledger by path; keys no adapter declares are masked."""
        mask = _Mask(known_keys(adapter))
        elsewhere: Counter[tuple[str, str]] = Counter()
        for (place, path), values in ledger.elsewhere_lines.items():
            elsewhere[mask.path(path), _WITH_ITEM if place else _BESIDE] += values
        rows = [("elsewhere", path, where, n) for (path, where), n in elsewhere.most_common()]
        rows += [("changed", "values", _words(rule), n) for rule, n in ledger.changed_lines.most_common() if n]
        rows += [("dropped", mask.path(what), by, n) for (what, by), n in ledger.dropped_lines.most_common()]
        rows += [("quarantined", f"{q.place}{_at(q.line, q.column)}", q.reason, q.values) for q in ledger.quarantine]
        return cls(rows)

    @staticmethod
    def shown_path(adapter: Adapter | None) -> Callable[[str], str]:
        """Return a function that shows a value's path without keys only the user's own file knows."""
        known = known_keys(adapter) if adapter else frozenset()
        return lambda path: ".".join(p if p.split("[")[0] in known else "…" for p in path.split("."))

    def table(self, most: int = 12) -> list[tuple[str, str, str, str]]:
        """Return the rows as cells, the last one saying how many more there are."""
        shown = [(fate, what, why, f"{n:,}") for fate, what, why, n in self.rows[:most]]
        if len(self.rows) > most:
            shown.append(("…", f"{len(self.rows) - most} more lines", "all with --report FILE", ""))
        return shown


def known_keys(adapter: Adapter) -> frozenset[str]:
    """Return the keys and headers a format's own code names; any other is the user's and stays unshown."""
    signature = adapter.signature
    found = {*adapter.kept_raw, *signature.keys, *signature.any_keys, *signature.header, *signature.header_only}
    _words_in(vars(sys.modules[f"migrate.formats.{adapter.name}"]), found, set())
    _words_in(adapter.shape, found, set())
    return frozenset(found)


def _words_in(node: Any, found: set[str], seen: set[int]) -> None:
    """Add every text that could be a key to ``found``: of containers, and of the code of functions."""
    if isinstance(node, str):
        if len(node) <= _LONGEST_KEY:
            found.add(node)
        return
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, dict):
        for key, value in node.items():
            _words_in(key, found, seen)
            _words_in(value, found, seen)
    elif isinstance(node, (tuple, list, set, frozenset)):
        for value in node:
            _words_in(value, found, seen)
    elif isinstance(node, CodeType):
        _words_in(node.co_consts, found, seen)
    elif isinstance(node, FunctionType) and node.__module__.startswith("migrate.formats"):
        _words_in(node.__code__, found, seen)
    elif isinstance(node, type) and node.__module__.startswith("migrate.formats"):
        _words_in(dict(vars(node)), found, seen)


def _at(line: int, column: int) -> str:
    return f" (line {line}, column {column})" if line else ""


def _words(rule: str) -> str:
    """Return what a rule does as its docstring tells it, up to the first full stop or semicolon."""
    function = RULES.get(rule) or WHOLE.get(rule)
    told = re.split(r"[.;](?:\s|$)", function.__doc__ or "", maxsplit=1)[0] if function else _OF_TABLES.get(rule, "")
    return told.replace("``", "") or rule.replace("_", " ")


_OF_TABLES = {"html_entities": "HTML entities such as &amp; become what they stand for"}


class _Mask(msgspec.Struct):
    """Replaces keys that only the user's own file knows."""

    known: frozenset[str]
    numbers: dict[str, int] = msgspec.field(default_factory=dict)

    def path(self, path: str) -> str:
        head, _, key = path.rpartition(".")
        if path in self.known or key in self.known:
            return path
        number = self.numbers.setdefault(path, len(self.numbers) + 1)
        return f"{head}.key[{number}]" if head else f"key[{number}]"


def as_dict(
    summary: dict[str, Any], ledger: Ledger, adapter: Adapter, titles: Sequence[tuple[str, str]] = ()
) -> dict[str, Any]:
    """Return the whole report for JSON; ``titles`` are (place, title) and given only when asked for."""
    lines = Lines.of(ledger, adapter)
    made: dict[str, Any] = {
        **summary,
        "product": adapter.product,
        "lines": [{"fate": f, "what": clean(w), "why": y, "values": n} for f, w, y, n in lines.rows],
        "warnings": list(ledger.warnings),
    }
    if titles:
        made["titles"] = [{"place": place, "title": clean(title)} for place, title in titles]
    return made


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Keyferry report</title>
<style>body{{font:16px system-ui,sans-serif;margin:2em auto;max-width:60em;padding:0 1em}}
table{{border-collapse:collapse;margin:1em 0}}td,th{{border-bottom:1px solid #ccc;padding:.3em .8em;text-align:left}}
td.n{{text-align:right;font-variant-numeric:tabular-nums}}</style></head><body>
<h1>Keyferry: {product}</h1>
{tables}
</body></html>
"""


def as_html(report: dict[str, Any]) -> str:
    """Return the report as a page that runs no script and loads nothing."""
    import html  # its table of entities takes a while to load

    tables = [
        _table("Items", [(k, str(n)) for k, n in report.get("items", {}).items()]),
        _table("Values", [(k, str(n)) for k, n in report.get("values", {}).items()]),
        _table("Lines", [(x["fate"], x["what"], x["why"], str(x["values"])) for x in report["lines"]]),
        _table("Warnings", [(text,) for text in report["warnings"]]),
        _table("Titles", [(x["place"], x["title"]) for x in report.get("titles", [])]),
    ]
    return _PAGE.format(product=html.escape(report["product"]), tables="\n".join(t for t in tables if t))


def _table(title: str, rows: list[tuple[str, ...]]) -> str:
    if not rows:
        return ""
    import html

    cells = "\n".join("<tr>" + "".join(f"<td>{html.escape(clean(c))}</td>" for c in row) + "</tr>" for row in rows)
    return f"<h2>{title}</h2>\n<table>{cells}</table>"


def as_json(report: dict[str, Any]) -> str:
    """Return the report as indented JSON."""
    return json.dumps(report, indent=2, ensure_ascii=False) + "\n"
