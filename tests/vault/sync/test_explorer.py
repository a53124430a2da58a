"""Of three devices with two changes each, every history and every order of delivery comes to the same."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from tests.vault.sync import explorer
from vault.sync import merge


def test_every_order_of_delivery_agrees_for_two_changes_a_device() -> None:
    done = explorer.explore(2)
    assert done["with a delete"] == 2 * len(list(explorer.histories((2, 2, 2))))
    assert done["kept against delete"] > 100
    assert done["with a revocation"] > 100


def test_every_history_of_one_change_a_device_is_made() -> None:
    """Counted another way: all tables of who saw whom, without circles and with what those had seen."""
    found = set()
    for bits in product((0, 1), repeat=6):
        a, b, c = (0, bits[0], bits[1]), (bits[2], 0, bits[3]), (bits[4], bits[5], 0)
        if _is_possible((a, b, c)):
            found.add(explorer._named(((a,), (b,), (c,))))
    assert set(explorer.histories((1, 1, 1))) == found


def _is_possible(seen: tuple[tuple[int, ...], ...]) -> bool:
    pairs = {(one, other) for one in range(3) for other in range(3) if seen[one][other]}
    closed = all((a, d) in pairs for a, b in pairs for c, d in pairs if b == c)
    return closed and not any((b, a) in pairs for a, b in pairs)


@pytest.mark.parametrize("fault", ["arrival", "siblings", "delete"])
def test_a_fault_in_the_merge_is_found_by_two_changes_a_device(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    with_, apply = merge._with, merge.apply

    def gone(thing: Any, op: Any, **entry: Any) -> Any:
        return thing if thing is not None and not thing.is_there else apply(thing, op, **entry)

    faults = {
        "arrival": ("_with", lambda new, old, seen: (new,)),
        "siblings": ("_with", lambda new, old, seen: with_(new, old, seen)[:1]),
        "delete": ("apply", gone),
    }
    monkeypatch.setattr(merge, *faults[fault])
    with pytest.raises(explorer.Disagreement, match="history"):
        explorer.explore(2)


def test_the_command_says_what_was_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    assert explorer.main(["--edits", "1"]) == 0
    assert "every order of delivery agrees" in capsys.readouterr().out
