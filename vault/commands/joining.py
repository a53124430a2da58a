"""The two ways a new device joins: by the code of a member, or by the kit when all devices are lost."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from vault.errors import KeyferryError, UsageError
from vault.screen import Session
from vault.text import counted

if TYPE_CHECKING:
    from vault.keyholders import Holder
    from vault.store import Store
    from vault.sync.ways import Way

_HEALTH = 5


def by_code(session: Session, code: str, folder: Path | None, holder: Holder | None) -> int:
    """Join by a code; returns the exit code."""
    from vault import device
    from vault.keyholders import choose_holder
    from vault.making import host_name
    from vault.moment import now
    from vault.sync import joining, pairing, ways
    from vault.sync.ways import Way

    invitation = pairing.read_code(code)
    if invitation.folder and folder is None:
        raise UsageError("this code is for a folder", hint="name it: --folder DIR")
    way = (
        Way(folder=str(folder.expanduser().absolute()))
        if invitation.folder and folder is not None
        else Way(relay=invitation.relay, pin=invitation.pin)
    )
    holder = holder or choose_holder(session.home)  # before the others count this device as a member
    session.say(f"joining the vault {invitation.vault} through the {way.title}")
    own = device.new_device()
    slot = ways.slot_of(way, invitation.slot, pairing.SECONDS)
    try:
        newcomer = pairing.Newcomer(invitation, slot, own, host_name())
        session.told("digits", newcomer.approach())
        session.say("type these digits at the other device")
        joined = newcomer.complete()
    except (KeyferryError, KeyboardInterrupt):
        slot.burn()  # the other device need not wait
        raise
    finally:
        slot.close()
    store = joining.join_vault(
        session.home, own, joined, lambda store: joining.begin(store, way, joined), now=now(), holder=holder
    )
    return _first_round(session, store, way)


def _first_round(session: Session, store: Store, way: Way, *, by_kit: bool = False) -> int:
    from vault.commands.sync import tell
    from vault.sync import doctoring, ways
    from vault.sync import session as rounds

    with store, session.progress("fetching the vault"):
        done = rounds.sync(store, ways.transport(store, way), lambda: int(time.time() * 1000))
        count, newest = store.count(), doctoring.newest(store)
    if by_kit and newest:
        session.say(
            f"the newest entry that came was signed at {newest}; a relay that keeps later ones back looks the same"
        )
    tell(session, done, [])
    session.done(f"this device has joined; {counted(count, 'item')} here")
    session.out(
        {
            "home": str(session.home),
            "items": count,
            "vault": store.vault_id,
            "waiting": done.waiting,
            "attachments_wanted": done.wanted,
            "findings": done.findings,
        }
    )
    return _HEALTH if done.findings else 0


def by_kit(
    session: Session,
    kit_file: Path,
    relay: str | None,
    pin: str | None,
    folder: Path | None,
    vault: str | None,
    holder: Holder | None,
) -> int:
    """Join as the kit's root, when no device is left to ask; returns the exit code."""
    from vault import device
    from vault.asking import given_kit
    from vault.making import host_name
    from vault.moment import now
    from vault.sync import joining, ways

    way = ways.named(relay, pin, folder)
    if way is None:
        raise UsageError(
            "--kit needs the relay or the folder that has the vault", hint="keyferry device join --kit FILE --relay URL"
        )
    kit = given_kit(session, kit_file)
    vault = vault or kit.vault_id
    if not vault:
        raise UsageError("a typed kit does not tell the vault's id", hint="it stands on the kit's page: --vault ID")
    own = device.new_device()
    store = joining.rejoin_by_kit(session.home, kit, way, vault, own, host_name(), now=now(), holder=holder)
    return _first_round(session, store, way, by_kit=True)
