"""What a set of entries comes to, said without any order: the measure for what is merged step by step.

A value that an entry wrote to a cell stands unless another entry that had seen it wrote or unset the cell. A thing is
there if an op on it was seen by no delete. Nothing here uses what is tested.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from vault.canonical import canonical
from vault.sync.merge import Op, Thing

Key = tuple[str, str]
Dot = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a device's log: what its writer had seen of the others, and what it changed."""

    device: str
    seq: int
    seen: Mapping[str, int]
    hlc: int
    ops: tuple[Op, ...]

    @property
    def dot(self) -> Dot:
        """The name of the entry."""
        return self.device, self.seq

    def saw(self, dot: Dot) -> bool:
        """Tell whether the writer knew that entry, or it is an earlier one of its own."""
        device, seq = dot
        return seq < self.seq if device == self.device else seq <= self.seen.get(device, 0)


@dataclass(frozen=True, slots=True)
class Expected:
    """What is to be there of one thing: writes as (hlc, device, seq, value), the one shown first."""

    presence: frozenset[tuple[str, int, bool]]
    cells: Mapping[str, tuple[tuple[int, str, int, bytes], ...]]


def expected(entries: Iterable[Entry]) -> dict[Key, Expected]:
    """Return what these entries come to."""
    presence: dict[Key, dict[Dot, tuple[Entry, bool]]] = {}
    actions: dict[tuple[Key, str], dict[Dot, tuple[Entry, Op, bool]]] = {}
    for entry in entries:
        for op in entry.ops:
            key = (op.kind, op.id)
            presence.setdefault(key, {})[entry.dot] = entry, op.cells != "delete"
            for path in op.unset:
                actions.setdefault((key, path), {})[entry.dot] = entry, op, False
            for path in op.cells if isinstance(op.cells, dict) else ():
                actions.setdefault((key, path), {})[entry.dot] = entry, op, True
    cells: dict[Key, dict[str, tuple[tuple[int, str, int, bytes], ...]]] = {}
    for (key, path), by_dot in actions.items():
        left = [
            (op.hlc, *dot, canonical(op.cells[path]))  # type: ignore[index,call-overload]
            for dot, (_, op, is_set) in by_dot.items()
            if is_set and not any(other.saw(dot) for other, _, _ in by_dot.values())
        ]
        if left:
            cells.setdefault(key, {})[path] = tuple(sorted(left, reverse=True))
    return {
        key: Expected(
            frozenset(
                (*dot, there)
                for dot, (_, there) in by_dot.items()
                if not any(other.saw(dot) for other, _ in by_dot.values())
            ),
            cells.get(key, {}),
        )
        for key, by_dot in presence.items()
    }


def found(thing: Thing) -> Expected:
    """Return what is there, in the same words."""
    return Expected(
        frozenset((one.device, one.seq, bool(one.value)) for one in thing.presence),
        {
            path: tuple((one.hlc, one.device, one.seq, canonical(one.value)) for one in writes)
            for path, writes in thing.cells.items()
        },
    )


def differences(entries: Iterable[Entry], things: Mapping[Key, Thing]) -> list[str]:
    """Return in words, without values, where the things are not what the entries come to."""
    entries = list(entries)
    wanted = expected(entries)
    wrong = [f"{key}: there, but nobody wrote it" for key in things if key not in wanted]
    for key, one in wanted.items():
        if key not in things:
            wrong.append(f"{key}: lost")
            continue
        have = found(things[key])
        if have.presence != one.presence:
            wrong.append(f"{key}: there by {sorted(have.presence)}, not {sorted(one.presence)}")
        if things[key].is_there != _stays(entries, key):
            wrong.append(f"{key}: is there: {things[key].is_there}")
        for path in sorted({*have.cells, *one.cells}):
            if have.cells.get(path) != one.cells.get(path):
                wrong.append(f"{key} {path}: {_dots(have, path)}, not {_dots(one, path)}")
    return wrong


def _stays(entries: list[Entry], key: Key) -> bool:
    """Tell whether a thing is there: whether a change of it was seen by no delete of it."""
    last = [(entry, op) for entry in entries for op in entry.ops if (op.kind, op.id) == key]
    by_entry = {entry.dot: (entry, op.cells == "delete") for entry, op in last}
    deletes = [entry for entry, is_delete in by_entry.values() if is_delete]
    changes = [entry for entry, is_delete in by_entry.values() if not is_delete]
    return any(not any(delete.saw(change.dot) for delete in deletes) for change in changes)


def _dots(one: Expected, path: str) -> list[Any]:
    return [(device, seq) for _, device, seq, _ in one.cells.get(path, ())]
