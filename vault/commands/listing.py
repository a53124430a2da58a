"""What the commands about items share: opening the vault, and how items look in lists."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from vault.canonical import many
from vault.folders import path_texts
from vault.model import Collection, Item, kind_of, state_of
from vault.screen import Session, clean
from vault.store import Store
from vault.views import display_title, user_names

MASK = "••••••"
_SHORTEST_ID = 8


def opened(session: Session, *, read_only: bool = True) -> Store:
    """Open the session's vault; its passphrase, if it has one, is asked before anything else."""
    from vault.keys import open_vault

    return open_vault(
        session.home, read_only=read_only, passphrase=lambda: session.secret("passphrase"), warn=session.warn
    )


class Listed(NamedTuple):
    """One line of a list; it does not keep the item, so that long lists stay small."""

    id: str
    title: str
    user_name: str
    kind: str
    folders: tuple[str, ...]
    state: str


def listed(items: Iterable[Item], collections: tuple[Collection, ...]) -> list[Listed]:
    """Return the items as lines, with the paths of their folders."""
    paths = path_texts(collections)
    with many():
        return [
            Listed(
                item.id,
                display_title(item),
                next(iter(user_names(item)), ""),
                kind_of(item),
                tuple(paths[id_] for id_ in item.collections if id_ in paths),
                state_of(item),
            )
            for item in items
        ]


def show_list(session: Session, lines: list[Listed], *, of: int | None = None) -> None:
    """Write the lines as a table, or with ``--json`` as an array of {id, title, kind, collections, state}."""
    if session.json:
        session.out([as_json(line) for line in lines])
        return
    length = _telling_length([line.id for line in lines])
    columns = ("ID", "Title", "User name", "Kind", "Folder", "State")
    with many():
        cells = [(one.id[:length], *one[1:4], ", ".join(one.folders), one.state) for one in lines]
        session.table(columns, cells)
    session.done(_counted(lines, len(lines) if of is None else of))


def _counted(lines: list[Listed], of: int) -> str:
    trashed = sum(line.state == "trashed" for line in lines)
    if trashed == len(lines) == of and trashed:
        return f"{items_text(of)} in the trash"
    counted = f"{len(lines)} of {of} items" if of > len(lines) else items_text(of)
    return counted + (f", {trashed} of them in the trash" if trashed else "")


def items_text(count: int) -> str:
    """Return ``1 item`` or ``n items``."""
    return f"{count} item{'' if count == 1 else 's'}"


def _telling_length(ids: list[str]) -> int:
    """Return how many letters tell the ids apart, so that what a list shows can be typed."""
    longest = max(map(len, ids), default=0)
    return next((n for n in range(_SHORTEST_ID, longest) if len({id_[:n] for id_ in ids}) == len(ids)), longest)


def as_json(line: Listed) -> dict[str, Any]:
    """Return what machines get for one line."""
    return {
        "id": line.id,
        "title": line.title,
        "kind": line.kind,
        "collections": list(line.folders),
        "state": line.state,
    }


def name_of(item: Item) -> str:
    """Return the title as it stands in a sentence: quoted, on one line."""
    return f'"{clean(display_title(item))}"'


def tell(session: Session, store: Store, item: Item, sentence: str, **more: Any) -> None:
    """End a command about one item: the sentence, or with ``--json`` the item's line and what else there is."""
    if session.json:
        session.out({**as_json(listed((item,), store.collections())[0]), **more})
    else:
        session.done(sentence)
