"""Every way in which three devices can see each other's changes, and every order in which the changes can arrive.

    python -m tests.vault.sync.explorer --edits 3

A *history* says for each entry of each device what its writer had seen. All histories are made, from the empty one on,
an entry at a time; two that differ only by the names of the second and third device count as one. In each, the states
of a device after every set of entries it can have, by every last entry of that set, have to be the same: so any two
orders of delivery agree, by induction over their length. The last state is compared with the oracle.

Each entry writes a cell of two things. One entry of the first device is special: it deletes the first thing and unsets
the cell of the second. A revocation after the first device's entry L leaves a history in which that has L entries, and
a device that undoes the later ones takes the others in again in an order of its own: so those histories are made too.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import product

from tests.vault.sync import oracle
from tests.vault.sync.oracle import Entry, Key
from vault.sync import merge
from vault.sync.merge import DELETE, Op, Thing

Seen = tuple[int, int, int]
History = tuple[tuple[Seen, ...], tuple[Seen, ...], tuple[Seen, ...]]
State = dict[Key, Thing]
NAMES = ("d0", "d1", "d2")
EMPTY: History = ((), (), ())


class Disagreement(AssertionError):
    """Two orders of delivery end in different states."""


def histories(sizes: Seen) -> Iterable[History]:
    """Return every history in which the devices have written so many entries."""
    level = {EMPTY}
    for _ in range(sum(sizes)):
        level = {_named(longer) for history in level for longer in _longer(history, sizes)}
    return level


def _longer(history: History, sizes: Seen) -> Iterator[History]:
    for device in range(3):
        if len(history[device]) < sizes[device]:
            for seen in _possible(history, device):
                grown = [*history]
                grown[device] = (*history[device], seen)
                yield (grown[0], grown[1], grown[2])


def _possible(history: History, device: int) -> Iterator[Seen]:
    """Yield what the device can have seen when it writes next: with each entry also all that its writer had seen."""
    before = history[device][-1] if history[device] else (0, 0, 0)
    reach = [range(before[other], len(history[other]) + 1) for other in range(3)]
    reach[device] = range(len(history[device]), len(history[device]) + 1)
    for seen in product(*reach):
        known = [history[other][seen[other] - 1] for other in range(3) if other != device and seen[other]]
        if all(theirs[third] <= seen[third] for theirs in known for third in range(3)):
            yield seen


def _named(history: History) -> History:
    """Return the one of two histories that stands for both: as it is, or the second and third device exchanged."""
    first, second, third = history
    exchanged = tuple(tuple((a, c, b) for a, b, c in seen) for seen in (first, third, second))
    return min(history, exchanged)  # type: ignore[return-value]


def entries_of(history: History, special: int | None) -> dict[tuple[int, int], Entry]:
    """Return the entries of a history, by device and number; ``special`` is the number of the one that takes away."""
    made: dict[tuple[int, int], Entry] = {}
    waiting = [(sum(seen), device, number) for device, one in enumerate(history) for number, seen in enumerate(one, 1)]
    for _, device, number in sorted(waiting):
        seen = history[device][number - 1]
        times = [made[other, seen[other]].hlc for other in range(3) if seen[other]]
        hlc = 1 + max(times, default=0)
        others = {NAMES[other]: seen[other] for other in range(3) if other != device and seen[other]}
        ops = _taking(hlc) if (device, number) == (0, special) else _writing(f"{device}.{number}", hlc)
        made[device, number] = Entry(NAMES[device], number, others, hlc, ops)
    return made


def _taking(hlc: int) -> tuple[Op, ...]:
    return Op("item", "a", hlc, DELETE), Op("item", "b", hlc, {}, ["title"])


def _writing(text: str, hlc: int) -> tuple[Op, ...]:
    return Op("item", "a", hlc, {"title": text}), Op("item", "b", hlc, {"title": text})


def deliver(entries: dict[tuple[int, int], Entry], sizes: Sequence[int]) -> tuple[State, int]:
    """Deliver in every order; return the last state and how many deliveries there were. Raises ``Disagreement``."""
    states: dict[tuple[int, ...], State] = {(0, 0, 0): {}}
    deliveries = 0
    for have in product(*(range(size + 1) for size in sizes)):
        for device in range(3):
            before = (*have[:device], have[device] - 1, *have[device + 1 :])
            if before not in states or not _is_ready(entries[device, have[device]], before):
                continue
            state = _after(states[before], entries[device, have[device]])
            deliveries += 1
            if states.setdefault(have, state) != state:
                raise Disagreement(f"with {have} delivered it matters which of them came last")
    return states[tuple(sizes)], deliveries


def _is_ready(entry: Entry, have: Sequence[int]) -> bool:
    return all(have[NAMES.index(name)] >= seq for name, seq in entry.seen.items())


def _after(state: State, entry: Entry) -> State:
    after = dict(state)
    for op in entry.ops:
        key = (op.kind, op.id)
        after[key] = merge.apply(after.get(key), op, device=entry.device, seq=entry.seq, seen=entry.seen)
    return after


def explore(edits: int) -> Counter[str]:
    """Explore everything with so many entries a device; return what was looked at. Raises ``Disagreement``."""
    done: Counter[str] = Counter()
    for first in range(edits + 1):
        sizes = (first, edits, edits)
        specials = range(1, first + 1) if first == edits else [None]
        for history in histories(sizes):
            for special in specials:
                entries = entries_of(history, special)
                try:
                    state, deliveries = deliver(entries, sizes)
                except Disagreement as problem:
                    raise Disagreement(f"{problem}: history {history}, special {special}") from None
                wrong = oracle.differences(entries.values(), state)
                if wrong:
                    raise Disagreement(f"{'; '.join(wrong)}: history {history}, special {special}")
                done["histories"] += 1
                done["deliveries"] += deliveries
                done["with a revocation" if first < edits else "with a delete"] += 1
                done["kept against delete"] += any(thing.kept_against_delete for thing in state.values())
    return done


def main(arguments: Sequence[str]) -> int:
    """Explore from the command line and print what was looked at."""
    parser = argparse.ArgumentParser(prog="python -m tests.vault.sync.explorer")
    parser.add_argument("--edits", type=int, default=3, help="entries of each device")
    options = parser.parse_args(arguments)
    start = time.monotonic()
    try:
        done = explore(options.edits)
    except Disagreement as problem:
        print(problem)
        return 1
    for name, number in sorted(done.items(), key=lambda pair: (-pair[1], pair[0])):
        print(f"  {number:>9}  {name}")
    print(f"every order of delivery agrees; {time.monotonic() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
