"""What tests of formats share: reading bytes, writing items, and comparing what came back."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from migrate import catalog
from migrate.giving import Loss, Outgoing
from migrate.ledger import Ledger
from migrate.reading import items_of
from migrate.source import Source
from vault.canonical import canonical
from vault.model import Collection, Item, Vault

KEY = b"k" * 16  # ids are made of it, so that they are the same in every run

Extras = dict[str, dict[str, Any]]


class Loaded(NamedTuple):
    """What a file became."""

    items: tuple[Item, ...]
    collections: tuple[Collection, ...]
    extras: Extras  # by format
    ledger: Ledger
    source: Source


def load(
    format: str | None, data: bytes, *, name: str = "export", options: Mapping[str, Any] | None = None, key: bytes = KEY
) -> Loaded:
    """Read a file of the format, or of the one it is recognised as where that is None."""
    source = catalog.open_source(Path(name), format=format, data=data, key=key, options=dict(options or {}))
    parsed = catalog.parse(source)
    items = tuple(item for _, item in items_of(source, parsed) if item is not None)
    extras = {name: one for name, one in {source.format: parsed.extras, **parsed.others}.items() if one}
    return Loaded(items, source.folders.all(), extras, source.ledger, source)


def render(
    format: str,
    items: Iterable[Item],
    collections: Iterable[Collection] = (),
    extras: Extras | None = None,
    *,
    document: Callable[[str], bytes | None] = lambda _: None,
    options: Mapping[str, Any] | None = None,
) -> tuple[bytes, list[Loss]]:
    """Write items in the format; return the file and what it could not hold."""
    out = Outgoing(format, tuple(collections), tuple(items), extras or {}, document, dict(options or {}))
    file = io.BytesIO()
    write = catalog.adapter(format).render
    assert write is not None, f"{format} has no writer"
    write(out, file)
    return file.getvalue(), out.losses


def canon(loaded: Loaded) -> bytes:
    """Return one text for everything a file said: equal exactly if the models are."""
    return canonical(Vault(items=loaded.items, collections=loaded.collections, extras=loaded.extras))


def again(format: str, loaded: Loaded, **load_options: Any) -> tuple[Loaded, list[Loss]]:
    """Write what was read in its own format, and read that."""
    archive, documents = loaded.source.archive, loaded.source.documents

    def document(hash: str) -> bytes | None:
        member = documents.get(hash)
        return archive.read(member) if archive is not None and member else None

    options = {"zip": archive is not None}
    data, losses = render(format, loaded.items, loaded.collections, loaded.extras, document=document, options=options)
    return load(format, data, **load_options), losses
