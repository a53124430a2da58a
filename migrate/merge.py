"""What an incoming item is to the vault: new, same, changed or in conflict.

Identity is by content first, then by the source's own id. Differing secrets are never merged without a word: unless the
source itself says it is the same item, both are kept and the newcomer is flagged.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict

import msgspec

from migrate.holding import texts_of
from vault.canonical import decode_item, encode
from vault.model import BasicAuth, Item, ItemReference, Past, find
from vault.moment import Instant
from vault.secret import Secret
from vault.store import Store
from vault.views import display_title

NEW, SAME, CHANGED, CONFLICT = "new", "same", "changed", "conflict"


def fingerprint(item: Item) -> str:
    """Return a digest of an item's content: its own id, its flag and the ids it links to left out."""
    return _printed(item)[0]


def _printed(item: Item) -> tuple[str, bytes | None]:
    """Return the fingerprint, and the item's row if that is what was looked at."""
    bare = item
    if item.conflict is not None or links_to_others(item):
        kept = (msgspec.structs.replace(c, reference="") if type(c) is ItemReference else c for c in item.credentials)
        bare = msgspec.structs.replace(item, conflict=None, credentials=tuple(kept))
    row = encode(bare)
    return hashlib.sha256(row[len(_BEFORE_ID) + len(bare.id) :]).hexdigest(), row if bare is item else None


def links_to_others(item: Item) -> bool:
    """Whether a credential of the item names another item."""
    return ItemReference in map(type, item.credentials)


_BEFORE_ID = b'{"id":"'  # a row begins with the item's id, which is base64url and so stands there as it is


# A mark is the incoming item's fingerprint, and after a sign that of the vault's item, where that says more: because
# it was written with the history it had, or because it was another source's or the user's own and stayed as it was.
GROWN, SHARED = ":", "+"


def prints_of(mark: str) -> list[str]:
    """Return the fingerprints of a mark: of the incoming item, then of the vault's."""
    return [one for one in mark.replace(SHARED, GROWN).split(GROWN) if one]


def without_prints(mark: str) -> str:
    """Return only the sign of a mark."""
    return SHARED if SHARED in mark else GROWN if GROWN in mark else ""


class Verdict(msgspec.Struct, frozen=True):
    """What becomes of one incoming item: ``item`` is to be written, or None; ``id`` is the item it is tied to."""

    kind: str
    id: str
    mark: str
    item: Item | None = None
    row: bytes | None = None  # the JSON of ``item``, where it is known


Row = tuple[Item, bytes | None]  # what is written, and its JSON where it is known
Near = tuple[str, str, str]  # title, user name, first address


class Known(msgspec.Struct):
    """What the vault held before the run, found by content, source id or likeness; each item is claimed once."""

    store: Store
    by_content: dict[str, list[str]] = msgspec.field(default_factory=lambda: defaultdict(list))
    by_source: dict[tuple[str, str], list[str]] = msgspec.field(default_factory=lambda: defaultdict(list))
    by_near: dict[Near, list[str]] = msgspec.field(default_factory=lambda: defaultdict(list))
    ids: set[str] = msgspec.field(default_factory=set)
    marks: dict[str, str] = msgspec.field(default_factory=dict)  # the newest one each item arrived with
    untouched: set[str] = msgspec.field(default_factory=set)  # as they arrived
    claimed: set[str] = msgspec.field(default_factory=set)

    @classmethod
    def of(cls, store: Store) -> Known:
        """Index a store; an empty one costs nothing."""
        known = cls(store)
        arrived = store.all_fingerprints() if store.count() else {}
        for own_id, row in store.rows():
            item = decode_item(row)
            known.ids.add(own_id)
            print_ = fingerprint(item)
            known.by_content[print_].append(own_id)
            marks = arrived.get(own_id, [])
            if any(SHARED not in mark and print_ in prints_of(mark) for mark in marks):
                known.untouched.add(own_id)
            if marks:
                known.marks[own_id] = marks[-1]
            for mark in prints_of(marks[-1]) if marks else ():
                if mark != print_:
                    known.by_content[mark].append(own_id)
            if item.provenance is not None and item.provenance.source_id:
                known.by_source[item.provenance.format, item.provenance.source_id].append(own_id)
            known.by_near[near(item)].append(own_id)
        return known

    def judge(self, item: Item, now: Instant) -> Verdict:
        """Decide what an incoming item is; the item it is tied to is claimed."""
        print_, row = _printed(item)
        same = self._free(self.by_content.get(print_))
        if same is not None:
            mark = self.marks.get(same, "")
            return self._claim(Verdict(SAME, same, mark if print_ in prints_of(mark) else print_))
        known = self._by_source(item)
        if known is not None:
            if known in self.untouched and (old := self.store.item(known)) is not None:
                after = renewed(old, item, now)
                return self._claim(Verdict(CHANGED, known, f"{print_}{GROWN}{fingerprint(after)}", after))
            return self._claim(_conflict(item, known, print_))
        alike = self._free(self.by_near.get(near(item))) if self.by_near else None
        if alike is not None and (old := self.store.item(alike)) is not None and not _has_other_source(old, item):
            return self._claim(self._alike(old, item, print_))
        return Verdict(NEW, item.id, print_, item, row)

    def _alike(self, old: Item, item: Item, print_: str) -> Verdict:
        if secret_of(old) != secret_of(item):
            return _conflict(item, old.id, print_)
        if is_within(item, old):
            return Verdict(SAME, old.id, f"{print_}{SHARED}{fingerprint(old)}")
        return Verdict(NEW, item.id, print_, item)

    def _by_source(self, item: Item) -> str | None:
        source = item.provenance
        if not self.by_source or source is None or not source.source_id:
            return None
        known = self.by_source.get((source.format, source.source_id))
        if known is None:
            return None
        free = [one for one in known if one not in self.claimed]
        return free[0] if len(free) == 1 else self._of_several(free, item)

    def _of_several(self, ids: list[str], item: Item) -> str | None:
        """Return which of the items with the same source id is meant: the only one that is alike and untouched.

        There are several where a conflict was kept, or where the source itself has an id twice.
        """
        alike = [one for one in ids if (old := self.store.item(one)) is not None and near(old) == near(item)]
        untouched = [one for one in alike if one in self.untouched]
        if untouched:
            return untouched[0] if len(untouched) == 1 else None
        return alike[0] if alike else None

    def _free(self, ids: list[str] | None) -> str | None:
        return next((one for one in ids if one not in self.claimed), None) if ids else None

    def _claim(self, verdict: Verdict) -> Verdict:
        if verdict.kind != CONFLICT:
            self.claimed.add(verdict.id)
        return verdict


def _conflict(item: Item, other: str, print_: str) -> Verdict:
    return Verdict(CONFLICT, item.id, print_, msgspec.structs.replace(item, conflict=other))


def _has_other_source(old: Item, item: Item) -> bool:
    """Whether both come from one product that gives ids: then they are two items, however alike."""
    a, b = old.provenance, item.provenance
    return bool(a and b and a.format == b.format and a.source_id and b.source_id)


def near(item: Item) -> Near:
    """Return what two records of one account have in common."""
    auth = find(item, BasicAuth)
    user = auth.username.text if auth is not None and auth.username is not None else ""
    return display_title(item), user, item.urls[0].url if item.urls else ""


def secret_of(item: Item) -> str:
    """Return the item's password in clear, "" where it has none."""
    auth = find(item, BasicAuth)
    return auth.password.text if auth is not None and auth.password is not None else ""


def is_within(item: Item, other: Item) -> bool:
    """Whether everything the item says is said by the other too, folder included."""
    mine, others = texts_of(encode(item)), texts_of(encode(other))
    return not mine - others and set(item.collections) <= set(other.collections)


def renewed(old: Item, item: Item, now: Instant) -> Item:
    """Return the incoming item in the old one's place, a replaced password kept in its history."""
    history = item.history
    password = secret_of(old)
    if password and password != secret_of(item) and all(p.value.reveal() != password for p in history):
        history = (Past(value=Secret(password), at=now), *history)
    history = (*history, *(p for p in old.history if p not in history))
    return msgspec.structs.replace(item, id=old.id, history=history, conflict=old.conflict)
