"""backup target, backup schedule, backup recipient: where sets go, when, and who can open them."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from backup.commands.sets import backup
from backup.commands.shared import PATH, counted, open_vault
from vault.errors import UsageError
from vault.screen import Session, command


@click.group("target", help="The folders that backups go to.")
def target() -> None:
    """Hold the commands about targets."""


backup.add_command(target)


@command("add", parent=target, help="Send backups to this folder as well; it is made if it is not there.")
@click.argument("folder", type=PATH, metavar="DIR")
@click.option("--append-only", is_flag=True, help="Never remove or replace a backup there.")
@click.option("--force", is_flag=True, help="Even if others on this machine can look into it.")
def target_add(session: Session, folder: Path, append_only: bool, force: bool) -> None:
    """Add a target."""
    from backup import book as books
    from backup import targets

    with open_vault(session) as store:
        book = books.load(store, session.home)
        found = targets.add(book, folder, append_only=append_only, force=force)
        books.change(store, session.home, lambda book: books.with_target(book, found))
    if found.volume:
        session.say(f"the drive is known by its id {found.volume}, wherever it will be mounted")
    session.done(f"added the backup target {found.path}; next: keyferry backup create")
    session.out({"id": found.id, "path": found.path, "volume": found.volume or None, "append_only": append_only})


@command("list", parent=target, help="List the targets and how they are.")
def target_list(session: Session) -> int:
    """List targets."""
    from backup import book as books
    from backup import targets
    from vault.errors import KeyferryError

    with open_vault(session, read_only=True) as store:
        book = books.load(store, session.home)
    rows, found = [], []
    for one in book.targets:
        trouble = one.trouble
        try:
            targets.locate(one)
        except KeyferryError as error:
            trouble = error.message
        sets = sum(not copy.trouble for copy in one.copies)
        kind = "append-only" if one.append_only else "drive" if one.volume else "folder"
        rows.append((one.id, kind, f"{sets:,}", one.seen_at or "never", trouble or "here", one.path))
        found.append(
            {
                "id": one.id,
                "path": one.path,
                "append_only": one.append_only,
                "volume": one.volume or None,
                "sets": sets,
                "written_at": one.seen_at or None,
                "trouble": trouble or None,
            }
        )
    session.table(("id", "kind", "backups", "last written", "state", "folder"), rows)
    session.done(counted(len(rows), "target"))
    session.out(found)
    return 0


@command("remove", parent=target, help="Send no more backups there; those that are there stay.")
@click.argument("which", metavar="DIR")
def target_remove(session: Session, which: str) -> None:
    """Remove a target."""
    from backup import book as books
    from backup import targets

    with open_vault(session) as store:
        found = targets.find(books.load(store, session.home), which)
        left = books.change(store, session.home, lambda book: books.without_target(book, found.id))
    if not left.targets:
        session.warn("no backup target is left: keyferry backup target add DIR")
    session.done(f"{found.path} is no backup target any more; {counted(len(found.copies), 'backup')} stay there")
    session.out({"id": found.id, "path": found.path})


@command("schedule", parent=backup, help="Show or set when backups are made by themselves.")
@click.argument("when", required=False, metavar='[show|off|hourly|daily|weekly|"CRON"]')
@click.option("--at", metavar="HH:MM", help="The time of day for daily and weekly.")
@click.option("--on-change", is_flag=True, help="Also some minutes after the vault was changed.")
@click.option("--on-mount", is_flag=True, help="Also when the drive of a target appears.")
def schedule(session: Session, when: str | None, at: str | None, on_change: bool, on_mount: bool) -> None:
    """Set the schedule."""
    from backup import book as books
    from backup.schedule import LocalZone, described, next_due, schedule_of
    from vault import moment

    changing = when not in (None, "show") or at is not None or on_change or on_mount
    if changing and when in (None, "show"):
        raise UsageError("name a schedule", hint="keyferry backup schedule daily --at 21:00")
    with open_vault(session, read_only=not changing) as store:
        if changing:
            wanted = schedule_of(when or "", at, on_change=on_change, on_mount=on_mount)
            book = books.change(store, session.home, lambda book: msgspec.structs.replace(book, schedule=wanted))
        else:
            book = books.load(store, session.home)
    coming = next_due(book.schedule, moment.to_datetime(moment.now()), LocalZone())
    words = described(book.schedule)
    if book.schedule.preset != "off" or book.schedule.on_change or book.schedule.on_mount:
        session.say("it is the agent that keeps it: keyferry agent install, or keyferry backup create --if-due by cron")
    session.say("all backups of 24 hours stay, then one a day for 30 days, one a week for a year, one a month for ever")
    session.done(f"backups are made {words}")
    session.out(
        {
            "preset": book.schedule.preset,
            "cron": book.schedule.cron or None,
            "at": book.schedule.at or None,
            "on_change": book.schedule.on_change,
            "on_mount": book.schedule.on_mount,
            "words": words,
            "next": moment.from_seconds(int(coming.timestamp())) if coming else None,
        }
    )


@click.group("recipient", help="Others who can open the backups made from now on.")
def recipient() -> None:
    """Hold the commands about recipients."""


backup.add_command(recipient)


@command("add", parent=recipient, help="Let the owner of an age key open every backup made from now on.")
@click.argument("key", metavar="AGE-KEY")
@click.option("--name", required=True, metavar="N", help="Whose key it is.")
def recipient_add(session: Session, key: str, name: str) -> None:
    """Add an escrow recipient."""
    from backup import book as books
    from backup import escrow
    from vault.keys import own_roots, root_text

    with open_vault(session) as store:
        found = escrow.recipient(key, name)
        books.change(store, session.home, lambda book: escrow.added(book, found))
        root = root_text(own_roots(store)[-1])
    session.say(f"give {found.name} this root key; it proves where a backup comes from: {root}")
    session.done(f"{found.name} can open every backup made from now on; keyferry status shows it")
    session.out({"name": found.name, "key": found.key, "root_key": root})


@command("list", parent=recipient, help="List who can open the backups made from now on.")
def recipient_list(session: Session) -> None:
    """List recipients."""
    from backup import book as books
    from backup import making

    with open_vault(session, read_only=True) as store:
        found = making.recipients(store, books.load(store, session.home))
    session.table(("kind", "name", "key"), [(one.kind, one.name, one.key) for one in found])
    session.done(f"{counted(len(found), 'key')} open every backup made from now on")
    session.out(found)


@command("remove", parent=recipient, help="Make no more backups for this one; old ones stay open to them.")
@click.argument("name", metavar="N")
def recipient_remove(session: Session, name: str) -> None:
    """Remove an escrow recipient."""
    from backup import book as books
    from backup import escrow

    with open_vault(session) as store:
        books.change(store, session.home, lambda book: escrow.removed(book, name))
    session.warn(f"{name} can still open the backups made until now")
    session.done(f"{name} opens no backup made from now on")
    session.out({"name": name})
