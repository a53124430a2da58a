"""Bringing a set back: as a new vault, into the one that is here, or one item of it.

Two passes over the file: the first reads all of it and believes nothing, only the second puts anything anywhere, inside
one transaction that ends when the file has proven to be the same and whole. Plaintext never touches a disk.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from backup import book as books
from backup import payload, reading
from backup.book import Book
from backup.care import Contents
from backup.payload import Manifest, Part
from backup.reading import Opened, Opener
from vault import canonical, keys, moment
from vault.errors import (
    AmbiguousItem,
    DamagedBackup,
    DamagedVault,
    ForeignBackup,
    InvalidField,
    KeyferryError,
    NoSuchItem,
)
from vault.files import make_private_folder, write_errors
from vault.model import Collection, Item, Vault
from vault.moment import Instant
from vault.store import DocumentWriter, Run, Store
from vault.views import display_title

FORMAT = "keyferry_backup"
MERGE, REPLACE, NEW = "merge", "replace", "new"


class Change(msgspec.Struct, frozen=True):
    """What a restore does, or would do, to one item of the vault that is here."""

    id: str
    title: str
    what: str  # added, brought back, kept as a past version, removed


class Restored(msgspec.Struct, frozen=True):
    """What a restore did."""

    items: int
    changes: tuple[Change, ...] = ()
    run: str = ""


def into_new(
    home: Path,
    path: Path,
    opener: Opener,
    proven: Opened,
    *,
    kit: keys.Kit | None,
    holder: keys.Holder | None,
    clock: Callable[[], Instant] = moment.now,
) -> tuple[Store, Restored]:
    """Make a vault of a set that ``reading.check`` found whole, and return it open.

    With the vault's ``kit`` it is the same vault on a new device; without, its content in a vault of its own. Raises
    what ``vault.keys.init_vault`` and ``reading.check`` raise; then there is no vault.
    """
    manifest = proven.manifest
    now = clock()

    def fill(store: Store) -> None:
        contents = _Loading(store)
        _again(path, opener, proven, contents)
        with _built_as_ours(DamagedVault, InvalidField):
            store.fill(contents.vault(), contents.history)
        if kit is not None and manifest.recipients:
            escrow = tuple(one for one in manifest.recipients if one.kind == "escrow")
            books.change(store, home, lambda book: msgspec.structs.replace(book, recipients=escrow))

    if kit is not None:
        store = keys.rejoin_vault(home, kit, proven.signed.chain, fill, name=manifest.name, now=now, holder=holder)
    else:
        origin = {"vault": manifest.vault, "set": manifest.set, "made_at": manifest.made_at}
        store = keys.adopt_vault(home, fill, name=manifest.name, origin=origin, now=now, holder=holder)
    return store, Restored(manifest.counts.items)


def set_aside(home: Path, now: Instant) -> Path:
    """Move what is left of a vault that cannot be opened into a folder beside it; nothing is deleted."""
    aside = home / f"unusable-{now.replace(':', '').replace('-', '')}-{secrets.token_hex(2)}"
    make_private_folder(aside)
    names = (
        "vault.db",
        "vault.db-wal",
        "vault.db-shm",
        "vault.json",
        "vault.recovery.age",
        "vault.key",
        "vault.anchor",
    )
    with write_errors(home):
        for name in names:
            if os.path.lexists(home / name):
                os.rename(home / name, aside / name)
    return aside


def put_back(home: Path, aside: Path) -> None:
    """Move what ``set_aside`` moved back to its place, because no vault took it."""
    with write_errors(home):
        for path in aside.iterdir():
            if not os.path.lexists(home / path.name):
                os.rename(path, home / path.name)
        if not any(aside.iterdir()):
            aside.rmdir()


def changes(store: Store, found: Vault, mode: str) -> tuple[Change, ...]:
    """Return what restoring this vault would do to each item; items that stay as they are are left out."""
    present = {item.id: item for item in store.items()}
    found_changes = (_change(store, present.pop(item.id, None), item, mode) for item in found.items)
    done = [change for change in found_changes if change is not None]
    if mode == REPLACE:
        done += [Change(item.id, display_title(item), "removed") for item in present.values()]
    return tuple(done)


def _change(store: Store, present: Item | None, item: Item, mode: str) -> Change | None:
    if present is None:
        return Change(item.id, display_title(item), "added")
    if present == item:
        return None
    if mode == REPLACE or _is_newer(item, present):
        return Change(item.id, display_title(item), "brought back")
    row = canonical.encode(item)
    if any(body == row for _, body in store.past(item.id)):
        return None
    return Change(item.id, display_title(item), "kept as a past version")


def into_present(
    store: Store,
    home: Path,
    path: Path,
    opener: Opener,
    proven: Opened,
    mode: str,
    *,
    wanted: str | None = None,
    clock: Callable[[], Instant] = moment.now,
) -> Restored:
    """Merge a set into the open vault, make the vault what the set holds, or bring back the one item ``wanted``.

    All is one run, which ``undo`` takes back. Nothing is lost: an item that is replaced stays as a past version, and
    of two that differ the one changed later is the present one. Raises ``ForeignBackup``, ``NoSuchItem``,
    ``AmbiguousItem``, and as ``reading.check``.
    """
    if proven.manifest.vault != store.vault_id:
        raise ForeignBackup(
            "the backup belongs to another vault", hint="restore it beside this one: keyferry restore --home OTHER"
        )
    now = clock()
    run = secrets.token_hex(4)
    options = {"mode": mode, "set": proven.manifest.set}
    with ExitStack() as stack:
        stack.enter_context(store.transaction())
        store.begin_run(Run(run, FORMAT, path.name, proven.digest, now, options))
        stack.enter_context(store.recording(run))
        contents = _Loading(store)
        _again(path, opener, proven, contents)
        found = contents.vault()
        with _built_as_ours(InvalidField):
            if wanted is not None:
                done = _one(store, found, find(found, wanted), now)
            else:
                done = changes(store, found, mode)
                _write(store, found, done, now, mode)
        contents.drop_unused()
        kit = next((one.key for one in proven.manifest.recipients if one.kind == "kit"), None)
        if wanted is None and kit is not None:
            keys.catch_up(store, proven.signed.chain, kit)
            books.change(store, home, lambda book: _counted(book, store, proven.manifest))
        counts = {"new": 0, "same": len(found.items) - len(done), "changed": 0, "conflict": 0, "quarantined": 0}
        for change in done:
            counts["new" if change.what == "added" else "changed"] += 1
        store.end_run(run, {"items": counts})
    return Restored(len(found.items), done, run)


def _counted(book: Book, store: Store, manifest: Manifest) -> Book:
    """Return the book of a vault that may have been put back, so that no counter of its device comes again."""
    if manifest.device != keys.own_device(store).device_id:
        return book
    return msgspec.structs.replace(book, counter=max(book.counter, manifest.counter))


def find(vault: Vault, text: str) -> Item:
    """Return the item a person means, by id, its beginning or its title; raises ``NoSuchItem``, ``AmbiguousItem``."""
    found = [item for item in vault.items if item.id == text]
    found = found or [item for item in vault.items if display_title(item) == text]
    found = found or [item for item in vault.items if len(text) >= 4 and item.id.startswith(text)]
    if not found:
        raise NoSuchItem(f"no item in the backup is called {text!r}", hint="restore --dry-run shows what it holds")
    if len(found) > 1:
        ids = ", ".join(item.id for item in found[:10])
        raise AmbiguousItem(f"{len(found)} items in the backup are called {text!r}", hint=f"name one by its id: {ids}")
    return found[0]


def _again(path: Path, opener: Opener, proven: Opened, contents: Contents) -> None:
    """Read the set for the second time; it must be the file that was read for the first."""
    if reading.check(path, opener, contents).digest != proven.digest:
        raise DamagedBackup("the backup was exchanged while it was read", hint="take a copy nobody else can write")


@contextmanager
def _built_as_ours(*refusals: type[KeyferryError]) -> Iterator[None]:
    """Say of a set that a vault refuses like this, though its device has signed it, that it is damaged."""
    try:
        yield
    except refusals:
        raise DamagedBackup("the vault in the backup is not built as Keyferry builds it") from None


def _one(store: Store, found: Vault, item: Item, now: Instant) -> tuple[Change, ...]:
    """Bring one item back, with the folders it is in if they are gone."""
    present = store.item(item.id)
    if present == item:
        return ()
    store.put(item, now=now)
    here, there = {one.id for one in store.collections()}, {one.id: one for one in found.collections}
    todo = list(item.collections)
    while todo:
        folder = there.get(todo.pop())
        if folder is not None and folder.id not in here:
            store.put_collection(folder)
            here.add(folder.id)
            todo += [folder.parent] if folder.parent is not None else []
    return (Change(item.id, display_title(item), "added" if present is None else "brought back"),)


def _write(store: Store, found: Vault, done: Sequence[Change], now: Instant, mode: str) -> None:
    what = {change.id: change.what for change in done}
    store.put_many((item for item in found.items if what.get(item.id) in ("added", "brought back")), now)
    for item in found.items:
        if what.get(item.id) == "kept as a past version":
            store.keep_past(item.id, canonical.encode(item), now)
    for id_, kind in what.items():
        if kind == "removed":
            store.purge(id_)
    _write_around(store, found, mode)


def _write_around(store: Store, found: Vault, mode: str) -> None:
    present = {collection.id: collection for collection in store.collections()}
    for collection in found.collections:
        if mode == REPLACE or collection.id not in present:
            store.put_collection(collection)
    if mode == REPLACE:
        for gone in _without(present.values(), found.collections):
            store.remove_collection(gone)
        for format_ in store.extras().keys() - found.extras.keys():
            store.set_extras(format_, {})
    kept = store.extras()
    for format_, extras in found.extras.items():
        if mode == REPLACE or format_ not in kept:
            store.set_extras(format_, extras)


def _without(present: Iterable[Collection], left: Iterable[Collection]) -> list[str]:
    staying = {collection.id for collection in left}
    return [collection.id for collection in present if collection.id not in staying]


def _is_newer(item: Item, present: Item) -> bool:
    if item.modified_at is None or not moment.is_instant(item.modified_at):
        return False
    if present.modified_at is None or not moment.is_instant(present.modified_at):
        return True
    return moment.to_datetime(item.modified_at) > moment.to_datetime(present.modified_at)


class _Loading(Contents):
    """A receiver that puts documents into the open transaction as they come, and keeps the rest in memory."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self._store = store
        self._pieces_of_document: list[bytes] = []
        self._large: DocumentWriter | None = None
        self._fresh: list[str] = []

    def part(self, part: Part) -> Callable[[bytes], object]:
        if not part.name.startswith(payload.DOCUMENTS):
            return super().part(part)
        name = payload.name_in_vault(part)
        self._fresh += [] if self._store.has_document(name) else [name]
        if part.size > payload.WHOLE:
            self._large = self._store.document_writer(name, part.size)
            return self._large.write
        self._pieces_of_document = []
        return self._pieces_of_document.append

    def end(self, part: Part) -> None:
        if self._large is not None:
            self._large.finish()
            self._large = None
        elif part.name.startswith(payload.DOCUMENTS):
            self._store.put_document(b"".join(self._pieces_of_document))
            self._pieces_of_document = []

    def drop_unused(self) -> None:
        """Remove those of the new documents that nothing in the vault refers to."""
        for name in self._store.unreferenced(self._fresh):
            self._store.remove_document(name)


def facts(manifest: Manifest) -> tuple[tuple[str, str], ...]:
    """Return what is shown of a set before anything is written."""
    return (
        ("vault", f"{manifest.name} ({manifest.vault})"),
        ("set", manifest.set),
        ("made at", manifest.made_at),
        ("made by", f"{manifest.device_name} ({manifest.device})"),
        ("number", f"{manifest.counter} of that device"),
        ("devices", f"as of change {manifest.height}, {manifest.membership[:16]}"),
        ("items", f"{manifest.counts.items:,}"),
        ("attachments", f"{manifest.counts.documents:,}"),
    )
