"""FIDO CXF 1.0 for other products: only what the standard has, everything else as custom fields (dossier: CXF 11.13).

Recognised as ``cxf``, which reads both profiles.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from msgspec.structs import replace

from migrate.adapter import Adapter, Signature
from migrate.formats import cxf as full
from migrate.formats._cxf import MEMBER, parse, watched, write
from migrate.formats._cxf_strict import Names, Writer
from migrate.giving import Loss, Outgoing
from vault import canonical, cxf, moment
from vault.model import Collection, Item

SIGNATURE = Signature(
    product="CXF",
    suffix=".json",
    kind="json",
    export_steps="keyferry export FILE.json --to cxf_strict",
    cannot_hold=full.SIGNATURE.cannot_hold,
    attachments=True,
)


def render(out: Outgoing, file: BinaryIO) -> None:
    """Write what CXF has; ``out.moved`` counts what became a custom field, ``out.losses`` what is left out."""
    having: list[Item] = []
    items = tuple(out.items)
    names = Names(items, out.collections)
    write(out, file, _chunks(out, watched(items, having), names), having)


def _chunks(out: Outgoing, items: Iterable[Item], names: Names) -> Iterator[bytes]:
    now = out.options.get("now") or moment.now()
    members: dict[str, list[str]] = {}
    yield canonical.encode(cxf.header(now))[:-1] + b',\n"accounts":[' + canonical.encode(cxf.account())[:-1]
    yield b',\n"items":['
    separator = b"\n"
    for item in items:
        for own_id in dict.fromkeys(item.collections):
            members.setdefault(own_id, []).append(names.item(item.id))
        yield separator + canonical.encode(Writer(out, item, names).written())
        separator = b",\n"
    yield b'],\n"collections":' + canonical.encode(_collections(out, members, names)) + b"}]}\n"


def _collections(out: Outgoing, members: dict[str, list[str]], names: Names) -> list[dict[str, Any]]:
    """Return the collections, nested, each with its items."""
    by_id = {one.id: _collection(out, one, names) for one in out.collections}
    for own_id, ids in members.items():
        if own_id in by_id:
            by_id[own_id]["items"] = [{"item": one} for one in ids]
    paths = out.paths()
    top: list[dict[str, Any]] = []
    for one in out.collections:
        is_below = one.parent in by_id and len(paths[one.id]) == len(paths[one.parent]) + 1
        (by_id[one.parent]["subCollections"] if is_below and one.parent else top).append(by_id[one.id])
    return top


def _collection(out: Outgoing, one: Collection, names: Names) -> dict[str, Any]:
    made: dict[str, Any] = {"id": names.folder(one.id)}
    for name, instant in (("creationAt", one.creation_at), ("modifiedAt", one.modified_at)):
        if instant is not None and (seconds := cxf.seconds_of(instant)) is not None:
            made[name] = seconds
    made["title"] = one.title
    if one.subtitle is not None:
        made["subtitle"] = one.subtitle
    lost = [("icon", one.icon), ("color", one.color), *((f"extra.{key}", value) for key, value in one.extra.items())]
    out.losses += [Loss("", one.title, f"folder.{name}") for name, value in lost if value not in (None, "", [], {})]
    return {**made, "items": [], "subCollections": []}


ADAPTER = Adapter(
    SIGNATURE,
    parse,
    render,
    records=full.ADAPTER.records,
    shape=full.ADAPTER.shape,
    frame=full.ADAPTER.frame,
    listing=full.ADAPTER.listing,
    linking=full.ADAPTER.linking,
    kept_raw=full.KEPT_RAW,
)
VARIANTS = (
    replace(
        ADAPTER,
        signature=replace(SIGNATURE, suffix=".zip", kind="zip"),
        shape=full.CONTAINER.shape,
        member=MEMBER,
        attachments="documents/{integrityHash}",
    ),
)
