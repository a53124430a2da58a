"""restore: a vault, or one item of it, back from a backup."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from backup.commands.shared import PATH, counted, open_vault, shown_size
from vault.errors import KeyferryError, UsageError, VaultExists
from vault.screen import Session, command

if TYPE_CHECKING:
    from backup.choosing import Chosen
    from backup.reading import Opened, Opener
    from backup.restoring import Change
    from backup.trust import Survey
    from vault.keys import Holder, Kit
    from vault.store import Store


class Choice(NamedTuple):
    """The set that was chosen, read whole, and what is to be said about it."""

    path: Path
    opener: Opener
    proven: Opened
    survey: Survey
    verified: bool


@command("restore", help="Bring a backup back: onto a new device with the kit, or into the vault that is here.")
@click.argument("source", required=False, metavar="[FILE|SET|DIR]")
@click.option("--kit", type=click.Path(path_type=Path, allow_dash=True), metavar="FILE|-", help="The recovery kit.")
@click.option("--root-key", metavar="K", help="Trust this root key (kfroot1...), for the owner of another age key.")
@click.option("--into", type=click.Choice(["new", "merge", "replace"]), help="A new vault, or the one that is here.")
@click.option("--item", metavar="ITEM", help="Only this item.")
@click.option("--key-file", type=PATH, metavar="P", help="Keep the new vault's key in this file.")
@click.option("--passphrase", is_flag=True, help="Wrap the new vault's key under a passphrase, which is asked for.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
def restore(
    session: Session,
    source: str | None,
    kit: Path | None,
    root_key: str | None,
    into: str | None,
    item: str | None,
    key_file: Path | None,
    passphrase: bool,
    dry_run: bool,
) -> None:
    """Restore a backup."""
    from vault.keys import choose_holder, has_vault

    given = _new_passphrase(session) if passphrase else None
    holder = choose_holder(session.home, key_file=key_file, passphrase=given) if key_file or passphrase else None
    here = has_vault(session.home)
    mode = into or ("merge" if here else "new")
    if mode != "new" and not here:
        raise UsageError(f"there is no vault in {session.home} to restore into", hint="leave --into out, or --into new")
    if mode == "new" and item is not None:
        raise UsageError("--item needs a vault to bring it into", hint="--into merge, in a home that has a vault")
    if mode != "new" and holder is not None:
        raise UsageError("--key-file and --passphrase are for a new vault")
    if mode == "new":
        _new(session, source, kit, root_key, into, holder, dry_run)
    else:
        _present(session, source, kit, root_key, mode, item, dry_run)


def _new(
    session: Session,
    source: str | None,
    kit_file: Path | None,
    root_key: str | None,
    into: str | None,
    holder: Holder | None,
    dry_run: bool,
) -> None:
    """Make a new vault of a set."""
    from backup import restoring
    from vault.moment import now

    if source is None:
        raise UsageError("name the backup: a file, or the folder that it is in", hint="keyferry restore FILE --kit KIT")
    if kit_file is None:
        raise UsageError(
            "a new device opens a backup with the recovery kit", hint=f"keyferry restore {source} --kit FILE"
        )
    unusable = _unusable(session)
    kit = _kit(session, kit_file)
    choice = _chosen(session, source, _openers(kit, kit_file, root_key, into), None)
    own = kit if _is_vaults_kit(choice, kit) else None
    _show(session, choice, own is None)
    if dry_run:
        session.done(
            f"would make a vault in {session.home} with {counted(choice.proven.manifest.counts.items, 'item')}"
        )
        session.out(_json(choice, "new", (), dry_run=True))
        return
    aside = restoring.set_aside(session.home, now()) if unusable else None
    count = choice.proven.manifest.counts.items
    try:
        with session.progress(f"restoring {counted(count, 'item')}"):
            store, _ = restoring.into_new(
                session.home, choice.path, choice.opener, choice.proven, kit=own, holder=holder
            )
    except BaseException:
        if aside is not None:
            restoring.put_back(session.home, aside)
        raise
    if aside is not None:
        session.warn(f"the vault that could not be opened is now in {aside}")
    with store:
        kept = store.count()
    if own is None:
        session.say("it is a vault of its own, with a new recovery kit: keyferry kit save FILE")
    else:
        session.say("this is a new device of the vault; revoke the lost one when devices are synced")
    session.done(f"restored {counted(kept, 'item')} into {session.home}, made at {choice.proven.manifest.made_at}")
    session.out(_json(choice, "new", (), dry_run=False))


def _present(
    session: Session,
    source: str | None,
    kit_file: Path | None,
    root_key: str | None,
    mode: str,
    item: str | None,
    dry_run: bool,
) -> None:
    """Bring a set, or one item of it, into the vault that is here."""
    from backup import restoring
    from vault import keys
    from vault.moment import now

    kit = _kit(session, kit_file) if kit_file is not None else None
    with _opened(session, dry_run) as opened:
        store = opened.store
        older = keys.is_older(store, opened.holder)
        choice = _chosen(session, source, [_own_opener(store, kit, root_key)], store)
        _show(session, choice, False)
        found, changes = _foreseen(store, choice, mode, item)
        if dry_run:
            _show_changes(session, changes)
            session.done(f"would change {counted(len(changes), 'item')} of {store.count():,}; nothing was done")
            session.out(_json(choice, mode, changes, dry_run=True))
            return
        _keep_a_copy(session, store, older)
        with session.progress(f"restoring {counted(found, 'item')}"):
            done = restoring.into_present(
                store, session.home, choice.path, choice.opener, choice.proven, mode, wanted=item
            )
        if older and item is None:
            keys.accept_older(store, opened.holder, now())
        total = store.count()
    _show_changes(session, done.changes)
    back = f"; keyferry undo {done.run} takes it back" if done.changes else ""
    session.done(f"restored: {_counts(done.changes)}, {total:,} items in the vault{back}")
    session.out({**_json(choice, mode, done.changes, dry_run=False), "run": done.run})


def _keep_a_copy(session: Session, store: Store, older: bool) -> None:
    """Make a backup of the vault as it is; of one that was put back, beside it: it must not pass for the newest set."""
    from backup import archive, making
    from backup.targets import set_name
    from vault.moment import now

    if not older:
        archive.before_change(store, session.home)
    elif store.count():
        path = session.home / f"older-{set_name(now(), secrets.token_hex(4))}"
        making.create(store, session.home, to=path)
        session.say(f"the vault as it is now is kept in {path}")


def _opened(session: Session, dry_run: bool) -> Any:
    from vault.keys import open_keys

    return open_keys(
        session.home,
        read_only=dry_run,
        passphrase=lambda: session.secret("Passphrase"),
        warn=session.warn,
        accept_older=True,
    )


def _foreseen(store: Store, choice: Choice, mode: str, item: str | None) -> tuple[int, tuple[Change, ...]]:
    from backup import comparing, restoring
    from vault.errors import ForeignBackup

    if choice.proven.manifest.vault != store.vault_id:
        raise ForeignBackup("the backup belongs to another vault", hint="restore it beside this one: --home OTHER")
    found = comparing.of_set(choice.path, choice.opener)
    if item is None:
        return len(found.items), restoring.changes(store, found, mode)
    wanted = restoring.find(found, item)
    one = type(found)(items=(wanted,))
    return 1, restoring.changes(store, one, "merge")


def _unusable(session: Session) -> bool:
    """Tell whether there is a vault that cannot be opened; raises ``VaultExists`` for one that can."""
    from vault.errors import DamagedVault, KeyMissing, NoVault, WrongKey
    from vault.keys import has_vault

    if not has_vault(session.home):
        return False
    try:
        with open_vault(session, read_only=True) as store:
            sound = store.is_sound()
    except (DamagedVault, KeyMissing, NoVault, WrongKey):
        return True
    if not sound:
        return True
    raise VaultExists(
        f"there is a vault in {session.home} already",
        hint="--into merge or --into replace; or another home: --home DIR",
    )


def _kit(session: Session, kit_file: Path) -> Kit:
    from vault.asking import given_kit

    return given_kit(session, kit_file)


def _openers(kit: Kit, kit_file: Path | None, root_key: str | None, into: str | None) -> list[Opener]:
    """Return what to open sets with: the kit as the vault's own; an age key of somebody else with ``--root-key``.

    A bare age key without a root key is tried last, only with ``--into new``, and proves nothing.
    """
    from backup.reading import Opener
    from vault.keys import root_public

    if root_key is not None:
        return [Opener((kit.identity,), (root_public(root_key),))]
    found = [Opener((kit.identity,), kit.root_publics)]
    if into == "new" and kit_file is not None and str(kit_file) != "-" and not _is_page(kit_file):
        found.append(Opener((kit.identity,), None))
    return found


def _own_opener(store: Store, kit: Kit | None, root_key: str | None) -> Opener:
    """Return what opens and proves sets of the vault that is here: its device, and the kit for what is older.

    Whatever roots are trusted, the chain of a set must belong to the one this vault has.
    """
    from backup import making
    from backup.reading import Opener
    from vault.keys import root_public

    own = making.own_opener(store)
    identities = own.identities if kit is None else (*own.identities, kit.identity)
    roots = own.roots or ()
    if root_key is not None:
        roots = (*roots, root_public(root_key))
    elif kit is not None:
        roots = (*roots, *kit.root_publics)
    return Opener(identities, roots, own.chain, own.own)


def _is_page(path: Path) -> bool:
    """Tell whether the file is a page that Keyferry wrote: then it is a vault's kit and nothing else."""
    from vault.files import read_file

    return b"Keyferry" in read_file(path) or b"kfroot1" in read_file(path)


def _is_vaults_kit(choice: Choice, kit: Kit) -> bool:
    return choice.opener.roots == kit.root_publics


def _chosen(session: Session, source: str | None, openers: list[Opener], store: Store | None) -> Choice:
    """Find the set, look at everything in its folder, and read all of it once."""
    from backup import choosing

    opener, found = _opened_by_first(openers, lambda one: choosing.choose(source, one, store, session.home))
    for warning in found.warnings:
        session.warn(warning)
    with session.progress("reading the backup", None):
        proven, path = choosing.prove(found, opener, session.warn)
    return Choice(path, opener, proven, found.survey, opener.roots is not None)


def _opened_by_first(openers: list[Opener], choose: Callable[[Opener], Chosen]) -> tuple[Opener, Chosen]:
    """Return the first opener that finds a set, and what it finds; raises what the first one raised."""
    first, *others = openers
    try:
        return first, choose(first)
    except KeyferryError:
        for other in others:
            with contextlib.suppress(KeyferryError):
                return other, choose(other)
        raise


def _show(session: Session, choice: Choice, foreign: bool) -> None:
    from backup import restoring, trust
    from vault.moment import now

    rows = [
        ("file", str(choice.path)),
        *restoring.facts(choice.proven.manifest),
        ("size", shown_size(choice.proven.size)),
    ]
    session.table(("what", "value"), rows)
    for doubt in trust.doubts(choice.proven, choice.survey, now()):
        session.warn(doubt)
    if not choice.verified:
        session.warn("unverified: without the root key nobody can tell who made this backup")
    elif foreign:
        session.say("its signature holds under the root key that was given")


def _show_changes(session: Session, changes: tuple[Change, ...]) -> None:
    session.table(("item", "title", "what happens"), [(one.id, one.title, one.what) for one in changes[:1000]])


def _counts(changes: tuple[Change, ...]) -> str:
    kinds = ("added", "brought back", "kept as a past version", "removed")
    counted_ = [(sum(one.what == kind for one in changes), kind) for kind in kinds]
    return ", ".join(f"{count:,} {kind}" for count, kind in counted_ if count) or "nothing differed"


def _json(choice: Choice, mode: str, changes: tuple[Change, ...], *, dry_run: bool) -> dict[str, Any]:
    manifest = choice.proven.manifest
    return {
        "set": manifest.set,
        "path": str(choice.path),
        "made_at": manifest.made_at,
        "items": manifest.counts.items,
        "device": manifest.device,
        "counter": manifest.counter,
        "membership": manifest.membership,
        "into": mode,
        "verified": choice.verified,
        "dry_run": dry_run,
        "changes": changes,
    }


def _new_passphrase(session: Session) -> str:
    from vault.asking import new_passphrase

    return new_passphrase(session)
