"""Commands about the state of the vault: status, doctor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from vault.screen import Session, command
from vault.text import counted

if TYPE_CHECKING:
    from backup.archive import Facts
    from vault.checkup import Finding
    from vault.keys import Opened

_HEALTH = 5


@command("status", help="Say how vault, key, kit and copies are.")
def status(session: Session) -> None:
    """Show the state of the vault."""
    from backup import archive
    from vault import newkit
    from vault.identity import signing_notes
    from vault.keys import kit_reminder
    from vault.moment import now
    from vault.sync import keeping

    with opened_by(session, read_only=True) as opened:
        copies = archive.facts(opened.store, session.home, now())
        together = keeping.facts(opened.store)
        reminder, notes = kit_reminder(opened.store), signing_notes(opened.store)
        new = newkit.pending(opened.store, now())
        facts = {**_facts(opened), **_backups(copies), "sync": together, "notes": notes, "new_kit": new}
    session.out(facts)
    kits = {"waiting": "not saved", "handed out": "saved, not checked", "elsewhere": "not checked on this device"}
    day = facts["kit_checked_at"]
    shown = [
        ("vault", f"{facts['name']} ({facts['vault']})"),
        ("folder", facts["home"]),
        ("items", f"{facts['items']}" + (f", {facts['trashed']} of them in the trash" if facts["trashed"] else "")),
        ("imports", str(facts["runs"])),
        ("key", facts["key"]),
        ("rollback anchor", facts["anchor"]),
        ("recovery kit", kits.get(facts["kit"], facts["kit"]) + (f" on {day[:10]}" if day else "") + _id_of(facts)),
        ("last backup", facts["last_backup"] or "none"),
        ("last proven restore", facts["last_proven_restore"] or "none"),
        ("backup schedule", copies.schedule),
        *(("backup target", path) for path in copies.targets),
        *(("opens backups too", name) for name in copies.others),
        ("sync", together.text if together is not None else "off"),
    ]
    session.table(("what", "state"), shown)
    for trouble in (*copies.troubles, *((new.text,) if new is not None else ())):
        session.warn(trouble)
    for note in (*copies.notes, *notes):
        session.say(note)
    session.done(reminder or f"{counted(facts['items'], 'item')}, the recovery kit is checked")


@command("doctor", help="Look for what is wrong with the vault; exit code 5 if something is.")
@click.option("--accept-older", is_flag=True, help="Go on with a vault file that is older than last seen.")
def doctor(session: Session, accept_older: bool) -> int:
    """Examine the vault."""
    from vault import checkup, keys
    from vault.moment import now

    with opened_by(session, read_only=not accept_older, accept_older=accept_older, quiet=True) as opened:
        accepted = accept_older and keys.is_older(opened.store, opened.holder)
        if accepted:
            keys.accept_older(opened.store, opened.holder, now())
        found = (*checkup.findings(opened), *_of_backups(opened))
    for finding in found:
        session.say(f"{finding.what}; {finding.remedy}")
    if accepted:
        session.say("the vault as it is counts as the newest from now on")
    session.done(f"found {len(found)} faults" if found else "the vault is in order")
    session.out({"accepted_older": accepted, "findings": [{"what": f.what, "remedy": f.remedy} for f in found]})
    return _HEALTH if found else 0


def _of_backups(opened: Opened) -> tuple[Finding, ...]:
    from backup import archive
    from vault.checkup import Finding
    from vault.moment import now

    copies = archive.facts(opened.store, opened.home, now())
    return tuple(Finding(trouble, "keyferry backup verify --all --repair") for trouble in copies.troubles)


def opened_by(session: Session, *, read_only: bool = False, accept_older: bool = False, quiet: bool = False) -> Opened:
    """Open the session's vault with its key at hand; asks for the passphrase if the vault has one."""
    from vault.keys import open_keys

    return open_keys(
        session.home,
        read_only=read_only,
        passphrase=lambda: session.secret("Passphrase"),
        warn=None if quiet else session.warn,
        accept_older=accept_older,
    )


def _facts(opened: Opened) -> dict[str, Any]:
    """Return what ``status --json`` tells."""
    from vault.kit import key_id
    from vault.kitcare import kit_state

    store, recipient = opened.store, opened.store.meta("kit_recipient")
    kit, checked = kit_state(store), store.meta("kit_checked_at")
    return {
        "items": store.count(),
        "trashed": store.count(state="trashed"),
        "runs": sum(run.undone_at is None for run in store.runs()),
        "kit_checked": kit == "checked",
        "kit_checked_at": checked,
        "kit": kit,
        "kit_key_id": key_id(recipient) if recipient else None,
        "vault": store.vault_id,
        "name": opened.settings.name,
        "made_at": store.meta("made_at"),
        "home": str(opened.home),
        "key": opened.holder.title,
        "key_holder": opened.holder.kind,
        "anchor": opened.holder.anchor_worth,
    }


def _backups(copies: Facts) -> dict[str, Any]:
    """Return what ``status --json`` tells of the backups."""
    return {
        "last_backup": copies.last.made_at if copies.last else None,
        "last_proven_restore": copies.proven.at if copies.proven else None,
        "backup_schedule": copies.schedule,
        "backup_targets": copies.targets,
        "backup_recipients": copies.others,
        "backup_troubles": copies.troubles,
    }


def _id_of(facts: dict[str, Any]) -> str:
    return f" (key id {facts['kit_key_id']})" if facts["kit_key_id"] else ""
