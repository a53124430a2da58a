"""The commands that look at items: list, search, show, otp, folders. Those that change them are in ``changes``."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import click
import msgspec

from vault import fields
from vault import otp as codes
from vault.commands.changes import add, edit, generate, restore_item, rm
from vault.commands.listing import MASK, Listed, listed, name_of, opened, show_list
from vault.errors import InvalidField, NoCode
from vault.folders import named, path_texts
from vault.model import KINDS, Item, Totp, find_all, kind_of, state_of
from vault.moment import now
from vault.screen import Session, command
from vault.store import Store
from vault.views import Row, display_title, rows

__all__ = ["add", "edit", "folders", "generate", "list_", "otp", "restore_item", "rm", "search", "show"]

_KIND_WORDS = [*(word for word, _ in KINDS), "custom"]


@command("list")
@click.argument("words", nargs=-1)
@click.option("--folder", metavar="F", help="Only items in this folder and those below it; a title or a path.")
@click.option("--tag", metavar="T", help="Only items with this tag.")
@click.option("--kind", type=click.Choice(_KIND_WORDS), help="Only items of this kind.")
@click.option("--state", type=click.Choice(["active", "archived", "trashed"]), help="Only items in this state.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most this many.")
def list_(
    session: Session,
    words: tuple[str, ...],
    folder: str | None,
    tag: str | None,
    kind: str | None,
    state: str | None,
    limit: int | None,
) -> None:
    """List items by title, by folder, tag, kind or state; WORDS as in search."""
    with opened(session) as store:
        collections = store.collections()
        inside = named(collections, folder) if folder is not None else None
        items = _found(store, words) if words else store.items(state=state)
        kept = (
            item
            for item in items
            if (inside is None or not inside.isdisjoint(item.collections))
            and (tag is None or tag in item.tags)
            and (kind is None or kind_of(item) == kind)
            and (state is None or state_of(item) == state)
        )
        lines = sorted(listed(kept, collections), key=lambda line: line.title.casefold())
        show_list(session, lines[:limit], of=len(lines))


@command("search")
@click.argument("words", nargs=-1, required=True)
def search(session: Session, words: tuple[str, ...]) -> None:
    """Find items in which all WORDS occur: in titles, user names, addresses, tags and notes, never in secrets."""
    with opened(session) as store:
        show_list(session, listed(_found(store, words), store.collections()))


def _found(store: Store, words: Iterable[str]) -> Iterator[Item]:
    items = map(store.item, store.search(words))
    return (item for item in items if item is not None)


@command("show")
@click.argument("item")
@click.option("--reveal", is_flag=True, help="Show secrets too.")
@click.option("--field", "name", metavar="NAME", help="Write only the value of this field, secret or not.")
def show(session: Session, item: str, reveal: bool, name: str | None) -> None:
    """Show one ITEM: an id, the unique beginning of an id, or an exact title."""
    with opened(session) as store:
        found = store.find(item)
        line = listed((found,), store.collections())[0]
    if name is not None:
        value = _field_value(found, line, name)
        if session.json:
            session.out({"field": name, "value": value})
        else:
            session.raw(value)
    elif session.json:
        session.out(_shown_json(found, line, reveal))
    else:
        _show(session, found, line, reveal)


def _field_value(item: Item, line: Listed, name: str) -> str:
    word = name.strip().casefold()
    if word in ("id", "folder"):
        return item.id if word == "id" else ", ".join(line.folders)
    value = fields.value_of(item, name)
    if value is not None:
        return value
    for row in rows(item):
        if word in (row.name.casefold(), row.label.casefold()):
            return row.field.text
    names = dict.fromkeys(row.name for row in rows(item) if row.name)
    raise InvalidField(f"the item has no field {name!r}", hint=f"it has: {', '.join(['title', *names])}")


def _shown_json(item: Item, line: Listed, reveal: bool) -> dict[str, Any]:
    return {
        "id": item.id,
        "title": line.title,
        "kind": line.kind,
        "collections": list(line.folders),
        "state": state_of(item),
        "tags": list(item.tags),
        "favorite": item.favorite,
        "template": item.template,
        "created_at": item.creation_at,
        "modified_at": item.modified_at,
        "fields": [
            {
                "name": row.name,
                "label": row.label,
                "section": row.section,
                "value": MASK if row.concealed and not reveal else row.field.text,
                "concealed": row.concealed,
            }
            for row in rows(item)
        ],
    }


def _show(session: Session, item: Item, line: Listed, reveal: bool) -> None:
    cells = [("Kind", line.kind), ("Folder", ", ".join(line.folders)), ("Tags", ", ".join(item.tags))]
    cells += [("State", state_of(item)), ("Favorite", "yes" if item.favorite else "")]
    found = rows(item)
    cells += [(_row_label(row), _row_text(row, reveal)) for row in found]
    cells = [(label, text) for label, text in cells if text]
    session.table(("Field", "Value"), [split for cell in cells for split in _split(*cell)], title=display_title(item))
    masked = 0 if reveal else sum(row.concealed and bool(row.field.text) for row in found)
    session.done(f"{item.id}" + (f": {masked} masked, --reveal shows them" if masked else ""))


def _row_text(row: Row, reveal: bool) -> str:
    """Return a value as it is shown; a link and a box that is not ticked say something without one.

    Other empty fields are left out: templates have dozens.
    """
    if not row.field.text:
        return "(linked)" if row.field.link else "(empty)" if row.field.field_type == "boolean" else ""
    return MASK if row.concealed and not reveal else row.field.text


def _row_label(row: Row) -> str:
    if not row.section:
        return row.label
    return f"{row.label} ({row.section})" if row.name in ("url", "history") else f"{row.section}: {row.label}"


def _split(label: str, text: str) -> Iterator[tuple[str, str]]:
    """Yield a cell for each line of the text, so that notes can be read."""
    for n, one in enumerate(text.replace("\r\n", "\n").split("\n")):
        yield ("" if n else label), one


@command("otp")
@click.argument("item")
@click.option("--next", "count", is_flag=True, help="Count a counter-based code one further first.")
def otp(session: Session, item: str, count: bool) -> None:
    """Show the one-time code of an ITEM; how long it is good stands on standard error."""
    with opened(session, read_only=not count) as store:
        found = _counted(store, item) if count else store.find(item)
    tokens = list(find_all(found, Totp))
    if not tokens:
        raise NoCode(f"{name_of(found)} has no one-time code", hint="keyferry edit ITEM --set-file totp=FILE adds one")
    at = int(time.time())
    made = [(token.label or "", codes.code(token, at), codes.seconds_left(token, at)) for token in tokens]
    if session.json:
        shown = [{"label": label, "code": code, "seconds_left": left} for label, code, left in made]
        session.out({"id": found.id, "title": display_title(found), **shown[0], "codes": shown})
    elif len(made) > 1:
        cells = [(label, code, "" if left is None else str(left)) for label, code, left in made]
        session.table(("Label", "Code", "Seconds left"), cells)
    else:
        session.raw(made[0][1])
        left = made[0][2]
        click.echo("good until it is used" if left is None else f"good for {left} s", err=True)


def _counted(store: Store, text: str) -> Item:
    """Return the item after counting its counter-based codes one further."""
    with store.transaction():
        item = store.find(text)
        further = tuple(
            msgspec.structs.replace(one, counter=(one.counter or 0) + 1, source=None)
            if isinstance(one, Totp) and one.kind == "hotp"
            else one
            for one in item.credentials
        )
        if further == item.credentials:
            raise NoCode(f"{name_of(item)} has no counter-based code")
        item = msgspec.structs.replace(item, credentials=further)
        store.put(item, now=now())
    return item


@command("folders")
def folders(session: Session) -> None:
    """List the folders with the number of items directly in each."""
    with opened(session) as store:
        collections = store.collections()
        held = Counter(id_ for item in store.items() for id_ in item.collections)
    paths = path_texts(collections)
    ordered = sorted(collections, key=lambda one: paths[one.id].casefold())
    session.out(
        [{"id": one.id, "path": paths[one.id], "kind": one.kind or "folder", "items": held[one.id]} for one in ordered]
    )
    session.table(
        ("Folder", "Kind", "Items"), [(paths[one.id], one.kind or "folder", str(held[one.id])) for one in ordered]
    )
    session.done(f"{len(ordered)} folder{'' if len(ordered) == 1 else 's'}")
