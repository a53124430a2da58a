"""sync: bring the devices of this vault together; its status, and what is wrong with it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vault.commands.state import opened_by
from vault.screen import Session, command
from vault.text import counted

if TYPE_CHECKING:
    from vault.sync.session import Round

_HEALTH = 5
_PATH = click.Path(path_type=Path)


class _NowByDefault(click.Group):
    """A group whose first command is meant where none is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ("-h", "--help")):
            args = ["now", *args]
        return super().parse_args(ctx, args)


sync = _NowByDefault("sync", help="Bring the devices of this vault together, through a relay or a folder.")


@command("now", parent=sync, help="Send what was changed here and take in what others have changed; the default.")
@click.option("--relay", metavar="URL", help="Through this relay, from now on.")
@click.option("--pin", metavar="PIN", help="The pin of the relay's certificate.")
@click.option("--folder", type=_PATH, metavar="DIR", help="Through this folder, from now on.")
@click.option("--once", is_flag=True, help="Use --relay or --folder for this round only.")
@click.option("--upload-again", is_flag=True, help="Give a relay that has lost everything all of it again.")
@click.option(
    "--kit",
    "kit_file",
    type=click.Path(path_type=Path, allow_dash=True),
    metavar="FILE|-",
    help="Enrol this device anew, if it came from a backup that is older than the vault's devices.",
)
def now_(
    session: Session,
    relay: str | None,
    pin: str | None,
    folder: Path | None,
    once: bool,
    upload_again: bool,
    kit_file: Path | None,
) -> int:
    """Make one round."""
    from vault import newkit
    from vault.asking import given_kit
    from vault.moment import now
    from vault.sync import belonging, ways, writing
    from vault.sync import session as rounds

    kit = given_kit(session, kit_file) if kit_file is not None else None
    with opened_by(session) as opened:
        store = opened.store
        way, before = ways.chosen(store, relay, pin, folder), ways.remembered(store)
        belonging.begin(store, now())
        with session.progress("syncing"):
            done = rounds.sync(store, ways.transport(store, way), _now_ms, upload_again=upload_again, kit=kit)
        if not once:
            ways.remember(store, way)
        kept = writing.titles(store, done.kept_against_delete)
        count, new = store.count(), newkit.pending(store, now())
    tell(session, done, kept)
    if new is not None:
        session.warn(new.text)
    if before is not None and before.title != way.title and not once:
        session.say(
            f"from now on through the {way.title}, no longer through the {before.title}; --once changes nothing"
        )
    moved = f"{done.sent} sent, {done.entries} received"
    session.done(f"synced through the {way.title}: {moved}, {counted(count, 'item')} here")
    session.out(
        {
            "way": way.title,
            "sent": done.sent,
            "received": done.entries,
            "items_changed": done.items,
            "items": count,
            "waiting": done.waiting,
            "attachments_wanted": done.wanted,
            "strange_files": done.ignored,
            "findings": done.findings,
            "kept_against_delete": kept,
            "new_kit": new,
        }
    )
    return _HEALTH if done.findings else 0


def tell(session: Session, done: Round, kept: list[str]) -> None:
    """Say what was wrong with what came, and what has not come."""
    for finding in done.findings:
        session.warn(finding.sentence)
    for title in kept:
        session.say(f"{title} was deleted on one device and changed on another: it stays")
    if done.waiting:
        session.say(f"{counted(done.waiting, 'entry')} waiting for others that have not arrived yet")
    if done.wanted:
        session.say(f"{counted(done.wanted, 'attachment')} not here yet")


@command("compact", parent=sync, help="Make a snapshot of the log, so that new devices and the relay need less.")
def compact(session: Session) -> int:
    """Make one round with a snapshot, and say who has not seen it yet."""
    from vault import identity
    from vault.sync import session as rounds
    from vault.sync import snapshots, ways

    with opened_by(session) as opened:
        store = opened.store
        way = ways.chosen(store, None, None, None)
        with session.progress("syncing"):
            done = rounds.sync(store, ways.transport(store, way), _now_ms, compact=True)
        found, names = snapshots.state(store), identity.device_names(store)
    tell(session, done, [])
    lacking = [names.get(one, one[:8]) for one in found.unsettled]
    if lacking:
        session.say(f"the newest one counts once these devices have synced: {', '.join(lacking)}")
    entries = counted(found.entries, "entry")
    session.done(f"the log has {entries} here; snapshots stand for {found.in_snapshot:,} of them")
    session.out(
        {
            "entries": found.entries,
            "in_snapshot": found.in_snapshot,
            "not_seen_by": lacking,
            "findings": done.findings,
        }
    )
    return _HEALTH if done.findings else 0


@command("status", parent=sync, help="Say how this vault is synced and how far each device is.")
def status(session: Session) -> int:
    """Show the state of sync."""
    from vault import identity, newkit
    from vault.moment import now
    from vault.sync import doctoring, log, recording, ways

    with opened_by(session, read_only=True) as opened:
        store = opened.store
        if not log.is_on(store):
            session.done("this vault is not synced: keyferry device pair")
            session.out({"on": False})
            return 0
        way, setting = ways.remembered(store), log.setting(store)
        names, heads = identity.device_names(store), log.heads(store.database)
        own = identity.own_device(store).device_id
        rows: list[dict[str, Any]] = [
            {
                "id": one.device_id,
                "name": names.get(one.device_id) or one.name,
                "entries": heads[one.device_id].seq if one.device_id in heads else 0,
                "this": one.device_id == own,
                "heard": doctoring.heard(store, one.device_id),
            }
            for one in identity.members(store)
        ]
        waiting, unsent = log.waiting(store.database), log.unsent(store, own, way.title if way is not None else "")
        changed = recording.unrecorded(store)
        strange, new = doctoring.strange_files(store, way), newkit.pending(store, now())
    session.table(
        ("device", "name", "entries", "last sign of it", ""),
        [
            (
                one["id"],
                one["name"],
                f"{one['entries']:,}",
                one["heard"] or "none",
                "this device" if one["this"] else "",
            )
            for one in rows
        ],
    )
    parked = sum(one.state == log.PARKED for one in waiting)
    if changed:
        session.say(f"{counted(changed, 'change')} on this device not sent yet: keyferry sync")
    if unsent:
        session.say(f"{counted(unsent, 'entry')} not sent yet")
    if waiting:
        session.say(f"{counted(len(waiting), 'entry')} waiting, {parked} of them for a clock")
    if strange:
        session.say(f"left alone in the folder, as none of Keyferry's or not whole: {counted(strange, 'file')}")
    if new is not None:
        session.warn(new.text)
    last = setting.synced_at or "never"
    session.done(f"synced through the {way.title if way else 'nothing yet'}, last at {last}")
    session.out(
        {
            "on": True,
            "way": way.title if way else None,
            "synced_at": setting.synced_at or None,
            "devices": rows,
            "waiting": len(waiting),
            "parked": parked,
            "unsent": unsent,
            "changed": changed,
            "strange_files": strange,
            "new_kit": new,
        }
    )
    return 0


@command("doctor", parent=sync, help="Find why devices do not come together; names the cause.")
def doctor(session: Session) -> int:
    """Examine sync."""
    from vault.identity import signing_notes
    from vault.sync import doctoring

    with opened_by(session, read_only=True) as opened:
        found, notes = doctoring.findings(opened.store, _now_ms()), signing_notes(opened.store)
    for note in notes:
        session.say(note)
    for one in found:
        session.say(f"{one.cause}; {one.remedy}" if one.remedy else one.cause)
    session.done(f"found {counted(len(found), 'cause')}" if found else "sync is in order")
    session.out(found)
    return _HEALTH if found else 0


def _now_ms() -> int:
    return int(time.time() * 1000)
