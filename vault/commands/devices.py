"""device: pair, join, list, revoke."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vault.commands.state import opened_by
from vault.screen import Session, command
from vault.text import counted

if TYPE_CHECKING:
    from vault.keys import Opened
    from vault.store import Store
    from vault.sync.pairing import Invitation

_PATH = click.Path(path_type=Path)


@click.group("device", help="The devices of this vault: pair, join, list, revoke.")
def device() -> None:
    """Hold the commands about devices."""


@command("pair", parent=device, help="Let another device join this vault: shows a code, then asks for six digits.")
@click.option("--relay", metavar="URL", help="Through this relay.")
@click.option("--pin", metavar="PIN", help="The relay's certificate must have this pin; asked of it if left out.")
@click.option("--folder", type=_PATH, metavar="DIR", help="Through this folder, which both devices see.")
@click.option("--png", type=_PATH, metavar="FILE", help="Write the QR code as a picture as well.")
def pair(session: Session, relay: str | None, pin: str | None, folder: Path | None, png: Path | None) -> None:
    """Enrol a new device."""
    from vault.errors import KeyferryError
    from vault.moment import now
    from vault.sync import belonging, log, pairing, ways
    from vault.sync import session as rounds

    with opened_by(session) as opened:
        store = opened.store
        way = ways.chosen(store, relay, pin, folder)
        belonging.begin(store, now())
        ways.remember(store, way)
        transport = ways.transport(store, way)
        rounds.sync(store, transport, _now_ms)
        channel, slot = ways.new_slot(store, way, pairing.SECONDS)
        invitation = pairing.invite(store, relay=way.relay, pin=way.pin, slot=slot, now=now())
        _show_code(session, invitation, png)
        inviter = pairing.Inviter(store, invitation, channel)
        try:
            inviter.meet()
            session.say(f"{inviter.name or 'the new device'} answers; type the six digits that it shows")
            member = inviter.admit(session.ask("digits"), now(), lambda: rounds.sync(store, transport, _now_ms))
        except (KeyferryError, KeyboardInterrupt):
            channel.burn()  # the other device need not wait
            raise
        finally:
            channel.close()
        rounds.sync(store, transport, _now_ms)
        name = inviter.name or member.device_id[:8]
        count = log.setting(store).synced_at
    session.done(f"{name} has joined this vault; if that was not you: keyferry device revoke {member.device_id[:8]}")
    session.out({"device": member.device_id, "name": name, "synced_at": count})


def _show_code(session: Session, invitation: Invitation, png: Path | None) -> None:
    import segno

    drawn = segno.make(invitation.text, error="m", micro=False)
    if png is not None:
        from vault.files import private_file

        with private_file(png, replace=False) as file:
            drawn.save(file, kind="png", scale=6)
    if not session.json:
        from vault.kit import drawn_rows

        for line in drawn_rows(drawn):
            session.say(line)
    session.say("on the other device: keyferry device join, and this code; show it to nobody else")
    session.told("code", invitation.text)


@command("join", parent=device, help="Join the vault of another device: its code, then six digits to type there.")
@click.argument("code", required=False, metavar="[CODE|-]")
@click.option("--folder", type=_PATH, metavar="DIR", help="The folder, where the code is one for a folder.")
@click.option("--kit", type=click.Path(path_type=Path, allow_dash=True), metavar="FILE|-", help="Join by the kit.")
@click.option("--relay", metavar="URL", help="With --kit: the relay that has the vault.")
@click.option("--pin", metavar="PIN", help="With --kit: the pin of the relay's certificate.")
@click.option("--vault", metavar="ID", help="With --kit -: the vault's id, which stands on the kit's page.")
@click.option("--key-file", type=_PATH, metavar="P", help="Keep the vault's key in this file.")
@click.option("--passphrase", is_flag=True, help="Wrap the vault's key under a passphrase, which is asked for.")
def join(
    session: Session,
    code: str | None,
    folder: Path | None,
    kit: Path | None,
    relay: str | None,
    pin: str | None,
    vault: str | None,
    key_file: Path | None,
    passphrase: bool,
) -> int:
    """Join a vault."""
    from vault.asking import new_passphrase
    from vault.errors import VaultExists
    from vault.keys import choose_holder, has_vault

    given = new_passphrase(session) if passphrase else None
    if has_vault(session.home):
        raise VaultExists(f"there is a vault in {session.home} already", hint="join with another home: --home DIR")
    holder = choose_holder(session.home, key_file=key_file, passphrase=given) if key_file or passphrase else None
    from vault.commands import joining

    if kit is not None:
        return joining.by_kit(session, kit, relay, pin, folder, vault, holder)
    if code is None or code == "-":
        code = session.secret("code")
    return joining.by_code(session, code, folder, holder)


@command("list", parent=device, help="List the devices of this vault.")
def list_(session: Session) -> None:
    """List devices."""
    from vault import identity, membership, newkit
    from vault.moment import now
    from vault.sync import log

    with opened_by(session, read_only=True) as opened:
        store = opened.store
        found = membership.read_chain(identity.own_chain(store))
        own = identity.own_device(store).device_id
        names = identity.device_names(store)
        heads = log.heads(store.database) if log.is_on(store) else {}
        new = newkit.pending(store, now())
    rows: list[dict[str, Any]] = [
        {
            "id": one.device_id,
            "name": names.get(one.device_id) or one.name,
            "since": one.since,
            "revoked_at": one.until,
            "entries": heads[one.device_id].seq if one.device_id in heads else 0,
            "this": one.device_id == own,
            "made_new_kit": new is not None and new.device_id == one.device_id,
        }
        for one in (*found.members, *found.revoked)
    ]
    session.table(
        ("device", "name", "since", "entries", "state"),
        [
            (
                one["id"],
                one["name"],
                one["since"][:10],
                f"{one['entries']:,}",
                f"revoked {one['revoked_at'][:10]}"
                if one["revoked_at"]
                else "this device"
                if one["this"]
                else "member",
            )
            for one in rows
        ],
    )
    if new is not None:
        session.warn(new.text)
    count = len(found.members)
    session.done(f"{count} device{' belongs' if count == 1 else 's belong'} to this vault")
    session.out(rows)


@command("revoke", parent=device, help="End a device's membership, and list every secret it has seen.")
@click.argument("name", metavar="NAME")
@click.option(
    "--kit",
    "kit_file",
    type=click.Path(path_type=Path, allow_dash=True),
    metavar="FILE|-",
    help="Sign it with the kit, so that a device that is older than this one cannot undo it.",
)
def revoke(session: Session, name: str, kit_file: Path | None) -> None:
    """Revoke a device."""
    from backup import archive
    from vault import identity
    from vault.asking import given_kit
    from vault.errors import SyncError
    from vault.sync import belonging, log, revoking, ways
    from vault.sync import session as rounds

    kit = given_kit(session, kit_file) if kit_file is not None else None
    with opened_by(session) as opened:
        store = opened.store
        member = revoking.find(store, name)
        if log.is_on(store) and (way := ways.remembered(store)) is not None:
            with contextlib.suppress(SyncError):  # it is revoked as of what is known here
                rounds.sync(store, ways.transport(store, way), _now_ms)
        before = belonging.members_of(store).members
        ended = revoking.end(store, member.device_id, _now_ms(), kit=kit)
        after = belonging.members_of(store)
        names = identity.device_names(store)
        dropped = [names.get(one.device_id) or one.device_id[:8] for one in before if not after.knows(one.device_id)]
        seen = revoking.secrets_seen(store)
        sent = _send(session, opened)
        old = archive.open_to(store, session.home, member.since)
        made = _copy_without(session, store)
    session.table(
        ("item", "title", "what", "last changed"),
        [(one.id, one.title, one.what, one.changed_at or "unknown") for one in seen],
        title="change these: the revoked device has seen them, the oldest first",
    )
    for line in old:
        session.warn(line)
    if made:
        session.warn(made)
    if ended:
        session.say(f"the kit that {member.name} had made is ended with it; the one from before is in force again")
    if dropped:
        session.warn(f"let in after that kit was made, and out of the vault again: {', '.join(dropped)}")
    if not sent:
        session.warn("the others do not know yet: keyferry sync")
    session.done(f"revoked {member.name}; it has seen {counted(len(seen), 'secret')}, listed above")
    session.out(
        {
            "device": member.device_id,
            "name": member.name,
            "secrets": seen,
            "told": sent,
            "backups": old,
            "kit_ended": ended,
            "dropped": dropped,
        }
    )


def _send(session: Session, opened: Opened) -> bool:
    """Tell the others at once, if there is a way; a relay out of reach hears it with the next sync."""
    from vault.errors import SyncError
    from vault.sync import log, ways
    from vault.sync import session as rounds

    store = opened.store
    if not log.is_on(store):
        return True
    way = ways.remembered(store)
    if way is None:
        return False
    try:
        rounds.sync(store, ways.transport(store, way), _now_ms)
    except SyncError as error:
        session.warn(error.message)
        return False
    return True


def _copy_without(session: Session, store: Store) -> str:
    """Make a backup that the revoked device cannot open; returns what went wrong, or nothing."""
    from backup import archive
    from vault.errors import KeyferryError

    try:
        archive.create(store, session.home)
    except KeyferryError as error:
        return f"no backup was made without it: {error.message}"
    return ""


def _now_ms() -> int:
    return int(time.time() * 1000)
