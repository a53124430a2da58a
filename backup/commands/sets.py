"""backup: create, list, show, verify, prune, diff."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from backup.commands.shared import PATH, counted, open_vault, shown_size
from vault.screen import Session, command

if TYPE_CHECKING:
    from backup.book import Drill
    from backup.care import Finding
    from backup.making import Outcome
    from vault.store import Store

HEALTH = 5


@click.group("backup", help="Make, list, check and prune sealed copies of the vault.")
def backup() -> None:
    """Hold the commands about backups."""


@command("create", parent=backup, help="Make a backup at every target, read back and compared.")
@click.option("--to", type=PATH, metavar="FILE", help="Make it as this one file instead.")
@click.option("--if-due", is_flag=True, help="Only if the schedule asks for one and something has changed; for cron.")
def create(session: Session, to: Path | None, if_due: bool) -> int:
    """Make a set."""
    from backup import archive
    from vault.errors import UsageError

    if to is not None and if_due:
        raise UsageError("--to and --if-due exclude each other")
    with open_vault(session) as store, session.progress("backing up", store.count()) as bar:
        if if_due:
            done = archive.create_if_due(store, session.home)
        else:
            done = archive.create(store, session.home, to=to, advance=bar.advance)
    if done is None:
        session.done("no backup is due")
        session.out({"made": None, "places": []})
        return 0
    _tell(session, done)
    return HEALTH if done.troubles else 0


def _tell(session: Session, done: Outcome) -> None:
    session.table(("target", "backup"), [(one.path, one.trouble or "verified") for one in done.places])
    for one in done.troubles:
        session.warn(one.trouble)
    made = done.made
    good = len(done.places) - len(done.troubles)
    if made is None:
        session.done("nothing has changed since the newest backup")
    else:
        where = f"at {good} of {counted(len(done.places), 'target')}" if done.places[0].target else f"in {made.name}"
        session.done(
            f"backed up {counted(made.items, 'item')} ({shown_size(made.size)}) {where}, read back and compared"
        )
    session.out({"made": _made_json(made) if made else None, "places": list(done.places), "seconds": done.seconds})


@command("list", parent=backup, help="List the backups that are known, or those in one target or folder.")
@click.argument("place", required=False, metavar="[TARGET|DIR]")
def list_(session: Session, place: str | None) -> int:
    """List sets."""
    from backup import book as books
    from backup import listing

    with open_vault(session, read_only=True) as store:
        book = books.load(store, session.home)
        found = listing.listed(store, book, place)
    rows = []
    for one in found:
        state = one.trouble or ("verified " + one.verified_at[:10] if one.verified_at else "not verified")
        rows.append((one.id, one.made_at, f"{one.items:,}", shown_size(one.size), state, one.path))
    session.table(("set", "made at", "items", "size", "state", "file"), rows)
    bad = sum(one.trouble not in ("", listing.SEALED) for one in found)
    sets = len({one.id for one in found if one.id})
    session.done(f"{counted(sets, 'backup')}" + (f", {counted(bad, 'file')} of them in trouble" if bad else ""))
    session.out(found)
    return HEALTH if bad else 0


@command("show", parent=backup, help="Show what one backup says of itself.")
@click.argument("which", metavar="SET")
def show(session: Session, which: str) -> None:
    """Show a manifest."""
    from backup import book as books
    from backup import listing, making, payload, reading

    with open_vault(session, read_only=True) as store:
        path = listing.path_of(store, books.load(store, session.home), which)
        found = reading.peek(path, making.own_opener(store))
    manifest = found.manifest
    counts = manifest.counts
    rows = [
        ("set", manifest.set),
        ("file", str(path)),
        ("size", shown_size(found.size)),
        ("vault", f"{manifest.name} ({manifest.vault})"),
        ("made at", manifest.made_at),
        ("made by", f"{manifest.device_name} ({manifest.device}), its number {manifest.counter}"),
        ("items", f"{counts.items:,}" + (f", {counts.trashed:,} of them in the trash" if counts.trashed else "")),
        ("folders", f"{counts.collections:,}"),
        ("attachments", f"{counts.documents:,}, {shown_size(counts.document_bytes)}"),
        ("before it", manifest.previous.set if manifest.previous else "nothing"),
        *((f"opens for {one.kind}", f"{one.name} ({one.key})") for one in manifest.recipients),
    ]
    session.table(("what", "value"), rows)
    session.done("its signature holds; keyferry backup verify reads all of it")
    session.out({**payload.as_json(manifest), "path": str(path), "size": found.size})


@command("verify", parent=backup, help="Read backups from their disks and check every byte; exit code 5 if one is bad.")
@click.argument("which", nargs=-1, metavar="[SET...]")
@click.option("--all", "every", is_flag=True, help="All at every target; the same as naming none.")
@click.option("--repair", is_flag=True, help="Put a good copy from another target in the place of a bad one.")
def verify(session: Session, which: tuple[str, ...], every: bool, repair: bool) -> int:
    """Verify sets."""
    from backup import book as books
    from backup import care, listing

    with open_vault(session) as store:
        book = books.load(store, session.home)
        wanted = [listing.made_of(book, one).id for one in which] if which and not every else None
        total = sum(len(target.copies) for target in book.targets)
        with session.progress("reading backups", total) as bar:
            found = care.verify(store, session.home, wanted, repair=repair, advance=bar.advance)
        proof = _proof(session, store) if wanted is None and any(one.verdict == care.GOOD for one in found) else None
    session.table(("file", "state"), [(one.path, _state(one)) for one in found])
    for one in found:
        _explain(session, one, repair)
    bad = [one for one in found if one.verdict not in (care.GOOD, care.SEALED) and not one.healed]
    away = sum(one.verdict == care.AWAY for one in bad)
    healed = sum(one.healed for one in found)
    if proof is not None and proof.trouble:
        session.warn(f"the newest backup cannot be restored: {proof.trouble}")
    elif proof is not None:
        session.say(f"restored the newest backup into memory: all {counted(proof.items, 'item')} are as they were")
    session.done(_summary(found, len(bad) - away, away, healed))
    session.out(found)
    return HEALTH if bad or (proof is not None and proof.trouble) else 0


def _proof(session: Session, store: Store) -> Drill | None:
    from backup import care
    from vault.errors import NoSuchBackup

    try:
        with session.progress("restoring into memory", store.count()) as bar:
            return care.drill(store, session.home, advance=bar.advance)
    except NoSuchBackup:
        return None


def _state(one: Finding) -> str:
    if one.healed:
        return f"was {one.verdict}, healed"
    return f"good, {counted(one.items, 'item')}" if one.verdict == "good" else one.verdict


def _explain(session: Session, one: Finding, repair: bool) -> None:
    if one.verdict == "good":
        return
    session.warn(f"{one.path}: {one.text}")
    if one.affected and not (one.verdict == "missing" and one.elsewhere):
        names = ", ".join(one.affected[:10]) + (", ..." if len(one.affected) > 10 else "")
        session.say(f"  it cannot give back {counted(len(one.affected), 'item')} of today's vault: {names}")
    if one.healed:
        session.say(f"  healed with {one.elsewhere}")
    elif one.elsewhere:
        session.say(f"  a good copy is {one.elsewhere}" + ("" if repair else "; keyferry backup verify --all --repair"))
    elif one.verdict in ("damaged", "missing"):
        session.say("  no other copy of it is within reach; keyferry backup create makes a new backup")


def _summary(found: tuple[Finding, ...], bad: int, away: int, healed: int) -> str:
    good = sum(one.verdict == "good" for one in found)
    parts = [f"{counted(good, 'file')} good"]
    parts += [f"{healed} healed"] if healed else []
    parts += [f"{bad} bad"] if bad else []
    sealed = sum(one.verdict == "sealed" for one in found)
    parts += [f"{sealed} sealed to others"] if sealed else []
    parts += [f"{counted(away, 'target')} out of reach"] if away else []
    return ", ".join(parts)


@command("prune", parent=backup, help="Remove backups that newer ones make needless: see backup schedule show.")
@click.option("--dry-run", is_flag=True, help="Say what would be removed.")
def prune(session: Session, dry_run: bool) -> int:
    """Prune sets."""
    from backup import care

    with open_vault(session) as store:
        done = care.prune(store, session.home, dry_run=dry_run)
        waiting = sum(len(one.waiting) for one in done)
        if (
            waiting
            and not dry_run
            and session.confirm(f"{counted(waiting, 'more backup')} would go, more than half at once. Remove them too?")
        ):
            more = care.prune(store, session.home, whole=True)
            done = (*done, *(one for one in more if one.removed))
        if not dry_run:
            _forget_lost(session, store)
    rows = [(one.path, made.id, made.made_at) for one in done for made in one.removed]
    session.table(("target", "set", "made at"), rows)
    for one in done:
        if one.text:
            session.warn(f"{one.path}: {one.text}")
    session.done(f"{'would remove' if dry_run else 'removed'} {counted(len(rows), 'file')}")
    session.out(done)
    return 0


def _forget_lost(session: Session, store: Store) -> None:
    """Offer to expect what is lost for good no longer, so that it stops being an alarm."""
    from backup import care
    from vault.moment import now

    gone = care.lost(store, session.home)
    if gone and session.confirm(
        f"{counted(len(gone), 'file')} cannot be read and no good copy is within reach. Expect them no longer?"
    ):
        care.forget(store, session.home, gone, now=now())
        session.say(f"{counted(len(gone), 'file')} are expected no longer; what is left of them was not touched")


@command("diff", parent=backup, help="Compare two backups, or a backup with the vault: which items differ.")
@click.argument("old", metavar="A")
@click.argument("new", required=False, metavar="[B]")
def diff(session: Session, old: str, new: str | None) -> None:
    """Compare sets."""
    from backup import book as books
    from backup import comparing, listing, making

    with open_vault(session, read_only=True) as store:
        book = books.load(store, session.home)
        opener = making.own_opener(store)
        before = comparing.of_set(listing.path_of(store, book, old), opener)
        after = comparing.of_set(listing.path_of(store, book, new), opener) if new else comparing.of_vault(store)
    found = comparing.differences(before, after)
    session.table(("item", "title", "difference"), [(one.id, one.title, one.what) for one in found])
    session.done(_difference(found, new))
    session.out(found)


def _difference(found: tuple[Any, ...], new: str | None) -> str:
    later = "the second" if new else "the vault"
    counts = {what: sum(one.kind == what for one in found) for what in ("new", "changed", "gone")}
    if not found:
        return f"both hold the same items; {later} adds nothing"
    return f"{counts['new']} only in {later}, {counts['changed']} changed, {counts['gone']} not in {later}"


def _made_json(made: Any) -> dict[str, Any]:
    return {"id": made.id, "name": made.name, "made_at": made.made_at, "items": made.items, "size": made.size}
