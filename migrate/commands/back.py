"""undo and runs: taking an import back, and the list of imports."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from migrate.commands.shared import open_vault
from vault.errors import NoSuchRun
from vault.screen import Session, command, numbered

if TYPE_CHECKING:
    from vault.store import Store


@command("undo", help="Take an import back, the newest one unless a run is named; later edits stay and are named.")
@click.argument("run", required=False)
def undo(session: Session, run: str | None) -> None:
    """Restore what was before the run."""
    from vault.moment import now
    from vault.views import display_title

    with open_vault(session) as store:
        chosen = run or _newest(store)
        if chosen is None:
            raise NoSuchRun("there is no import to take back", hint="keyferry runs lists them")
        before = store.count()
        kept = store.undo(chosen, now())
        after = store.count()
        names = {one: display_title(item) if (item := store.item(one)) else "" for one in kept}
    session.table(("id", "title"), [(one[:8], title) for one, title in names.items()], title="kept: edited since")
    session.out({"run": chosen, "removed": before - after, "kept": [{"id": i, "title": t} for i, t in names.items()]})
    stays = f"; {len(kept)} edited since stay" if kept else ""
    gone = (
        f"{numbered(before - after, 'item')} removed" if after <= before else f"{numbered(after - before, 'item')} back"
    )
    session.done(f"took back run {chosen}: {gone}, {after:,} left{stays}")


def _newest(store: Store) -> str | None:
    """Return the newest run that changed something, else the newest that at least set records aside."""
    standing = [r for r in reversed(store.runs()) if r.undone_at is None]
    changing = next((r.id for r in standing if store.journal(r.id)), None)
    return changing or next((r.id for r in standing if store.quarantined(r.id)), standing[0].id if standing else None)


@command("runs", help="List the imports; with a run, what it set aside.")
@click.argument("run", required=False)
@click.option("--reveal", is_flag=True, help="Show quarantined records as they stood in the file.")
def runs(session: Session, run: str | None, reveal: bool) -> None:
    """Show what was imported, when, and whether it was taken back."""
    with open_vault(session, read_only=True) as store:
        if run is not None:
            _one(session, store, run, reveal)
            return
        found = store.runs()
    rows = []
    for one in found:
        items = one.summary.get("items", {})
        counts = [f"{items.get(kind, 0):,}" for kind in ("new", "changed", "conflict", "quarantined")]
        rows.append((one.id, one.at, one.format, one.source_name, *counts, "taken back" if one.undone_at else ""))
    session.table(("run", "when", "format", "file", "new", "changed", "conflict", "quarantined", "state"), rows)
    session.out(
        [
            {
                "run": r.id,
                "at": r.at,
                "format": r.format,
                "source": r.source_name,
                "undone_at": r.undone_at,
                **{k: v for k, v in r.summary.items() if k in ("items", "values")},
            }
            for r in found
        ]
    )
    session.done(numbered(len(found), "import") if found else "nothing was imported yet")


def _one(session: Session, store: Store, run: str, reveal: bool) -> None:
    one = store.run(run)
    aside = store.quarantined(run)
    rows = [(q.place, q.reason, q.raw.decode("utf-8", "replace") if reveal else "••••••") for q in aside]
    session.table(("record", "why", "as it stood"), rows)
    shown = [
        {"place": q.place, "reason": q.reason} | ({"raw": r[2]} if reveal else {})
        for q, r in zip(aside, rows, strict=True)
    ]
    session.out({"run": one.id, "format": one.format, "quarantined": shown, **one.summary})
    session.done(f"run {one.id} of {one.at}; records in quarantine: {len(aside)}")
