"""Commands about the vault's key and kit: init, kit, unlock, key, destroy."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vault.commands.state import opened_by
from vault.errors import UsageError, WrongKit
from vault.screen import Session, command

if TYPE_CHECKING:
    from vault.keys import Holder
    from vault.kit import Kit

_PATH = click.Path(path_type=Path)
_KIT_LINES = 400


@command("init", help="Make a new vault; its key goes into the OS keyring unless another place is named.")
@click.option("--key-file", type=_PATH, metavar="P", help="Keep the key in this file, made if it is not there.")
@click.option("--passphrase", is_flag=True, help="Wrap the key under a passphrase, which is asked for.")
@click.option("--kit", type=_PATH, metavar="FILE", help="Save the recovery kit there.")
@click.option("--no-kit", is_flag=True, help="Make no recovery kit: a lost key is then a lost vault.")
def init(session: Session, key_file: Path | None, passphrase: bool, kit: Path | None, no_kit: bool) -> None:
    """Make a new vault."""
    given = _new_passphrase(session) if passphrase else None
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
def kit_save(session: Session, file: Path) -> None:
    """Save the waiting kit."""
    from vault.keys import save_kit

    with opened_by(session) as opened:
        found = save_kit(opened, file)
    _warn_synced(session, file)
    session.done(f"saved the kit (key id {found.key_id}) to {file}; next: keyferry kit check {file}")
    session.out({"file": str(file), "key_id": found.key_id})


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
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True), required=False)
def kit_check(session: Session, file: Path | None) -> None:
    """Check a kit."""
    from vault.keys import check_kit
    from vault.moment import now

    with opened_by(session) as opened:
        found = check_kit(opened, _kit_text(session, file), now())
    session.done(f"the kit (key id {found.key_id}) opens this vault; it is no longer kept inside")
    session.out({"kit_checked": True, "key_id": found.key_id})


@command("new", parent=kit, help="Make a new kit; the old one opens nothing that is made from now on.")
def kit_new(session: Session) -> None:
    """Renew the kit."""
    from vault.keys import renew_kit
    from vault.moment import now

    with opened_by(session) as opened:
        found = renew_kit(opened, now())
    session.say("keep the old kit for backups made until now")
    session.done(f"made a new kit (key id {found.key_id}); next: keyferry kit save FILE, then keyferry kit check FILE")
    session.out({"key_id": found.key_id})


@command("unlock", help="Put the vault's key back with the recovery kit.")
@click.option("--kit", "kit_file", type=click.Path(path_type=Path, allow_dash=True), required=True, metavar="FILE|-")
@click.option("--keyring", is_flag=True, help="Put the key into the OS keyring, wherever it was.")
@click.option("--key-file", type=_PATH, metavar="P", help="Put the key into this file instead.")
@click.option("--passphrase", is_flag=True, help="Wrap the key under a new passphrase instead.")
def unlock(session: Session, kit_file: Path, keyring: bool, key_file: Path | None, passphrase: bool) -> None:
    """Recover the vault's key."""
    _only_one(keyring, key_file, passphrase)
    given = _new_passphrase(session) if passphrase else None
    from vault.keys import choose_holder, holder_of
    from vault.keys import unlock as put_back
    from vault.kit import parse

    found = parse(_kit_text(session, kit_file))

    def choose(described: dict[str, str] | None) -> Holder:
        if keyring or key_file or given is not None or described is None:
            return choose_holder(session.home, key_file=key_file, passphrase=given)
        return holder_of(described, session.home, lambda: _new_passphrase(session))

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
        given = _new_passphrase(session) if passphrase else None
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


def _new_passphrase(session: Session) -> str:
    """Ask for a new passphrase, on a terminal twice."""
    first = session.secret("New passphrase")
    if not first:
        raise UsageError("the passphrase is empty")
    if sys.stdin is not None and sys.stdin.isatty() and session.secret("The same again") != first:
        raise UsageError("the two passphrases differ")
    return first


def _kit_text(session: Session, source: Path | None) -> str:
    """Return a kit's text from a file, a pipe or what is typed; spaces, case, BOM and line ends do not matter."""
    if source is None or str(source) == "-":
        return _typed_kit(session)
    from vault.files import read_file

    data = read_file(source)
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    return data.decode(encoding, "replace")


def _typed_kit(session: Session) -> str:
    """Read lines until they make a kit; on a terminal an empty line ends them as well."""
    typing = sys.stdin is not None and sys.stdin.isatty()
    if typing:
        session.say("Type the key that begins with AGE-SECRET-KEY-1, or the four numbered lines; an empty line ends.")
    lines: list[str] = []
    while len(lines) < _KIT_LINES:
        try:
            line = session.ask("kit") if typing else session.secret("kit")
        except UsageError:
            break
        if typing and not line.strip():
            break
        lines.append(line)
        if _is_kit("\n".join(lines)):
            break
    return "\n".join(lines)


def _is_kit(text: str) -> Kit | None:
    from vault.kit import parse

    try:
        return parse(text)
    except WrongKit:
        return None


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
