"""FIDO CXF 1.0, the Credential Exchange Format: our full profile written, any product's file read (dossier: CXF)."""

from __future__ import annotations

from typing import Any, BinaryIO

from msgspec.structs import replace

from migrate.adapter import Adapter, Signature
from migrate.formats._cxf import MEMBER, parse, watched, write
from migrate.formats._cxf_rules import ACCOUNT, HEADER, ITEM, ITEM_IN_CONTAINER, LINKING, LISTING
from migrate.giving import Outgoing
from vault import cxf, moment

SIGNATURE = Signature(
    product="CXF",
    suffix=".json",
    kind="json",
    keys=frozenset({"accounts"}),
    any_keys=frozenset({"exporterRpId", "exporterDisplayName", "exporter"}),
    no_keys=frozenset({"encrypted"}),
    export_steps="keyferry export FILE.json --to cxf; other products move CXF between apps and write no file",
    cannot_hold=("the bytes of attachments (a .zip made by Keyferry holds them)",),
    attachments=True,
)
_ACCOUNT = replace(
    SIGNATURE,
    keys=frozenset({"items"}),
    any_keys=frozenset({"username", "userName", "email"}),
    no_keys=frozenset({"encrypted", "folders", "accounts"}),
    record_keys=frozenset({"credentials"}),
    empty_keys=frozenset({"id", "collections"}),
)
_LIST = replace(
    SIGNATURE,
    is_list=True,
    keys=frozenset(),
    any_keys=frozenset(),
    no_keys=frozenset(),
    record_keys=frozenset({"items", "collections"}),
)
_ZIP = Signature(product="CXF", suffix=".zip", kind="zip", members=frozenset({MEMBER}), attachments=True)

# What other products and later versions may add is kept under these; everything else that is kept is theirs to name.
KEPT_RAW = frozenset(
    {
        "extensions",
        "scope",
        "accounts",
        "version",
        "exporterRpId",
        "exporterDisplayName",
        "timestamp",
        "links",
        "members",
    }
)


def render(out: Outgoing, file: BinaryIO) -> None:
    """Write everything there is; only the bytes of attachments are lost where no ZIP is asked for."""
    having: list[Any] = []
    extras = {format: one for format, one in out.extras.items() if format != cxf.FORMAT}
    mine = dict(out.extras.get(cxf.FORMAT, {}))
    if out.options.get("zip"):
        mine.pop("members", None)
    if mine:
        extras[cxf.FORMAT] = mine
    now = out.options.get("now") or moment.now()
    write(out, file, cxf.chunks(out.collections, watched(out.items, having), extras, now=now), having)


ADAPTER = Adapter(
    SIGNATURE,
    parse,
    render,
    records=("accounts", "*", "items", "*"),
    shape=ITEM,
    frame=HEADER,
    listing=LISTING,
    linking=LINKING,
    carries_extras=True,
    kept_raw=KEPT_RAW,
)
CONTAINER = replace(
    ADAPTER, signature=_ZIP, shape=ITEM_IN_CONTAINER, member=MEMBER, attachments="documents/{integrityHash}"
)
VARIANTS = (
    replace(ADAPTER, signature=_ACCOUNT, records=("items", "*"), frame=ACCOUNT),
    replace(ADAPTER, signature=_LIST, records=("*", "items", "*"), frame={"*": ACCOUNT}),
    CONTAINER,
)
