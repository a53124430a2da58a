"""Devices that change, meet, part and are revoked end with the same vault, and nothing that was written is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.vault.sync import machine
from vault.sync import cells, merge
from vault.sync.merge import Op, Thing, Write

_APPLY, _WITH, _UNCOVERED, _FLATTEN = merge.apply, merge._with, merge._uncovered, cells.flatten


def test_three_hundred_programs_end_in_agreement_and_lose_nothing() -> None:
    done = machine.campaign(300, seed=1)
    assert min(done[step] for step in machine.STEPS) >= 30
    assert min(done[name] for name in ("losers", "kept against delete", "parked", "void", "twice")) >= 30


def _last_by_arrival(new: Write, old: Any, seen: Any) -> tuple[Write, ...]:
    return (new,)


def _without_siblings(new: Write, old: Any, seen: Any) -> tuple[Write, ...]:
    return _WITH(new, old, seen)[:1]


def _first_shown_by_arrival(new: Write, old: Any, seen: Any) -> tuple[Write, ...]:
    return (new, *_UNCOVERED(old, new, seen))


def _unset_wins(thing: Thing | None, op: Op, **entry: Any) -> Thing:
    made = _APPLY(thing, op, **entry)
    return msgspec.structs.replace(made, cells={p: w for p, w in made.cells.items() if p not in op.unset})


def _delete_wins(thing: Thing | None, op: Op, **entry: Any) -> Thing:
    made = _APPLY(thing, op, **entry)
    gone = tuple(one for one in made.presence if not one.value)
    return msgspec.structs.replace(made, presence=gone) if op.deletes else made


def _gone_is_gone(thing: Thing | None, op: Op, **entry: Any) -> Thing:
    return thing if thing is not None and not thing.is_there else _APPLY(thing, op, **entry)


def _nothing_is_covered(old: Any, by: Write, seen: Any) -> tuple[Write, ...]:
    return tuple(one for one in old if one.device != by.device)


def _too_much_is_covered(old: Any, by: Write, seen: Any) -> tuple[Write, ...]:
    return tuple(one for one in old if one.device != by.device and one.seq > seen.get(one.device, 0) + 1)


def _keys_by_number(row: dict[str, Any], like: Any = None) -> dict[str, Any]:
    return _FLATTEN(row)


@pytest.mark.parametrize(
    ("name", "bug"),
    [
        ("_with", _last_by_arrival),
        ("_with", _without_siblings),
        ("_with", _first_shown_by_arrival),
        ("apply", _unset_wins),
        ("apply", _delete_wins),
        ("apply", _gone_is_gone),
        ("_uncovered", _nothing_is_covered),
        ("_uncovered", _too_much_is_covered),
        ("flatten", _keys_by_number),
        ("head_of", lambda path: None),
    ],
)
def test_a_fault_in_the_merge_is_found(monkeypatch: pytest.MonkeyPatch, name: str, bug: Callable[..., Any]) -> None:
    monkeypatch.setattr(merge, name, bug)
    with pytest.raises(machine.Disagreement, match="seed"):
        machine.campaign(300, seed=1)


def test_a_failing_program_is_made_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge, "_with", _without_siblings)
    with pytest.raises(machine.Disagreement) as caught:
        machine.campaign(300, seed=1)
    assert str(caught.value).count("\n") <= 8


def test_an_entry_that_is_lost_on_the_way_to_one_device_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def take_less(self: machine.Device, now_ms: int) -> int:
        self.inbox.pop(("d0", 3), None)
        return take_in(self, now_ms)

    take_in = machine.Device.take_in
    monkeypatch.setattr(machine.Device, "take_in", take_less)
    with pytest.raises(machine.Disagreement):
        machine.campaign(50, seed=1)


def test_a_device_that_does_not_undo_what_is_void_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def learn(self: machine.Device, name: str, last: int) -> None:
        self.revoked[name] = last

    monkeypatch.setattr(machine.Device, "learn", learn)
    with pytest.raises(machine.Disagreement):
        machine.campaign(300, seed=1)


def test_dropping_what_not_everybody_has_seen_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.World, "has_settled", lambda self, one: True)
    with pytest.raises(machine.Disagreement):
        machine.campaign(300, seed=1)


def test_a_snapshot_that_lacks_a_thing_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def state(self: machine.Device) -> dict[machine.Key, bytes]:
        whole = real(self)
        return dict(list(whole.items())[1:]) if len(whole) > 2 and self.name == "d0" else whole

    real = machine.Device.state
    snapshot = machine.STEPS["snapshot"]

    def lying(world: machine.World, chance: Any) -> bool:
        with monkeypatch.context() as patch:
            patch.setattr(machine.Device, "state", state)
            return snapshot(world, chance)

    monkeypatch.setitem(machine.STEPS, "snapshot", lying)
    with pytest.raises(machine.Disagreement):
        machine.campaign(300, seed=1)


def test_the_command_says_which_seeds_it_ran_and_what_was_done(capsys: pytest.CaptureFixture[str]) -> None:
    assert machine.main(["--programs", "5", "--seed", "77"]) == 0
    shown = capsys.readouterr().out
    assert "5 programs, seeds 77 to 81" in shown
    assert "edit" in shown
    assert "nothing is lost" in shown


def test_the_command_names_the_seed_that_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(merge, "_with", _last_by_arrival)
    assert machine.main(["--programs", "50", "--seed", "1"]) == 1
    assert "seed " in capsys.readouterr().out.split("\n")[1]
