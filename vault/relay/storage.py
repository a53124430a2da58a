"""How a relay keeps what it was sent: one append-only table, and writes that share a commit.

A row is keyed (vault, device, seq) and has an arrival number within its vault and the sum of all bytes up to it, so
appending changes nothing else. Membership entries stand under the device 0, numbered in the order of their arrival.

Several writes are decided together: a ``Ledger`` is loaded with what they need to know, each write is decided by pure
code against it, one after another, and what they add is stored in one transaction. A write that is refused adds
nothing. Nobody is answered before the transaction is on the disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

import msgspec

from vault.relay.refusals import Refused, fork, full
from vault.sync import settling, wire
from vault.sync.entry import Header, read_header

MEMBER, ENTRY, SNAP = 1, 2, 3
NO_DEVICE = bytes(16)
KINDS = {MEMBER: wire.MEMBER, ENTRY: wire.ENTRY, SNAP: wire.ENTRY}
BLOB_STEP = 1 << 20

Place = tuple[bytes, bytes, int]  # vault, device, seq
Cut = Mapping[bytes, tuple[int, bytes]]  # number and hash of the newest entry of each device in a snapshot


class Row(msgspec.Struct, frozen=True):
    """An entry to keep; ``before`` is the hash of the entry of its device that it follows, ``cut`` a snapshot's."""

    device: bytes
    seq: int
    hash: bytes
    before: bytes
    kind: int
    body: bytes
    cut: Cut | None = None


class Placed(msgspec.Struct, frozen=True):
    """A row with its place in its vault; ``total`` is the size of everything up to it."""

    vault: bytes
    row: Row
    seq: int
    arrival: int
    total: int

    @property
    def columns(self) -> tuple[bytes | int, ...]:
        """What a database keeps of it: vault, device, seq, hash, arrival, total, kind, body."""
        row = self.row
        return (self.vault, row.device, self.seq, row.hash, self.arrival, self.total, row.kind, row.body)


@dataclass(slots=True)
class State:
    """How far a vault is: the membership entry that arrived last, its newest arrival, its sizes."""

    head: bytes = b""
    head_seq: int = 0
    arrival: int = 0
    total: int = 0
    blob_bytes: int = 0
    dropped: int = 0
    deleted: bool = False

    @property
    def size(self) -> int:
        """The bytes that the vault takes."""
        return self.total - self.dropped + self.blob_bytes


@dataclass(frozen=True, slots=True)
class Stale:
    """The write was checked against a membership that is no longer the newest: check it again."""


Outcome = int | Refused | Stale


@dataclass(slots=True)
class Ledger:
    """What is known of the vaults of some writes, and what these writes add to it."""

    vaults: dict[bytes, State] = field(default_factory=dict)
    heads: dict[tuple[bytes, bytes], tuple[int, bytes]] = field(default_factory=dict)
    hashes: dict[Place, bytes] = field(default_factory=dict)
    blobs: set[tuple[bytes, bytes]] = field(default_factory=set)
    placed: list[Placed] = field(default_factory=list)
    made: list[tuple[bytes, int]] = field(default_factory=list)
    marked: dict[bytes, int | None] = field(default_factory=dict)  # deleted at, or no longer
    kept: list[tuple[bytes, bytes, int]] = field(default_factory=list)
    cuts: dict[bytes, list[Cut]] = field(default_factory=dict)  # of the vault's snapshots, where a log has a gap

    def is_idle(self) -> bool:
        """Tell whether there is nothing to store."""
        return not (self.placed or self.made or self.marked or self.kept)


class Append(msgspec.Struct, frozen=True):
    """Entries for a vault, checked when ``based_on`` was the newest membership entry; all of them or none."""

    vault: bytes
    based_on: bytes
    rows: tuple[Row, ...]
    most_bytes: int

    def decide(self, ledger: Ledger) -> Outcome:
        """Return the new cursor, the fork or gap that is in the way, or ``Stale``."""
        state = ledger.vaults.get(self.vault)
        if state is None or state.deleted or state.head != self.based_on:
            return Stale()
        try:
            new = self._new(ledger)
        except Refused as refused:
            return refused
        if state.size + sum(len(row.body) for row in new) > self.most_bytes:
            return full()
        _place(ledger, self.vault, state, new)
        return state.arrival

    def _new(self, ledger: Ledger) -> list[Row]:
        heads: dict[bytes, tuple[int, bytes]] = {}
        fresh: dict[Place, bytes] = {}
        cuts = [*ledger.cuts.get(self.vault, ()), *(row.cut for row in self.rows if row.cut is not None)]
        new = []
        for row in self.rows:
            if row.kind != MEMBER:
                place = (self.vault, row.device, row.seq)
                head = heads.get(row.device) or ledger.heads.get(place[:2], (0, bytes(32)))
                if row.seq <= head[0]:
                    _check_same(row, fresh.get(place) or ledger.hashes.get(place, row.hash))  # it may be dropped
                    continue
                _check_next(row, head, cuts)
                heads[row.device] = (row.seq, row.hash)
                fresh[place] = row.hash
            new.append(row)
        return new


@dataclass(frozen=True, slots=True)
class Create:
    """A vault with its membership chain, or the end of its days of grace."""

    vault: bytes
    rows: tuple[Row, ...]
    now_ms: int

    def decide(self, ledger: Ledger) -> Outcome:
        """Return the cursor of the new or revived vault; ``Stale`` if it was made meanwhile."""
        state = ledger.vaults.get(self.vault)
        if state is None:
            state = ledger.vaults[self.vault] = State()
            ledger.made.append((self.vault, self.now_ms))
            _place(ledger, self.vault, state, self.rows)
            return state.arrival
        if not state.deleted:
            return Stale()
        state.deleted = False
        ledger.marked[self.vault] = None
        return state.arrival


@dataclass(frozen=True, slots=True)
class Delete:
    """The wish of the root to have a vault removed."""

    vault: bytes
    now_ms: int

    def decide(self, ledger: Ledger) -> Outcome:
        """Return the cursor; a vault that was deleted before keeps its day."""
        state = ledger.vaults.get(self.vault)
        if state is None:
            return Stale()
        if not state.deleted:
            state.deleted = True
            ledger.marked[self.vault] = self.now_ms
        return state.arrival


@dataclass(frozen=True, slots=True)
class Keep:
    """A blob whose bytes lie ready: from now on it is the vault's."""

    vault: bytes
    digest: bytes
    size: int
    most_bytes: int

    def decide(self, ledger: Ledger) -> Outcome:
        """Return the cursor, or that the vault is full."""
        state = ledger.vaults.get(self.vault)
        if state is None or state.deleted:
            return Stale()
        if (self.vault, self.digest) in ledger.blobs:
            return state.arrival
        if state.size + self.size > self.most_bytes:
            return full()
        state.blob_bytes += self.size
        ledger.blobs.add((self.vault, self.digest))
        ledger.kept.append((self.vault, self.digest, self.size))
        return state.arrival


Write = Append | Create | Delete | Keep


class Storage(Protocol):
    """A database of a relay. ``commit`` is called by one thread, everything else by several."""

    def commit(self, writes: Sequence[Write]) -> list[Outcome]:
        """Decide the writes in order and return when what they add is on the disk."""

    def state(self, vault: bytes) -> State | None:
        """Return how far the vault is, or None."""

    def members(self, vault: bytes) -> list[bytes]:
        """Return the membership entries in the order of their arrival."""

    def heads(self, vault: bytes) -> list[tuple[bytes, int, bytes]]:
        """Return device, number and hash of the newest entry of each device."""

    def page(self, vault: bytes, after: int, limit: int, most_bytes: int) -> wire.Page:
        """Return what arrived behind the cursor: one entry at least if there is one."""

    def stage(self, vault: bytes, digest: bytes, file: BinaryIO) -> None:
        """Make the bytes of a blob durable, which a temporary file holds; it is not the vault's before ``Keep``."""

    def blob_size(self, vault: bytes, digest: bytes) -> int | None:
        """Return the size of a blob of the vault, or None."""

    def blob(self, vault: bytes, digest: bytes) -> Iterator[bytes]:
        """Yield the bytes of a blob, a megabyte at a time."""

    def purge(self, before_ms: int) -> int:
        """Remove the vaults that were deleted before this time; return how many."""

    def snapped(self) -> list[bytes]:
        """Return the vaults that have a snapshot."""

    def around_snapshots(self, vault: bytes) -> list[bytes]:
        """Return the parts of snapshots and the entries right behind them, by device and number."""

    def newest(self, vault: bytes) -> list[bytes]:
        """Return the newest entry of each device."""

    def drop(self, vault: bytes, before: Mapping[bytes, int]) -> int:
        """Remove the entries of each device before a number; return how many."""

    def check(self) -> None:
        """Raise whatever keeps the database from answering."""

    def temporary(self) -> AbstractContextManager[BinaryIO]:
        """Lend a private file for the bytes of a blob on their way here; after the block only what was staged stays."""

    def listen(self, hear: Callable[[Mapping[bytes, int]], None]) -> None:
        """Call ``hear`` with the vaults others wrote to and their cursors, with none after missing some; until closed.

        A slot that changed is named by its id, with the cursor 0.
        """

    def close(self) -> None:
        """Let go of everything."""


def places(writes: Sequence[Write]) -> set[Place]:
    """Return where the writes want to put entries of devices."""
    appends = (write for write in writes if isinstance(write, Append))
    return {(write.vault, row.device, row.seq) for write in appends for row in write.rows if row.kind != MEMBER}


def blobs(writes: Sequence[Write]) -> set[tuple[bytes, bytes]]:
    """Return vault and hash of the blobs that the writes keep."""
    return {(write.vault, write.digest) for write in writes if isinstance(write, Keep)}


def taken(wanted: set[Place], ledger: Ledger) -> list[Place]:
    """Return the places where something stands already, as far as heads tell."""
    return [place for place in wanted if place[2] <= ledger.heads.get(place[:2], (0, b""))[0]]


def page_of(
    rows: Iterable[tuple[int, int, bytes]], after: int, limit: int, most_bytes: int, newest: Callable[[], int]
) -> wire.Page:
    """Return the page of rows (arrival, kind, body), which may be one more than ``limit``."""
    entries: list[wire.Arrived] = []
    size = 0
    for arrival, kind, body in rows:
        size += len(body)
        if len(entries) == limit or (entries and size > most_bytes):
            return wire.Page(entries[-1].number, True, tuple(entries))
        entries.append(wire.Arrived(arrival, KINDS[kind], bytes(body)))
    cursor = entries[-1].number if entries else min(after, newest())
    return wire.Page(cursor, False, tuple(entries))


def _check_same(row: Row, existing: bytes) -> None:
    if row.hash != existing:
        raise fork(existing)


def gaps(wanted: set[Place], ledger: Ledger) -> set[bytes]:
    """Return the vaults in which a write wants to leave a gap: its log goes on where a snapshot has it."""
    heads = ledger.heads
    behind = (one for one in wanted if one[2] > heads.get(one[:2], (0, b""))[0] + 1)
    return {vault for vault, device, seq in behind if (vault, device, seq - 1) not in wanted}


def cut_of(header: Header) -> Cut | None:
    """Return what a part of a snapshot stands for, None for any other entry."""
    if header.kind != settling.SNAP:
        return None
    return {bytes.fromhex(device): (head.seq, head.hash) for device, head in settling.cut_of(header).items()}


def cuts_in(bodies: Iterable[bytes]) -> list[Cut]:
    """Return what the snapshots among entries stand for."""
    return [cut for body in bodies if (cut := cut_of(read_header(body)))]


def _is_bridged(row: Row, cuts: Iterable[Cut]) -> bool:
    """Tell whether a snapshot stands for what is before: it has the entry, or the one that this one follows."""
    known = (row.seq, row.hash), (row.seq - 1, row.before)
    return row.cut is not None or any(cut.get(row.device) in known for cut in cuts)


def _check_next(row: Row, head: tuple[int, bytes], cuts: Iterable[Cut]) -> None:
    if row.seq > head[0] + 1 and _is_bridged(row, cuts):
        return
    if row.seq != head[0] + 1:
        expected = {wire.EXPECTED: str(head[0] + 1)}
        raise Refused(422, "gap", "an entry of the device before this one is missing", headers=expected)
    if row.before != head[1]:
        raise fork(head[1])


def _place(ledger: Ledger, vault: bytes, state: State, rows: Sequence[Row]) -> None:
    for row in rows:
        seq = row.seq
        if row.kind == MEMBER:
            state.head_seq += 1
            state.head, seq = row.hash, state.head_seq
        else:
            ledger.heads[vault, row.device] = (row.seq, row.hash)
            ledger.hashes[vault, row.device, row.seq] = row.hash
        state.arrival += 1
        state.total += len(row.body)
        ledger.placed.append(Placed(vault, row, seq, state.arrival, state.total))
