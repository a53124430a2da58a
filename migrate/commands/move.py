"""migrate: an export into the vault, every value accounted for."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from migrate.commands.shared import (
    LOSSES,
    PATH,
    check_report,
    counted,
    open_export,
    open_vault,
    reading_options,
    show_lines,
    show_values,
    write_report,
)
from vault.errors import UsageError
from vault.screen import Session, clean, command, numbered

if TYPE_CHECKING:
    from migrate.moving import Outcome
    from migrate.source import Source
    from vault.store import Store


@command("migrate", help="Bring exports into the vault and account for every value in them.")
@click.argument("sources", nargs=-1, required=True, type=PATH, metavar="SOURCE...")
@reading_options
@click.option("--into", metavar="FOLDER", help="Put everything below this folder (Home/Old).")
@click.option("--map", "maps", multiple=True, metavar="COLUMN=ROLE", help="What a column of an unknown table is.")
@click.option("--profile", metavar="NAME", help="Use the column roles saved under this name, or save them.")
@click.option("--dry-run", is_flag=True, help="Do everything, show the result, change nothing.")
@click.option("--delete-source", is_flag=True, help="Delete the export afterwards, if the proof holds.")
@click.option("--accept-losses", is_flag=True, help="Exit with 0 even if something was left out.")
@click.option("--report", type=PATH, metavar="FILE", help="Write a report as .json or .html.")
@click.option("--titles", is_flag=True, help="Let the report name the items.")
def migrate(
    session: Session,
    sources: tuple[Path, ...],
    into: str | None,
    maps: tuple[str, ...],
    profile: str | None,
    dry_run: bool,
    delete_source: bool,
    accept_losses: bool,
    report: Path | None,
    titles: bool,
    **given: Any,
) -> int:
    """Move each source in one transaction: all of them, or none."""
    if len(set(map(os.path.realpath, sources))) < len(sources):
        raise UsageError("the same file is named twice")
    check_report(report, *sources)
    options = mapped(session, maps, profile, given)
    opened = [open_export(path, given, options) for path in sources]
    folder = tuple(part for part in (into or "").split("/") if part)
    with suppress(_NothingKept), ExitStack() as stack:
        store = stack.enter_context(_store(session, dry_run))
        stack.enter_context(store.transaction())
        outcomes = [_one(session, store, source, folder, dry_run, titles) for source in opened]
        reminder = "" if dry_run else _reminder(store)
        safe = bool(store.meta("kit_checked_at"))
        if dry_run:
            raise _NothingKept  # the transaction above is the one that counts: those of the sources have joined it
    _tell(session, opened, outcomes, dry_run, reminder)
    if report is not None:
        write_report(report, _report(outcomes, opened, sources, titles))
    if not dry_run:
        for path, source, outcome in zip(sources, opened, outcomes, strict=True):
            _offer_deletion(session, path, source, outcome, delete_source, safe)
    lost = any(o.ledger.quarantine or o.ledger.dropped_lines for o in outcomes)
    return LOSSES if lost and not accept_losses else 0


class _NothingKept(Exception):
    """Ends a dry run's transaction."""


def mapped(session: Session, maps: tuple[str, ...], profile: str | None, given: dict[str, Any]) -> dict[str, Any]:
    """Return the options that ``--map`` and ``--profile`` stand for; they make the source a table of unknown origin."""
    if not maps and not profile:
        return {}
    from migrate import mapping

    given["format"] = given.get("format") or "generic_csv"
    return {"map": mapping.resolve(maps, profile, session.home)}


def _one(
    session: Session, store: Store, source: Source, folder: tuple[str, ...], dry_run: bool, titles: bool
) -> Outcome:
    from migrate import moving
    from vault.moment import now

    run = secrets.token_hex(4)
    with session.progress(f"moving {source.name}") as bar:
        return moving.migrate(
            store, source, run=run, now=now(), into=folder, dry_run=dry_run, with_titles=titles, advance=bar.advance
        )


@contextmanager
def _store(session: Session, dry_run: bool) -> Iterator[Store]:
    """Give the vault of this home, made if there is none; what was made for a move that fails goes again."""
    from vault.keys import has_vault, init_vault

    if has_vault(session.home):
        with open_vault(session) as store:
            if not dry_run and store.count():
                copy_before(session, store)
            yield store
            if not dry_run and not _is_fresh(store):
                _keep_up(session, store)
        return
    if dry_run:
        with _scratch() as store:
            yield store
        return
    made = init_vault(session.home)
    try:
        with made:
            yield made
    except BaseException:
        from vault.keys import destroy

        destroy(session.home)
        raise
    session.say(f"made a new vault in {session.home}")


def _is_fresh(store: Store) -> bool:
    """Tell whether the vault was made within the hour: no backup is due then that an agent would have made."""
    from vault.moment import now, to_seconds

    made_at = store.meta("made_at")
    return made_at is not None and 0 <= to_seconds(now()) - to_seconds(made_at) < 3600


def _keep_up(session: Session, store: Store) -> None:
    from backup import archive

    if trouble := archive.keep_up(store, session.home):
        session.warn(trouble)


def copy_before(session: Session, store: Store) -> None:
    """Make a backup of the vault as it is; an import goes on without one, as it can be taken back."""
    from backup import archive
    from vault.errors import KeyferryError
    from vault.files import check_writable

    check_writable(session.home)  # else there is nothing to import into either
    with store.transaction():  # nor while somebody else writes
        pass
    with session.progress("backing up first", store.count()) as bar:
        try:
            archive.before_change(store, session.home, advance=bar.advance)
        except KeyferryError as error:
            session.warn(f"no backup was made before this import: {error.message}")


@contextmanager
def _scratch() -> Iterator[Store]:
    """Give an empty vault in a folder that vanishes, under a key nobody keeps."""
    import tempfile

    from vault.store import Store

    with (
        tempfile.TemporaryDirectory(prefix="keyferry-") as folder,
        Store.create(Path(folder) / "vault.db", os.urandom(32), "dry-run") as store,
    ):
        yield store


def _reminder(store: Store) -> str:
    from vault.keys import kit_reminder

    return kit_reminder(store)


def _tell(session: Session, opened: list[Source], outcomes: list[Outcome], dry_run: bool, reminder: str) -> None:
    for source, outcome in zip(opened, outcomes, strict=True):
        if source.adapter is None:
            continue
        many = sum(outcome.items.values())
        session.say(
            f"{source.name} is an export of {source.adapter.product} ({source.format}): {_contents(many, outcome)}"
        )
        items = outcome.summary()["items"]
        session.table(list(items), [[f"{n:,}" for n in items.values()]], title="items")
        show_values(session, outcome.ledger.values())
        show_lines(session, outcome.ledger, source.adapter)
        if outcome.conflicts:
            session.warn(
                "accounts that have another password here than in the export: "
                f"{len(outcome.conflicts):,}; both are kept, and keyferry list shows them with a mark"
            )
        if outcome.ledger.quarantine and not dry_run:
            aside = numbered(len(outcome.ledger.quarantine), "record")
            session.say(f"set aside unread: {aside}; keyferry runs {outcome.run} --reveal shows them as they stood")
        _advise(session, source)
    session.out(_summary(outcomes))
    if reminder:
        session.say(reminder)
    session.done(_closing(outcomes, dry_run))


def _contents(many: int, outcome: Outcome) -> str:
    return numbered(many, "item") + (f" ({counted(outcome.kinds)})" if many else "")


def _advise(session: Session, source: Source) -> None:
    signature = source.adapter.signature if source.adapter else None
    if signature is not None and signature.better:
        missing = ", ".join(signature.cannot_hold)
        session.say(f"this kind of export never holds: {missing}; {signature.better} of the same product holds more")


def _closing(outcomes: list[Outcome], dry_run: bool) -> str:
    found = sum(o.proof.found for o in outcomes)
    values = sum(o.proof.values for o in outcomes)
    proven = f"{found:,} of {values:,} values were found again in the vault"
    if dry_run:
        return f"dry run: {proven}; nothing was changed"
    if all(not (o.items["new"] or o.items["changed"] or o.items["conflict"]) for o in outcomes):
        return f"nothing new: {proven}"
    return f"done: {proven}; keyferry undo {outcomes[-1].run} takes it back"


def _summary(outcomes: list[Outcome]) -> dict[str, Any]:
    summaries = [o.summary() for o in outcomes]
    if len(summaries) == 1:
        return summaries[0]
    total = {**summaries[-1], "sources": summaries}
    for part in ("items", "values"):
        total[part] = {key: sum(s[part][key] for s in summaries) for key in summaries[0][part]}
    return total


def _report(outcomes: list[Outcome], opened: list[Source], paths: tuple[Path, ...], titles: bool) -> dict[str, Any]:
    from migrate.report import as_dict

    made = []
    for source, outcome in zip(opened, outcomes, strict=True):
        if source.adapter is not None:
            named = outcome.titles if titles else []
            made.append(as_dict(outcome.summary(), outcome.ledger, source.adapter, named))
    return made[0] if len(made) == 1 else {"product": "several", "sources": made, "lines": [], "warnings": []}


def _offer_deletion(
    session: Session, path: Path, source: Source, outcome: Outcome, asked: bool, kit_is_checked: bool
) -> None:
    """Delete the plain export if that is wished and safe; say what unlinking does not do."""
    if str(path) == "-":
        return
    if outcome.ledger.quarantine or not kit_is_checked:
        if asked:
            why = "some records are in quarantine" if outcome.ledger.quarantine else "the recovery kit is not checked"
            session.warn(f"{path.name} was not deleted: {why}, so it may be the only copy that can be read")
        return
    if not (asked or session.confirm(f"delete {clean(path.name)}, which holds your secrets in clear?", default=False)):
        return
    from migrate.catalog import read_file

    if read_file(path) != source.original:
        session.warn(f"{path.name} was not deleted: it has changed since it was read")
        return
    path.unlink()
    session.say(f"deleted {path.name}; snapshots, synced copies and the trash of other programs may still hold it")
