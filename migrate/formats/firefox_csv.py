"""Firefox and its relatives (Zen, LibreWolf, Floorp, Waterfox), CSV export (dossier: Firefox 3.2).

- A bare empty cell is null, a quoted one the empty text; of ``httpRealm`` and ``formActionOrigin`` both are kept in
  ``extra``. A form that posts to the site itself, which is nearly every one, is kept by being left out.
- Rows of ``chrome://FirefoxAccounts`` are the browser's own secrets: no item, kept beside the items.
- Times are UNIX milliseconds.
"""

from __future__ import annotations

import re
import uuid
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from migrate import rules
from migrate.adapter import Signature
from migrate.columns import Beside, Dialect, Row, put_aside, table, with_extra
from migrate.draft import auth_of, left_of
from migrate.formats.chrome_csv import has_login
from migrate.leaving import Leaving
from migrate.packed import same_as_url
from migrate.shape import changed
from migrate.source import Record
from vault import moment
from vault.model import Item, Provenance, Url
from vault.views import host_of

COLUMNS = (
    *("url", "username", "password", "httpRealm", "formActionOrigin", "guid"),
    *("timeCreated", "timeLastUsed", "timePasswordChanged"),
)
NULLABLE = ("httpRealm", "formActionOrigin")
TIMES = {"creation_at": "timeCreated", "last_used_at": "timeLastUsed", "modified_at": "timePasswordChanged"}
NO_LOGIN = "chrome://FirefoxAccounts"

SIGNATURE = Signature(
    product="Firefox",
    suffix=".csv",
    kind="csv",
    header=frozenset({"url", "username", "password", "httpRealm", "formActionOrigin", "guid"}),
    export_steps="about:logins (Passwords) > menu > Export passwords",
    cannot_hold=("titles", "notes", "one-time codes", "folders", "whole addresses (only the site's origin)", "cards"),
)

_CELL = re.compile(r'(?:"(?:[^"]|"")*"|[^,\r\n]*)')


def bare_cells(raw: str) -> list[bool]:
    """Tell for each cell of a row as it stands in the file whether it is empty and without quotes."""
    found, at = [], 0
    while True:
        cell = _CELL.match(raw, at)
        end = cell.end() if cell else at
        found.append(end == at)
        if raw[end : end + 1] != ",":
            return found
        at = end + 1


def _item(record: Record, beside: Beside) -> Item | None:
    data, source = record.data, record.source
    if data.get("url") == NO_LOGIN:
        put_aside(record, beside, {**data, **dict.fromkeys(_nulls(record))})
        return None
    kept = _nullables(record)
    times: dict[str, Any] = {ours: _time(data, key) for ours, key in TIMES.items()}
    name = data.pop("url")
    return Item(
        id=source.identify("item", record.place),
        urls=(Url(url=name),) if name else (),
        credentials=(auth_of(data.pop("username"), data.pop("password")),),
        provenance=Provenance(format=source.format, source_id=data.pop("guid") or None),
        extra=left_of(record) | kept,
        **times,
    )


def _nulls(record: Record) -> list[str]:
    """Return which of the columns that tell null from empty are null in this row."""
    data = record.data
    empty = [name for name in NULLABLE if data.get(name) == ""]
    if not empty:
        return []
    bare, position = bare_cells(record.raw.decode()), {name: n for n, name in enumerate(data)}
    return [name for name in empty if position[name] >= len(bare) or bare[position[name]]]


def _nullables(record: Record) -> dict[str, Any]:
    """Take realm and form target out of the row; return what differs from a form that posts to the site itself."""
    data, nulls = record.data, _nulls(record)
    realm, target = data.pop("httpRealm", ""), data.pop("formActionOrigin", "")
    kept: dict[str, Any] = {}
    if "httpRealm" not in nulls:
        kept["httpRealm"] = realm
    if "formActionOrigin" in nulls:
        kept["formActionOrigin"] = None
    elif target != data["url"] or not target:
        kept["formActionOrigin"] = target
    record.rest({name: cell for name, cell in kept.items() if cell})
    return kept


def _time(data: dict[str, str], key: str) -> str | None:
    instant = rules.instant_of(data.get(key), 1000)
    if instant is not None or not data.get(key):
        data.pop(key, None)
    return instant


def _rows(leaving: Leaving) -> Iterator[Row]:
    item, offer = leaving.item, leaving.offer
    addresses = leaving.all_urls()
    row: Row = {"username": leaving.username(), "password": leaving.password()}
    row |= {key: _millis(offer.take(ours)) for ours, key in TIMES.items()}
    row["guid"] = _guid(leaving)
    if not leaving.own:
        addresses = _origins(leaving, addresses)
    if item.title == next((host_of(address) for address in addresses), ""):
        offer.skip("title")  # it says no more than the address
    leaving.settle(fields=False)
    for number, address in enumerate(addresses or [""]):
        one = {**row, "url": address, "httpRealm": None, "formActionOrigin": address}
        if number:
            one["guid"] = "{" + str(uuid.uuid5(uuid.NAMESPACE_URL, f"{item.id} {number}")) + "}"
        if leaving.own:
            one |= {name: item.extra[name] for name in NULLABLE if _is_nullable(item.extra.get(name, 0))}
        yield with_extra(leaving, one)


def _is_nullable(kept: Any) -> bool:
    return kept is None or isinstance(kept, str)


def _guid(leaving: Leaving) -> str:
    """Return the guid an item came with, else one made of its own id."""
    source = leaving.item.provenance
    if leaving.own:
        return (source.source_id if source else None) or ""
    try:
        raw = urlsafe_b64decode(leaving.item.id + "==")
    except ValueError:
        raw = b""
    made = uuid.UUID(bytes=raw) if len(raw) == 16 else uuid.uuid5(uuid.NAMESPACE_URL, leaving.item.id)
    return "{" + str(made) + "}"


def _millis(instant: str | None) -> str:
    return "" if instant is None else str(moment.to_millis(instant))


def _origins(leaving: Leaving, addresses: list[str]) -> list[str]:
    """Reduce addresses to what Firefox keeps of them, each once; what is cut off is a loss."""
    origins = [origin_of(address) for address in addresses]
    cut = sum(address.rstrip("/") != origin for address, origin in zip(addresses, origins, strict=True))
    if cut:
        leaving.out.lose(leaving.item, "path of the address", cut)
    return list(dict.fromkeys(origins))


def origin_of(address: str) -> str:
    """Return scheme, host and port of an address; what has no host stays as it is."""
    try:
        parts = urlsplit(address if "://" in address else f"https://{address}")
    except ValueError:
        return address
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host.lower()}" if host else address


ADAPTER = table(
    SIGNATURE,
    dict.fromkeys(COLUMNS),
    from_row=_item,
    to_row=_rows,
    shape={name: changed(rules.unix_millis) for name in TIMES.values()} | {"formActionOrigin": changed(same_as_url)},
    dialect=Dialect(quote_all=True, line_end="\r\n", writes_last_end=False, takes=has_login),
    kept_raw=NULLABLE,
)
