"""docs/formats.md says what the catalog says; ``pytest --bless`` writes it anew."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from migrate import catalog
from migrate.adapter import Adapter

PAGE = Path(__file__).parents[1] / "docs" / "formats.md"
HEAD = """# Formats

Made from the catalog by `pytest --bless tests/test_formats_doc.py`; `keyferry formats` prints the same. Every format is
recognised by its content. "Never holds" is what such an export leaves out by itself: nothing can bring that along.

"""


def page() -> str:
    """Return the page the catalog asks for."""
    rows = ["| name | product | file | reads | writes | attachments |", "|---|---|---|---|---|---|"]
    rows += [_row(one) for one in catalog.adapters()]
    return HEAD + "\n".join(rows) + "\n\n" + "\n".join(_about(one) for one in catalog.adapters())


def _row(one: Adapter) -> str:
    s = one.signature
    files = any(form.signature.attachments for form in catalog.variants(one.name))
    marks = (
        "yes" + (", sealed too" if s.encrypted else ""),
        "yes" if one.render else "",
        "yes" if files else "",
    )
    name = f"`{one.name}`" + (" (experimental)" if s.experimental else "")
    return f"| {name} | {s.product} | {s.suffix} | {' | '.join(marks)} |"


def _about(one: Adapter) -> str:
    s = one.signature
    lines = [f"## {one.name}", ""]
    if s.export_steps:
        lines += [f"How to export: {s.export_steps}.", ""]
    if s.cannot_hold:
        lines += [f"Never holds: {', '.join(s.cannot_hold)}.", ""]
    if s.better:
        lines += [f"`{s.better}` of the same product holds more.", ""]
    return "\n".join(lines)


def test_the_page_of_formats_says_what_the_catalog_says(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--bless"):
        assert not os.environ.get("CI"), "CI blesses nothing"
        PAGE.write_text(page(), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page()
