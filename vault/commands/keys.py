"""Commands about the vault's key and kit: init, kit, unlock, key, destroy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from vault.asking import given_kit, new_passphrase
from vault.commands.state import opened_by
from vault.errors import UsageError
from vault.screen import Session, command

if TYPE_CHECKING:
    from vault.keys import Holder
    from vault.kitcare import EndedKit

_PATH = click.Path(path_type=Path)
_KIT_FILE = click.Path(path_type=Path, allow_dash=True)


@command("init", help="Make a new vault; its key goes into the OS keyring unless another place is named.")
@click.option("--key-file", type=_PATH, metavar="P", help="Keep the key in this file, made if it is not there.")
@click.option("--passphrase", is_flag=True, help="Wrap the key under a passphrase, which is asked for.")
@click.option("--kit", type=_PATH, metavar="FILE", help="Save the recovery kit there.")
@click.option("--no-kit", is_flag=True, help="Make no recovery kit: a lost key is then a lost vault.")
def init(session: Session, key_file: Path | None, passphrase: bool, kit: Path | None, no_kit: bool) -> None:
    """Make a new vault."""
    given = new_passphrase(session) if passphrase else None
    from vault.keys import choose_holder, init_vault, kit_reminder

    if no_kit and kit is not None:
        raise UsageError("--kit and --no-kit exclude each other")
    holder = choose_holder(session.home, key_file=key_file, passphrase=given) if key_file or passphrase else None
    with init_vault(session.home, holder=holder, kit_file=kit, with_kit=not no_kit) as store:
        vault_id, reminder = store.vault_id, kit_reminder(store)
    settings = _settings(session)
    session.say(f"made a vault in {session.home}; its key is in: {_title(session)}")
    if kit is not None:
        session.say(f"saved its recovery kit to {kit}")
        _warn_synced(session, kit)
    if holder is not None:
        _warn_beside(session, holder)
    session.done(reminder)
    session.out(
        {
            "vault": vault_id,
            "home": str(session.home),
            "key_holder": settings["kind"],
            "kit": "none" if no_kit else "saved" if kit else "waiting",
        }
    )


@click.group("kit", help="Save, print, check or renew the recovery kit.")
def kit() -> None:
    """Hold the commands about the kit."""


@command("save", parent=kit, help="Save the recovery kit to a new file, best on another disk.")
@click.argument("file", type=_PATH)
@click.option("--sealed", is_flag=True, help="Seal the file under a passphrase, which is asked for.")
def kit_save(session: Session, file: Path, sealed: bool) -> None:
    """Save the waiting kit."""
    from backup.archive import target_folders
    from vault.keys import save_kit

    def asked() -> str:
        return new_passphrase(session, "New passphrase of the kit")

    with opened_by(session) as opened:
        forbidden = target_folders(opened.store, session.home)
        found = save_kit(opened, file, forbidden=forbidden, passphrase=asked if sealed else None)
    if sealed:
        session.say("keep a kit on paper too: without its passphrase this file opens nothing")
    else:
        _warn_synced(session, file)
    session.done(f"saved the kit (key id {found.key_id}) to {file}; next: keyferry kit check {file}")
    session.out({"file": str(file), "key_id": found.key_id, "sealed": sealed})


@command("print", parent=kit, help="Write the recovery kit to standard output, to be printed.")
def kit_print(session: Session) -> None:
    """Print the waiting kit."""
    from vault.keys import print_kit

    with opened_by(session) as opened:
        text = print_kit(opened)
    if session.json:
        session.out({"page": text})
        return
    # The page must stay an age identity file in a pipe: the closing line is a comment of it.
    session.raw(text + "# When it is on paper: keyferry kit check, and type the key or its four lines.")


@command("check", parent=kit, help="Check a kit (file, '-' or typed), then erase it from the vault.")
@click.argument("file", type=_KIT_FILE, required=False)
def kit_check(session: Session, file: Path | None) -> None:
    """Check a kit."""
    from vault.keys import check_kit
    from vault.moment import now

    with opened_by(session) as opened:
        found = given_kit(session, file)
        check_kit(opened, found, now())
    session.done(f"the kit (key id {found.key_id}) opens this vault; it is no longer kept inside")
    session.out({"kit_checked": True, "key_id": found.key_id})


@command("new", parent=kit, help="Make a new kit; the old one opens nothing that is made from now on.")
@click.option("--kit", "old", type=_KIT_FILE, metavar="OLD|-", help="The old kit, if it is at hand: it signs as well.")
def kit_new(session: Session, old: Path | None) -> None:
    """Renew the kit."""
    from vault.keys import renew_kit
    from vault.kitcare import chain_of, ended_kits
    from vault.membership import read_chain
    from vault.moment import now

    with opened_by(session) as opened:
        found = renew_kit(opened, now(), old_kit=given_kit(session, old) if old else None)
        ended, told = ended_kits(opened.store), read_chain(chain_of(opened.store))
    confirmed = told.roots[-1].confirmed
    if not confirmed:
        alone = "there is no other device that could object"
        others = alone if len(told.members) == 1 else "your other devices show that for 7 days, then they take it over"
        session.say(f"made without the old kit: {others}")
    for number, one in enumerate(ended):
        session.say(_what_opens(one, one.until[:10] if number else "now"))
    session.done(f"made a new kit (key id {found.key_id}); next: keyferry kit save FILE, then keyferry kit check FILE")
    session.out(
        {
            "key_id": found.key_id,
            "signed_by_old_kit": confirmed,
            "old_kits": [{"key_id": one.key_id, "until": one.until, "kept": one.kept} for one in ended],
        }
    )


@command("unlock", help="Put the vault's key back with the recovery kit.")
@click.option("--kit", "kit_file", type=_KIT_FILE, required=True, metavar="FILE|-")
@click.option("--keyring", is_flag=True, help="Put the key into the OS keyring, wherever it was.")
@click.option("--key-file", type=_PATH, metavar="P", help="Put the key into this file instead.")
@click.option("--passphrase", is_flag=True, help="Wrap the key under a new passphrase instead.")
def unlock(session: Session, kit_file: Path, keyring: bool, key_file: Path | None, passphrase: bool) -> None:
    """Recover the vault's key."""
    _only_one(keyring, key_file, passphrase)
    given = new_passphrase(session) if passphrase else None
    from vault.keys import choose_holder, holder_of
    from vault.keys import unlock as put_back

    found = given_kit(session, kit_file)

    def choose(described: dict[str, str] | None) -> Holder:
        if keyring or key_file or given is not None or described is None:
            return choose_holder(session.home, key_file=key_file, passphrase=given)
        return holder_of(described, session.home, lambda: new_passphrase(session))

    holder = put_back(session.home, found, choose)
    _warn_beside(session, holder)
    session.done(f"the vault opens again; its key is in: {holder.title}")
    session.out({"home": str(session.home), "key_holder": holder.kind})


@click.group("key", help="Move the vault's key elsewhere, or make a new one.")
def key() -> None:
    """Hold the commands about the key."""


@command("move", parent=key, help="Keep the vault's key in another place.")
@click.option("--keyring", is_flag=True, help="The OS keyring.")
@click.option("--key-file", type=_PATH, metavar="P", help="A key file, made if it is not there.")
@click.option("--passphrase", is_flag=True, help="A passphrase, which is asked for; also to change it.")
def key_move(session: Session, keyring: bool, key_file: Path | None, passphrase: bool) -> None:
    """Move the key."""
    _only_one(keyring, key_file, passphrase, needed=True)
    from vault.keys import choose_holder, move_key

    with opened_by(session) as opened:
        given = new_passphrase(session) if passphrase else None
        holder = choose_holder(session.home, key_file=key_file, passphrase=given)
        left = move_key(opened, holder)
    if left:
        session.warn(f"{left} still holds the key: delete it, or make it useless with keyferry key rotate")
    _warn_beside(session, holder)
    session.done(f"moved the vault's key; it is in: {holder.title}")
    session.out({"key_holder": holder.kind, "left": left or None})


@command("rotate", parent=key, help="Encrypt the vault under a new key; the old one opens it no more.")
def key_rotate(session: Session) -> None:
    """Renew the key."""
    from vault.keys import rotate_key

    with opened_by(session) as opened:
        rotate_key(opened)
        title = opened.holder.title
    session.done(f"the vault has a new key, in: {title}; the recovery kit is the same")
    session.out({"key_holder": opened.holder.kind, "rotated": True})


@command("destroy", help="Delete the vault, its recovery file and its key.")
def destroy(session: Session) -> None:
    """Delete the vault."""
    from vault.keys import destroy as end
    from vault.keys import has_vault

    if has_vault(session.home) and not session.yes and not _typed_destroy(session):
        raise UsageError("the vault was not destroyed: nobody confirmed it", hint="keyferry destroy --yes")
    done = end(session.home)
    for left in done.left:
        session.warn(f"left where it is: {left}")
    session.done(f"destroyed the vault in {session.home}")
    session.out({"destroyed": str(session.home), "removed": done.removed, "left": done.left})


def _settings(session: Session) -> dict[str, str]:
    from vault.settings import read_settings

    return read_settings(session.home).holder


def _title(session: Session) -> str:
    from vault.keys import holder_of

    return holder_of(_settings(session), session.home, None).title


def _what_opens(ended: EndedKit, day: str) -> str:
    if ended.kept:
        return f"backups made until {day} open with the old kit (key id {ended.key_id}): keep it for them"
    return f"backups made until {day} were sealed to a kit nobody saved (key id {ended.key_id}): only devices open them"


def _only_one(keyring: bool, key_file: Path | None, passphrase: bool, *, needed: bool = False) -> None:
    count = int(keyring) + int(key_file is not None) + int(passphrase)
    if count > 1 or (needed and not count):
        raise UsageError("name one place for the key: --keyring, --key-file P or --passphrase")


def _typed_destroy(session: Session) -> bool:
    try:
        return session.ask(f"Type destroy to delete the vault in {session.home} for good").strip() == "destroy"
    except UsageError:
        return False


def _warn_beside(session: Session, holder: Holder) -> None:
    from vault.keyholders import KeyFileHolder

    if isinstance(holder, KeyFileHolder) and holder.is_beside_vault:
        session.warn("key file and vault are on the same file system: who takes that disk has both")


def _warn_synced(session: Session, path: Path) -> None:
    from vault.keys import is_synced

    if is_synced(path):
        session.warn(f"{path} seems to lie in a folder that a cloud service copies: move the kit elsewhere")
