"""The commands that change items: add, edit, rm, restore-item; and generate.

A secret never stands on the command line: ``--set`` refuses concealed fields, ``--set-file`` reads them from a file or
from standard input.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import msgspec

from vault import fields
from vault.commands.listing import name_of, opened, tell
from vault.errors import CannotRead, InvalidField, UsageError
from vault.fieldnames import CUSTOM, KINDS, locate, new_item
from vault.folders import place
from vault.generate import LENGTH, new_password
from vault.model import Item, kind_of
from vault.moment import Instant, now
from vault.screen import Session, command
from vault.store import Store

_FOLDER_NAMES = ("folder", "folders")
_KEPT_EXACTLY = "private_key"  # OpenSSH refuses a key without its last line break

_SET = click.option("--set", "texts", multiple=True, metavar="FIELD=VALUE", help="Set a field that is no secret.")
_SET_FILE = click.option(
    "--set-file", "files", multiple=True, metavar="FIELD=PATH", help="Set a field from a file; - is standard input."
)
_GENERATE = click.option("--generate", "make", is_flag=True, help="Set the password to a new random one.")


@command("add", epilog=f"Kinds: {', '.join(KINDS)}, {CUSTOM}TEMPLATE. Any other FIELD becomes a custom field.")
@click.argument("kind")
@click.option("--title", required=True, metavar="T")
@_SET
@_SET_FILE
@_GENERATE
def add(session: Session, kind: str, title: str, texts: tuple[str, ...], files: tuple[str, ...], make: bool) -> None:
    """Make a new item of KIND."""
    at = now()
    item = new_item(kind, _new_id(), title, at)
    given = _pairs(texts, "--set")
    _refuse_secrets(item, given)
    with changing(session) as store, store.transaction():
        item = _changed(store, item, given, _read(item, _pairs(files, "--set-file")), make, at)
        store.put(item, now=at)
        sentence = f"added {kind_of(item)} {name_of(item)} as {item.id}"
        tell(session, store, item, sentence + (f" with a new password of {LENGTH} characters" if make else ""))


@command("edit")
@click.argument("item")
@_SET
@_SET_FILE
@click.option("--unset", "gone", multiple=True, metavar="FIELD", help="Remove a field.")
@_GENERATE
def edit(
    session: Session,
    item: str,
    texts: tuple[str, ...],
    files: tuple[str, ...],
    gone: tuple[str, ...],
    make: bool,
) -> None:
    """Change an ITEM; old passwords stay in its history, the old version stays in the vault."""
    given, read = _pairs(texts, "--set"), _pairs(files, "--set-file")
    if not (given or read or gone or make):
        raise UsageError("nothing to change", hint="give --set, --set-file, --unset or --generate")
    with changing(session) as store:
        old = store.find(item)
        _refuse_secrets(old, given)
        values = _read(old, read)  # before the vault is locked for others: standard input may take its time
        with store.transaction():
            at = now()
            found = store.find(old.id)
            made = _changed(store, _without(found, gone, at), given, values, make, at)
            if made == found:
                tell(session, store, found, f"{name_of(found)} is as it was", changed=False)
                return
            made = msgspec.structs.replace(made, modified_at=at)
            store.put(made, now=at)
        tell(session, store, made, f"changed {name_of(made)}", changed=True)


@contextmanager
def changing(session: Session) -> Iterator[Store]:
    """Open the vault to be changed; where no agent does it, the backup that is due is made at the end."""
    from backup.archive import keep_up

    with opened(session, read_only=False) as store:
        yield store
        if store.changes and (trouble := keep_up(store, session.home)):
            session.warn(trouble)


def _new_id() -> str:
    """Return a new item id that cannot be taken for an option."""
    while (made := secrets.token_urlsafe(16)).startswith("-"):
        pass
    return made


def _pairs(options: Iterable[str], option: str) -> list[tuple[str, str]]:
    pairs = []
    for one in options:
        name, sign, value = one.partition("=")
        if not sign or not name.strip():
            raise UsageError(f"{option} takes FIELD={'PATH' if option == '--set-file' else 'VALUE'}")
        pairs.append((name.strip(), value))
    if sum(value == "-" for _, value in pairs) > 1 and option == "--set-file":
        raise UsageError("standard input can be read for one field only")
    return pairs


def _refuse_secrets(item: Item, given: list[tuple[str, str]]) -> None:
    for name, _ in given:
        if locate(item, name).concealed:
            raise InvalidField(
                f"{name} is concealed and cannot stand on a command line, where other programs see it",
                hint=f"--set-file {name}=PATH reads it from a file, --set-file {name}=- from standard input",
            )


def _read(item: Item, files: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the fields with the texts of their files, without the last line break."""
    return [(name, _text_of(path, exactly=locate(item, name).member == _KEPT_EXACTLY)) for name, path in files]


def _text_of(path: str, *, exactly: bool) -> str:
    shown = "standard input" if path == "-" else path
    try:
        data = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as error:
        raise CannotRead(f"cannot read {shown}: {(error.strerror or 'refused').lower()}") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidField(f"{shown} is not UTF-8 text") from None
    return text if exactly else text.removesuffix("\n").removesuffix("\r")


def _changed(
    store: Store,
    item: Item,
    given: list[tuple[str, str]],
    read: list[tuple[str, str]],
    make: bool,
    at: Instant,
) -> Item:
    """Return the item with all values set, its folders made where they are new."""
    folders = [text for name, text in (*given, *read) if name.lower() in _FOLDER_NAMES]
    if folders:
        item = msgspec.structs.replace(item, collections=_placed(store, folders, at))
    for name, texts in _grouped(given).items():
        item = fields.set_values(item, name, texts, at)
    for name, texts in _grouped(read).items():
        item = fields.set_values(item, name, texts, at, conceal=True)
    return fields.set_values(item, "password", [new_password()], at, conceal=True) if make else item


def _grouped(pairs: list[tuple[str, str]]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for name, text in pairs:
        if name.lower() not in _FOLDER_NAMES:
            grouped.setdefault(name, []).append(text)
    return grouped


def _placed(store: Store, folders: list[str], at: Instant) -> tuple[str, ...]:
    ids = []
    for text in folders:
        id_, made = place(store.collections(), text, _new_id, at)
        for collection in made:
            store.put_collection(collection)
        ids.append(id_)
    return tuple(dict.fromkeys(ids))


def _without(item: Item, gone: tuple[str, ...], at: Instant) -> Item:
    for name in gone:
        if name.lower() in _FOLDER_NAMES:
            item = msgspec.structs.replace(item, collections=())
        else:
            item = fields.unset(item, name, at)
    return item


@command("rm")
@click.argument("item")
@click.option("--purge", is_flag=True, help="Remove it for good, with its past and its files.")
def rm(session: Session, item: str, purge: bool) -> None:
    """Put an ITEM into the trash, or remove it for good."""
    with changing(session) as store:
        at = now()
        found = store.find(item)
        if purge:
            store.purge(found.id)
            tell(session, store, found, f"removed {name_of(found)} for good", purged=True)
        elif found.trashed:
            tell(session, store, found, f"{name_of(found)} is in the trash already", purged=False)
        else:
            made = msgspec.structs.replace(found, trashed=True, trashed_at=at)
            store.put(made, now=at)
            sentence = f"{name_of(found)} is in the trash; keyferry restore-item {found.id} takes it out"
            tell(session, store, made, sentence, purged=False)


@command("restore-item")
@click.argument("item")
def restore_item(session: Session, item: str) -> None:
    """Take an ITEM out of the trash."""
    with changing(session) as store:
        found = store.find(item, trashed=True)
        if not found.trashed:
            tell(session, store, found, f"{name_of(found)} is not in the trash")
            return
        made = msgspec.structs.replace(found, trashed=False, trashed_at=None)
        store.put(made, now=now())
        tell(session, store, made, f"took {name_of(found)} out of the trash")


@command("generate")
@click.option("--length", type=int, default=LENGTH, show_default=True, metavar="N", help="Number of characters.")
def generate(session: Session, length: int) -> None:
    """Make a password with letters of both cases, digits and symbols."""
    password = new_password(length)
    if session.json:
        session.out({"password": password})
    else:
        session.raw(password)
