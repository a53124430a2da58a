"""Changes of several devices become one state, the same on each, whatever the order they came in.

A *thing* is an item, a collection or what a format says beside its items (kind and id). Its row is taken apart into
cells (``vault.sync.cells``); a change is an *op*: cells set, cells unset, or the thing deleted. As JSON:

    [kind, id, hlc, {path: value, ...}, [unset path, ...]]        [kind, id, hlc, "delete"]

An entry of a device bears ops and says what its writer had *seen*: for each device the number of its newest entry that
was taken in. Rules:

- An op *covers* what was written to its cells by entries that its own had seen, and by earlier ones of its device.
- Set puts its value in place of what it covers; unset puts nothing there. What neither saw stays beside the other: a
  cell may have several values. The one with the highest (hlc, device) is shown, the rest are *losers* until somebody
  who saw them writes the cell. So an unset beside a set leaves the value, and elements of lists that are sets stay.
- Each op also says that the thing is there, a delete that it is gone. A thing is there if any uncovered op says so: an
  edit that a delete did not see keeps it whole (``kept_against_delete``). The cells of what is gone are kept.
- A credential is there while its head is. Who changes a part of it sets the head too, and so keeps it whole.

The caller applies each entry once, in causal order: after all it had seen. Then the state depends on nothing but the
set of entries. A state's bytes are the same on all devices that took in the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec

from vault.canonical import canonical
from vault.errors import ForgedEntry
from vault.sync.cells import Row, content, flatten, head_of, is_known, is_place, unflatten
from vault.sync.clock import LAST

DELETE: Literal["delete"] = "delete"
_WITH_ID = frozenset({"item", "collection"})
_BOOKKEEPING = frozenset({"modifiedAt", "lastUsedAt"})  # when two devices differ here, nobody misses the other value


class _Hidden(msgspec.Struct, frozen=True):
    """What holds secrets in clear: shown by its counts and names only."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self._shown())})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("", text) for text in self._shown()]

    def _shown(self) -> Iterator[str]:
        raise NotImplementedError


class Op(_Hidden, frozen=True, array_like=True):
    """What an entry changes of one thing; ``cells`` is ``"delete"`` or what it sets, by path."""

    kind: Annotated[str, msgspec.Meta(min_length=1, max_length=32)]
    id: Annotated[str, msgspec.Meta(max_length=1024)]
    hlc: Annotated[int, msgspec.Meta(ge=0)]
    cells: dict[str, Any] | Literal["delete"]
    unset: list[str] = []

    @property
    def deletes(self) -> bool:
        """Whether the op takes the whole thing away."""
        return self.cells == DELETE

    def _shown(self) -> Iterator[str]:
        yield from (self.kind, repr(self.id), DELETE if self.deletes else f"{len(self.cells)} set")


class Write(_Hidden, frozen=True, array_like=True, gc=False):
    """One value of a cell, and the entry that wrote it."""

    device: str
    seq: int
    hlc: int
    value: Any = None

    @property
    def dot(self) -> tuple[str, int, int]:
        """The entry, and when the value was written."""
        return self.device, self.seq, self.hlc

    def _shown(self) -> Iterator[str]:
        yield f"{self.device}/{self.seq}"


class Loser(_Hidden, frozen=True):
    """A value written beside the one that is shown, which nobody has covered yet."""

    path: str
    value: Any
    device: str
    seq: int
    hlc: int

    def _shown(self) -> Iterator[str]:
        yield f"{self.device}/{self.seq}"


class Thing(_Hidden, frozen=True, kw_only=True):
    """The merged state of one thing; of each cell the value that is shown comes first."""

    kind: str
    id: str
    presence: tuple[Write, ...] = ()  # value: whether it is there
    cells: dict[str, tuple[Write, ...]] = {}

    @property
    def is_there(self) -> bool:
        """Whether the thing exists; else only its remains are kept."""
        return any(one.value for one in self.presence)

    @property
    def kept_against_delete(self) -> bool:
        """Whether it was deleted on one device and changed on another, and nobody who saw both has changed it since."""
        return len({one.value for one in self.presence}) > 1

    def row(self) -> Row | None:
        """Return the row as it is shown; None for a thing that is gone."""
        return self._row(self.shown()) if self.is_there else None

    def shown(self) -> dict[str, Any]:
        """Return the value shown of each cell, also where the thing is gone."""
        return {path: writes[0].value for path, writes in self.cells.items()}

    def losers(self) -> tuple[Loser, ...]:
        """Return the values that stand back, by path; those that say the same as what is shown are none."""
        beside = ((path, writes) for path, writes in sorted(self.cells.items()) if len(writes) > 1)
        return tuple(
            Loser(path, one.value, one.device, one.seq, one.hlc)
            for path, (shown, *others) in beside
            if not is_place(path)
            for one in others
            if not _same(content(path, one.value), content(path, shown.value))
        )

    def lost_rows(self) -> list[Row]:
        """Return the row as each entry with losers would have it, the oldest first; for the item's past versions."""
        by_entry: dict[tuple[int, str, int], dict[str, Any]] = {}
        for one in self.losers() if self.is_there else ():
            if one.path not in _BOOKKEEPING:
                by_entry.setdefault((one.hlc, one.device, one.seq), {})[one.path] = one.value
        shown = self.shown()
        rows = [self._row({**shown, **by_entry[entry]}) for entry in sorted(by_entry)]
        return [row for row in rows if not _same(row, self._row(shown))]

    def _row(self, cells: Mapping[str, Any]) -> Row:
        row = unflatten(cells)
        return {**row, "id": self.id} if self.kind in _WITH_ID else row

    def _shown(self) -> Iterator[str]:
        yield from (self.kind, repr(self.id), f"{len(self.cells)} cells" if self.is_there else "gone")


# -- making and taking in changes


def ops_between(
    kind: str, id_: str, old: Thing | None, new: Row | None, hlc: int, *, read_as: Row | None = None
) -> Op | None:
    """Return the op that makes the thing read as the new row (None: deletes it); None if it does already.

    ``read_as`` is what this version made of the old row, where it cannot hold all of it: what it left out stays.
    """
    if new is None:
        return Op(kind, id_, hlc, DELETE) if old is not None and old.is_there else None
    if old is None:
        return Op(kind, id_, hlc, flatten(new))
    before = old.shown() if read_as is None else _read(old.shown(), read_as)
    after = flatten(new, like=before)
    changed = {path: value for path, value in after.items() if path not in before or not _same(before[path], value)}
    unset = sorted(path for path in before if path not in after and is_known(path) and _with_its_head(path, after))
    for head in {head_of(path) for path in (*changed, *unset)} - {None}:
        changed.setdefault(str(head), after[str(head)])
    return Op(kind, id_, hlc, changed, unset) if changed or unset or not old.is_there else None


def _read(cells: Mapping[str, Any], read_as: Row) -> dict[str, Any]:
    """Return the cells as somebody reads them: those that no row shows, and those of the row that was made of them."""
    seen = flatten(unflatten(cells), like=cells)
    hidden = {path: value for path, value in cells.items() if path not in seen}
    return {**hidden, **flatten(read_as, like=cells)}


def _with_its_head(path: str, after: Mapping[str, Any]) -> bool:
    """Tell whether the cell's credential stays; of one that is taken out the members are kept, dead."""
    head = head_of(path)
    return head is None or head in after


def apply(thing: Thing | None, op: Op, *, device: str, seq: int, seen: Mapping[str, int]) -> Thing:
    """Return the thing after an op of the entry (device, seq), whose writer had seen the others up to ``seen``.

    Once for each entry and in causal order; ops of one entry in their order.
    """
    before = thing if thing is not None else Thing(kind=op.kind, id=op.id)
    here = Write(device, seq, op.hlc, not op.deletes)
    presence = _with(here, before.presence, seen)
    if isinstance(op.cells, str):
        return msgspec.structs.replace(before, presence=presence)
    cells = dict(before.cells)
    for path in op.unset:
        left = _uncovered(cells.pop(path, ()), here, seen)
        if left:
            cells[path] = left
    for path, value in op.cells.items():
        cells[path] = _with(Write(device, seq, op.hlc, value), cells.get(path, ()), seen)
    return msgspec.structs.replace(before, presence=presence, cells=cells)


def _with(new: Write, old: Sequence[Write], seen: Mapping[str, int]) -> tuple[Write, ...]:
    """Return what stands in a cell after a write, the one that is shown first."""
    left = _uncovered(old, new, seen)
    return tuple(sorted((new, *left), key=_rank, reverse=True)) if left else (new,)


def _uncovered(old: Sequence[Write], by: Write, seen: Mapping[str, int]) -> tuple[Write, ...]:
    return tuple(one for one in old if one.seq > (by.seq if one.device == by.device else seen.get(one.device, 0)))


def _rank(write: Write) -> tuple[int, str]:
    return write.hlc, write.device


def _same(one: Any, other: Any) -> bool:
    """Tell whether two JSON values read the same; 1 and true, or 1.0 and 1.00, do not."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    return bool(one == other) if isinstance(one, str) else canonical(one) == canonical(other)


# -- bytes


class _Content(msgspec.Struct, frozen=True):
    ops: list[Op]


class _State(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A thing as JSON: what its cells show, the entry that wrote most of them, and who wrote the others."""

    kind: str
    id: str
    presence: list[Write] = []
    cells: dict[str, Any] = {}
    base: tuple[str, int, int] | None = None
    writes: dict[str, list[list[Any]]] = {}  # [device, seq, hlc] of what is shown, then [device, seq, hlc, value]


_DOT = (str, int, int)
_OPS = msgspec.json.Decoder(_Content, float_hook=Decimal)
_STATE = msgspec.json.Decoder(_State, float_hook=Decimal)


def encode_ops(ops: Sequence[Op]) -> bytes:
    """Return ops as the JSON that an entry seals, secrets in clear."""
    return canonical({"ops": [_op_json(op) for op in ops]})


def _op_json(op: Op) -> list[Any]:
    return [op.kind, op.id, op.hlc, op.cells] if op.deletes else [op.kind, op.id, op.hlc, op.cells, op.unset]


def decode_ops(data: bytes) -> list[Op]:
    """Return the ops of an entry; other members of its JSON are left to others. Raises ``ForgedEntry``."""
    try:
        ops = _OPS.decode(data).ops
    except (msgspec.MsgspecError, ValueError, ArithmeticError, RecursionError):
        raise ForgedEntry("a change of another device cannot be read", hint="update Keyferry") from None
    if any(op.hlc > LAST for op in ops):
        raise ForgedEntry("a change of another device has a time that does not exist")
    return ops


def encode(thing: Thing) -> bytes:
    """Return the state as one JSON row, secrets in clear; equal states have equal bytes."""
    counts = Counter(writes[0].dot for writes in thing.cells.values() if len(writes) == 1)
    base = max(counts, key=lambda dot: (counts[dot], dot)) if counts else None
    state = _State(
        kind=thing.kind,
        id=thing.id,
        presence=list(thing.presence),
        cells=thing.shown(),
        base=base,
        writes={
            path: [list(writes[0].dot), *([*one.dot, one.value] for one in writes[1:])]
            for path, writes in thing.cells.items()
            if len(writes) > 1 or writes[0].dot != base
        },
    )
    return canonical(state)


def decode(data: bytes) -> Thing:
    """Return the state of ``encode``; raises ``ValueError`` for anything else."""
    try:
        state = _STATE.decode(data)
        cells = {path: _writes(value, state.writes.get(path), state.base) for path, value in state.cells.items()}
    except (msgspec.MsgspecError, ValueError, TypeError, ArithmeticError, RecursionError):
        raise ValueError("not the state of a thing") from None
    return Thing(kind=state.kind, id=state.id, presence=tuple(state.presence), cells=cells)


def _writes(value: Any, dots: list[list[Any]] | None, base: tuple[str, int, int] | None) -> tuple[Write, ...]:
    if dots is None:
        return (Write(*(base or ("", 0, 0)), value),)
    shown, *others = dots
    found = (Write(*shown, value), *(Write(*one) for one in others))  # type: ignore[call-arg]
    if any(tuple(map(type, one.dot)) != _DOT for one in found):
        raise ValueError("a value that no entry wrote")
    return found
