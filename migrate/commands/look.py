"""inspect, verify and formats: looking without changing."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from migrate.commands.shared import PATH, counted, open_bytes, open_vault, read_export, reading_options, show_lines
from vault.errors import NoSuchRun
from vault.screen import Session, command, numbered

if TYPE_CHECKING:
    from migrate.moving import Verification
    from migrate.source import Source
    from vault.store import Run, Store

EDITED, MISSING = 3, 4


@command("inspect", help="Say what an export is, what is in it and what it can never hold; shows no values.")
@click.argument("source", type=PATH)
@reading_options
def inspect(session: Session, source: Path, **given: Any) -> None:
    """Count kinds and values of a file without keeping anything."""
    from collections import Counter

    from migrate import catalog
    from migrate.reading import items_of
    from vault.canonical import many
    from vault.errors import UndecidedColumns, UnknownFormat
    from vault.model import kind_of

    named, data = read_export(source, given)
    try:
        opened = open_bytes(named, data, given)
    except (UnknownFormat, UndecidedColumns):
        if not _table(session, named, data, given):
            raise
        return
    kinds: Counter[str] = Counter()
    with many(), session.progress(f"reading {opened.name}") as bar:
        for _, item in items_of(opened, catalog.parse(opened)):
            bar.advance()
            kinds.update([kind_of(item)] if item is not None else [])
    if opened.adapter is None:
        return
    signature, ledger = opened.adapter.signature, opened.ledger
    session.say(f"{opened.name} is an export of {signature.product} ({opened.format})")
    session.table(("kind", "items"), [(kind, f"{n:,}") for kind, n in kinds.most_common()])
    show_lines(session, ledger, opened.adapter)
    if signature.cannot_hold:
        session.say(f"this kind of export never holds: {', '.join(signature.cannot_hold)}")
    if signature.better:
        session.say(f"{signature.better} of the same product holds more; keyferry formats {signature.better} tells how")
    session.out(
        {
            "format": opened.format,
            "product": signature.product,
            "kinds": dict(kinds),
            "cannot_hold": list(signature.cannot_hold),
            "better": signature.better or None,
            "folders": len(opened.folders.all()),
            "values": ledger.values(),
            "warnings": ledger.warnings,
        }
    )
    session.done(
        f"{numbered(kinds.total(), 'item')}, {numbered(ledger.total, 'value')}: {counted(dict(kinds)) or 'nothing'}"
    )


def _table(session: Session, named: Path, data: bytes, given: dict[str, Any]) -> bool:
    """Show the columns of a table no product is known for; False if the file is no table."""
    from migrate import catalog, mapping
    from migrate.recognised import look_of

    encoding = given.get("encoding")
    seen = catalog.glimpse(data, named.name, encoding)
    return seen.kind == "csv" and mapping.show(session, data, named.name, encoding, look_of(seen))


@command("verify", help="Prove again that everything in an export is in the vault; names what is not.")
@click.argument("source", type=PATH)
@reading_options
@click.option("--run", "run_id", metavar="RUN", help="The import to compare with; the newest of this file by default.")
def verify(session: Session, source: Path, run_id: str | None, **given: Any) -> int:
    """Exit with 0 if all is there, 3 if edited since but kept in history or trash, 4 if something is missing."""
    from migrate import moving

    named, data = read_export(source, given)
    with open_vault(session, read_only=True) as store:
        run = store.run(run_id) if run_id else _run_of(store, data, named.name)
        given = {**given, "format": given.get("format") or run.format}
        opened = open_bytes(named, data, given, run.options)
        with session.progress(f"comparing {opened.name}") as bar:
            found = moving.verify(store, opened, run, bar.advance)
    _tell(session, found, opened)
    if found.missing:
        return MISSING
    return EDITED if found.edited else 0


def _run_of(store: Store, data: bytes, name: str) -> Run:
    digest = hashlib.sha256(data).hexdigest()
    runs = [run for run in store.runs() if run.digest == digest and run.undone_at is None]
    if not runs:
        raise NoSuchRun(
            f"{name} was not imported into this vault, or was changed or taken back since",
            hint="keyferry runs lists the imports; keyferry migrate brings it in",
        )
    return runs[-1]


def _tell(session: Session, found: Verification, opened: Source) -> None:
    from migrate.report import Lines

    proof = found.proof
    words = {"edited": "edited, old value kept", "trashed": "in the trash", "misplaced": "in another folder"}
    known = Lines.shown_path(opened.adapter)
    rows = [
        (
            words.get(f.kind, f.kind),
            found.titles.get(f.item, ""),
            f.item[:8],
            f.place or "beside the items",
            known(f.path),
        )
        for f in proof.findings
    ]
    session.table(("state", "item", "id", "record", "value"), rows[:200])
    session.out(
        {
            "run": found.run.id,
            "values": proof.values,
            "found": proof.found,
            "findings": [
                {
                    "kind": f.kind,
                    "item": f.item,
                    "title": found.titles.get(f.item),
                    "place": f.place,
                    "path": known(f.path),
                }
                for f in proof.findings
            ],
        }
    )
    counts = f"{proof.found:,} of {proof.values:,} values of run {found.run.id} are in the vault"
    if found.missing:
        session.done(f"NOT all there: {counts}; {numbered(len(found.missing), 'place')} named above")
    elif found.edited:
        session.done(f"{counts}; {len(found.edited)} were edited since and are kept in history or trash")
    else:
        session.done(f"all there: {counts}")


@command("formats", help="List what can be read and written; with a name, how to export from that product.")
@click.argument("name", required=False)
def formats(session: Session, name: str | None) -> None:
    """Show the catalog."""
    from migrate import catalog

    found = [catalog.adapter(name)] if name else catalog.adapters()
    rows = []
    for one in found:
        s = one.signature
        marks = ("yes" if mark else "" for mark in (True, one.render, _with_attachments(one.name)))
        rows.append((one.name, s.product, s.suffix, *marks))
    session.table(("name", "product", "file", "reads", "writes", "attachments"), rows)
    if name:
        signature = found[0].signature
        session.say(f"how to export: {signature.export_steps}")
        if signature.cannot_hold:
            session.say(f"this export never holds: {', '.join(signature.cannot_hold)}")
        if signature.better:
            session.say(f"better: {signature.better}")
    session.out(
        [
            {
                "name": one.name,
                "product": one.signature.product,
                "reads": True,
                "writes": one.render is not None,
                "encrypted": one.signature.encrypted,
                "attachments": _with_attachments(one.name),
                "experimental": one.signature.experimental,
            }
            for one in found
        ]
    )
    session.done(numbered(len(found), "format"))


def _with_attachments(name: str) -> bool:
    """Whether a format has a form that holds attachments."""
    from migrate import catalog

    return any(form.signature.attachments for form in catalog.variants(name))
