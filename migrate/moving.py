"""A migration: read, judge, write, prove, in one transaction; and the proof again later.

Killed at any moment, the vault is as before or as after: nothing is committed before the proof holds.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from migrate import catalog, merge
from migrate.adapter import Parsed
from migrate.folding import Folding
from migrate.ledger import Ledger, Quarantined
from migrate.proof import Finding, Proof, Tie
from migrate.proving import LOST, Became, check, proof_of
from migrate.reading import items_of
from migrate.source import Source
from vault.canonical import decode_any, decode_item, many
from vault.model import Item, ItemReference, kind_of
from vault.moment import Instant
from vault.store import Run, Store
from vault.views import display_title


class Outcome(msgspec.Struct):
    """What a migration did, or would do."""

    run: str
    format: str
    ledger: Ledger
    items: Counter[str] = msgspec.field(default_factory=Counter)  # verdict -> items
    kinds: Counter[str] = msgspec.field(default_factory=Counter)  # login, card, ... -> items
    titles: list[tuple[str, str]] = msgspec.field(default_factory=list)  # (place, title), for a report that names them
    conflicts: list[tuple[str, str]] = msgspec.field(default_factory=list)  # (new item, the one it differs from)
    proof: Proof = msgspec.field(default_factory=Proof)
    with_titles: bool = False

    def summary(self) -> dict[str, Any]:
        """Return the numbers as ``--json`` gives them and the run keeps them."""
        items = {kind: self.items[kind] for kind in (merge.NEW, merge.SAME, merge.CHANGED, merge.CONFLICT)}
        return {
            "run": self.run,
            "format": self.format,
            "items": {**items, "quarantined": len(self.ledger.quarantine)},
            "values": self.ledger.values(),
            "proven": self.proof.found,
        }


class _TakeBack(Exception):
    """Ends a dry run: everything was done, nothing is kept."""


Advance = Callable[[int], None]
Ties = dict[str, tuple[str, str]]  # place -> (item, mark)


def migrate(
    store: Store,
    source: Source,
    *,
    run: str,
    now: Instant,
    into: tuple[str, ...] = (),
    dry_run: bool = False,
    with_titles: bool = False,
    advance: Advance = lambda _: None,
) -> Outcome:
    """Move a source into the vault and prove it, or change nothing.

    ``advance`` is told of every record twice, once when it is read and once when it is proven. Raises
    ``UndeclaredLoss`` where the proof fails; then, and after any other error, the vault is as it was.
    """
    outcome = Outcome(run, source.format, source.ledger, with_titles=with_titles)
    source.options |= {"into": list(into)} if into else {}  # a later proof must know it
    digest = hashlib.sha256(source.original).hexdigest()
    store.make_room()
    try:
        with many(), store.transaction():
            parsed = catalog.parse(source)  # first: it settles options that a later proof must know
            store.begin_run(Run(run, source.format, source.name, digest, now, options=source.options))
            with store.recording(run):
                mover = _Mover(store, source, outcome, run, now, into, advance)
                mover.move(parsed)
            outcome.proof = _proof(store, source, mover.fresh_ties(), mover.aside, advance)
            check(outcome.proof, outcome.ledger)
            store.end_run(run, outcome.summary())
            if dry_run:
                raise _TakeBack
    except _TakeBack:
        pass
    return outcome


def at_line(one: Quarantined) -> str:
    """Return where in the file a record begins, as editors count; empty where that is not known."""
    return f" (line {one.line}, column {one.column})" if one.line else ""


class _Mover(msgspec.Struct):
    """One run while it writes."""

    store: Store
    source: Source
    outcome: Outcome
    run: str
    now: Instant
    into: tuple[str, ...]
    advance: Advance
    ties: Ties = msgspec.field(default_factory=dict)
    aside: set[str] = msgspec.field(default_factory=set)
    renamed: dict[str, str] = msgspec.field(default_factory=dict)  # incoming item id -> the id it has in the vault
    linking: list[str] = msgspec.field(default_factory=list)  # items that refer to others
    written: set[str] = msgspec.field(default_factory=set)

    def move(self, parsed: Parsed) -> None:
        """Write items, folders, documents, extras, arrivals and quarantine."""
        folding = Folding(self.store, self.source, self.into)
        known = merge.Known.of(self.store)
        self.store.put_rows(self._incoming(parsed, folding, known), self.now)
        folding.finish()
        self._relink()
        for name, member in self.source.documents.items():
            if not self.store.has_document(name):
                self.store.put_document(self.source.archive.read(member))
        for format, extras in {self.source.format: parsed.extras, **parsed.others}.items():
            if extras:
                before = self.store.extras().get(format, {})
                self.store.set_extras(format, {**before, **extras})
        self.store.add_arrivals(self.run, ((place, item, mark) for place, (item, mark) in self.ties.items()))
        for one in self.source.ledger.quarantine:
            self.aside.add(one.place)
            self.store.add_quarantine(self.run, one.place, one.reason + at_line(one), one.raw)

    def fresh_ties(self) -> Ties:
        """Return the ties for the proof of this run: what it wrote itself needs no fingerprint."""
        return {
            place: (one, merge.without_prints(mark) if one in self.written else mark)
            for place, (one, mark) in self.ties.items()
        }

    def _incoming(self, parsed: Parsed, folding: Folding, known: merge.Known) -> Iterator[merge.Row]:
        for record, item in items_of(self.source, parsed):
            self.advance(1)
            if item is None:
                continue
            verdict = known.judge(self._placed(item, folding, known), self.now)
            self.outcome.items[verdict.kind] += 1
            self.outcome.kinds[kind_of(item)] += 1
            if self.outcome.with_titles:
                self.outcome.titles.append((record.place, display_title(item)))
            self.ties[record.place] = verdict.id, verdict.mark
            if verdict.id != item.id:
                self.renamed[item.id] = verdict.id
            if verdict.item is None:
                continue
            self.written.add(verdict.id)
            if verdict.item.conflict is not None:
                self.outcome.conflicts.append((verdict.item.id, verdict.item.conflict))
            if merge.links_to_others(verdict.item):
                self.linking.append(verdict.id)
            yield verdict.item, verdict.row

    def _placed(self, item: Item, folding: Folding, known: merge.Known) -> Item:
        """Return the item with the vault's own folder ids, and an id nothing in the vault has."""
        collections = folding.folders_of(item)
        if item.id in known.ids:  # from a file of our own
            item = msgspec.structs.replace(item, id=self.source.identify("again", item.id))
        return item if collections == item.collections else msgspec.structs.replace(item, collections=collections)

    def _relink(self) -> None:
        """Point links at the items that were in the vault already."""
        if not self.renamed:
            return
        for own_id in self.linking:
            item = self.store.item(own_id)
            if item is None:
                continue
            linked = tuple(
                msgspec.structs.replace(c, reference=self.renamed.get(c.reference, c.reference))
                if isinstance(c, ItemReference)
                else c
                for c in item.credentials
            )
            if linked != item.credentials:
                self.store.put(msgspec.structs.replace(item, credentials=linked), now=self.now)


def _proof(
    store: Store, source: Source, ties: Ties, aside: set[str], advance: Advance = lambda _: None, *, later: bool = False
) -> Proof:
    """Read the bytes again and look for every value in the vault."""

    def tied(batch: Sequence[str]) -> dict[str, Tie]:
        known = {place: ties[place] for place in batch if place in ties}
        rows = store.rows_of([own_id for own_id, _ in known.values()])
        return {place: _tie(store, own_id, rows.get(own_id), mark) for place, (own_id, mark) in known.items()}

    said = store.extras()
    extras = said if source.adapter is not None and source.adapter.carries_extras else said.get(source.format, {})
    became = Became(store.collections(), extras, store.document, tied, aside, _former(store) if later else ())
    return proof_of(source, became, advance)


def _former(store: Store) -> list[Any]:
    """Return what formats said beside their items before a run replaced it; undo would bring it back."""
    changes = (entry for run in store.runs() for entry in store.extras_changed(run.id))
    return [decode_any(before) for before in changes]


def _tie(store: Store, own_id: str, row: bytes | None, mark: str) -> Tie:
    """Return the stored row a record is tied to, and how it arrived if it was edited since.

    Without a fingerprint in the mark the row was written by this very run.
    """
    if not mark:
        return Tie(own_id, row, is_fresh=True, is_linked=True)
    marks, more = merge.prints_of(mark), mark.strip("0123456789abcdef")
    shared = more == merge.SHARED
    if row is None or not marks:
        return Tie(own_id, row, is_fresh=True, is_linked=True, may_hold_more=bool(more))
    if merge.fingerprint(decode_item(row)) in marks:
        return Tie(own_id, row, may_hold_more=True, is_shared=shared)
    for _, body in store.past(own_id):
        if merge.fingerprint(decode_item(body)) in marks:
            return Tie(own_id, row, body, may_hold_more=True, is_shared=shared)
    return Tie(own_id, row, may_hold_more=bool(more), is_shared=shared)


class Verification(msgspec.Struct):
    """The proof again, some time after the run."""

    run: Run
    proof: Proof
    titles: dict[str, str] = msgspec.field(default_factory=dict)  # item -> title

    @property
    def missing(self) -> list[Finding]:
        """What is gone."""
        return [f for f in self.proof.findings if f.kind in (*LOST, "doubled")]

    @property
    def edited(self) -> list[Finding]:
        """What was changed or deleted since, and is still in history or trash."""
        return [f for f in self.proof.findings if f.kind in ("edited", "trashed")]


def verify(store: Store, source: Source, run: Run, advance: Advance = lambda _: None) -> Verification:
    """Compare a source with the vault as it is now, by the ties of the run that brought it."""
    with many():
        ties = {a.place: (a.item_id, a.fingerprint) for a in store.arrivals(run.id)}
        aside = {q.place for q in store.quarantined(run.id)}
        proof = _proof(store, source, ties, aside, advance, later=True)
    found = Verification(run, proof)
    for one in proof.findings:
        item = store.item(one.item) if one.item else None
        found.titles[one.item] = display_title(item) if item else "(gone)"
    return found
