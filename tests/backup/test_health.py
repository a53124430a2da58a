"""What makes the state of backups wrong, and what does not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from backup.book import Alarm, Book, Copy, Drill, Made, Target
from backup.health import wrong
from backup.schedule import schedule_of

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def ago(**span: float) -> str:
    return (NOW - timedelta(**span)).strftime("%Y-%m-%dT%H:%M:%SZ")


MADE = Made(
    id="aa", name="n", digest="d", size=1, device="d", counter=1, made_at=ago(days=40), items=3, content="c"
)  # fmt: skip
TARGET = Target(id="t", path="/backups", seen_at=ago(hours=3), copies=(Copy("aa", ago(days=2)),))
WELL = Book(
    tag="0" * 8,
    newest="aa",
    sets=(MADE,),
    targets=(TARGET,),
    schedule=schedule_of("daily", "21:00"),
    served_at=ago(hours=15),
    proven=Drill(ago(days=6), "aa", 3),
)


def found(*, here: tuple[str, ...] = ("t",), vault_made: str = "", **changes: Any) -> tuple[str, ...]:
    book = msgspec.structs.replace(WELL, **changes)
    return wrong(book, here, vault_made or ago(days=60), NOW, UTC)


def test_well_is_well() -> None:
    assert found() == ()


@pytest.mark.parametrize(("hours", "is_wrong"), [(15, False), (38, False), (40, True), (500, True)])
def test_two_missed_times_are_wrong_and_one_is_not(hours: int, is_wrong: bool) -> None:
    """Backups are due at 21:00; the last two were 15 and 39 hours ago."""
    assert bool(found(served_at=ago(hours=hours))) is is_wrong


def test_a_set_made_by_hand_counts() -> None:
    assert found(served_at=ago(days=9), sets=(msgspec.structs.replace(MADE, made_at=ago(hours=4)),)) == ()


def test_without_a_schedule_nothing_is_missed() -> None:
    assert found(served_at=ago(days=9), schedule=schedule_of("off")) == ()


@pytest.mark.parametrize(("days", "is_wrong"), [(0, False), (1, False), (3, True)])
def test_a_vault_never_backed_up_is_wrong_after_two_times(days: int, is_wrong: bool) -> None:
    texts = found(vault_made=ago(days=days), served_at="", newest="", sets=(), proven=None)
    assert bool(texts) is is_wrong
    assert all("no backup was made yet" in text for text in texts)


@pytest.mark.parametrize(("days", "is_wrong"), [(13, False), (15, True)])
def test_a_proof_lasts_two_weeks(days: int, is_wrong: bool) -> None:
    assert bool(found(proven=Drill(ago(days=days), "aa", 3))) is is_wrong


def test_a_first_set_has_two_weeks_to_be_proven() -> None:
    assert found(proven=None) == ("no restore was proven for 40 days",)
    assert found(proven=None, sets=(msgspec.structs.replace(MADE, made_at=ago(days=3)),)) == ()


def test_an_open_alarm_is_wrong_and_an_ended_one_is_not() -> None:
    alarm = Alarm(ago(days=1), "t", "aa", "/backups/n: the file is gone")
    assert found(alarms=(alarm,)) == (alarm.text,)
    assert found(alarms=(msgspec.structs.replace(alarm, ended=ago(hours=1)),)) == ()


@pytest.mark.parametrize(("days", "is_wrong"), [(2, False), (13, False), (15, True)])
def test_a_target_may_be_away_for_two_weeks(days: int, is_wrong: bool) -> None:
    away = msgspec.structs.replace(TARGET, seen_at=ago(days=days), copies=())
    assert bool(found(here=(), targets=(away,))) is is_wrong


def test_a_target_that_was_read_was_there() -> None:
    away = msgspec.structs.replace(TARGET, seen_at=ago(days=20))
    assert found(here=(), targets=(away,)) == ()


def test_a_target_without_room_is_wrong() -> None:
    full = msgspec.structs.replace(TARGET, copies=(), trouble="/backups has too little room")
    assert found(targets=(full,)) == ("the newest set is not at /backups: /backups has too little room",)


def test_an_old_trouble_is_over_when_the_newest_set_is_there() -> None:
    assert found(targets=(msgspec.structs.replace(TARGET, trouble="it was not here"),)) == ()
